"""How text that others chose is shown: names of devices and zones, topics, attribute values, a server's messages.

Such text is data. A terminal obeys control characters and escape sequences, bidirectional overrides reorder what is
read, a line feed forges a line, and Rich, HTML, Plotly and Matplotlib each have a markup of their own. There is one
function for each medium; every module that shows text uses it. `pacifictool.console` does so for all that Rich draws.

Characters that cannot be seen are shown as Python writes them: `\\x1b`, `\\u202e`, `\\n`. Backslashes are left alone,
so that `\\n` may also be what the name is; JSON output has the exact text.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from html import escape
from typing import Any, Final

_HIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, format characters (bidirectional ones among them), surrogates, private use, unassigned, line separators."""

_INVISIBLE: Final = re.compile(r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\U000e0100-\U000e01ef]")
"""Letters and marks by category, but drawn as nothing: fillers, the grapheme joiner, selectors that fonts ignore."""

_JOINERS: Final = frozenset("\u200c\u200d")
"""Persian and the scripts of India need them within words, and emoji to be joined into one."""

_FIRST_JOINED: Final = 0x600
"""Below are Latin, Greek, Cyrillic, Armenian and Hebrew, where a joiner can only make two names look alike."""

_PSEUDO_HTML: Final = re.compile(r"[&<>\"'%$]")


def one_line(text: str) -> str:
    """`text` on one line, and without anything that cannot be seen: for terminals, logs and messages."""
    return _escaped(text, kept="")


def block(text: str) -> str:
    """`text` of several lines, such as a traceback or what Rich has drawn; otherwise like `one_line`.

    Joiners stay: what Rich has drawn may be cut in front of one.
    """
    return _escaped(text, kept="\n\u200c\u200d")


def for_html(text: str) -> str:
    """`text` for HTML, in elements and in quoted attributes."""
    return escape(one_line(text))


def for_plotly(text: str) -> str:
    """`text` for Plotly's names, titles, annotations and hover templates.

    Plotly reads tags and entities in all of them, and `%{…}` in templates. It knows few entities by name, but all by
    number.
    """
    return _PSEUDO_HTML.sub(lambda match: f"&#{ord(match[0])};", one_line(text))


def for_matplotlib(text: str) -> str:
    """`text` for Matplotlib, whose `text.parse_math` must be off: where formulas are read, no escape keeps a backslash.

    A label that begins with an underscore is left out of a legend, hence the space.
    """
    return f" {one_line(text)}" if text.startswith("_") else one_line(text)


def json_document(document: Any, *, ascii_only: bool = False, indent: int | None = None) -> str:
    """`document` as JSON with every text exact. What `one_line` would escape is written with JSON's own escapes."""
    separators = (",", ":") if indent is None else None
    text = json.dumps(
        document, ensure_ascii=ascii_only, allow_nan=False, default=str, indent=indent, separators=separators
    )
    # Whatever is hidden stands within a text: JSON itself writes only line feeds.
    return _escaped(text, kept="\n", write=_json_escape)


def _python_escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def _escaped(text: str, *, kept: str, write: Callable[[str], str] = _python_escape) -> str:
    if text.isprintable() and (text.isascii() or _INVISIBLE.search(text) is None):
        return text
    before, parts = "", []
    for char in text:
        parts.append(char if char in kept or not _is_hidden(char, before) else write(char))
        before = char
    return "".join(parts)


def _is_hidden(char: str, before: str) -> bool:
    if char in _JOINERS:
        return not before or ord(before) < _FIRST_JOINED or unicodedata.category(before)[0] not in "LMS"
    return unicodedata.category(char) in _HIDDEN_CATEGORIES or _INVISIBLE.match(char) is not None
