"""Names that a device or zone may have, and how each must be shown."""

from __future__ import annotations

import re
import unicodedata

MARKUP = (
    "[a]",
    "Mast [/7]",
    "[bold]loud[/bold]",
    "[link=https://example.org]here[/link]",
    "[/]",
    ":boom:",
    "<b>bold</b>",
    "<a href='javascript:alert(1)'>click</a>",
    "<script>alert(1)</script>",
    "&lt;",
    "&amp;quot;",
    "$x^2$",
    "a $ b",
    "%{y}",
    "{0} {name}",
    "_hidden",
    "`code`",
    "back\\slash",
    "\"quoted\" 'twice'",
    "a | b",
)
LETTERS = ("Ветряк", "名前", "می\u200cخواهم", "क्\u200dष", "👩\u200d🔧", "❤\ufe0f\u200d🔥", "naïve")
CONTROLS = (
    "\x1b[31mred",
    "\x1b]0;title\x07bell",
    "\x1b[2Jcleared",
    "nul\x00byte",
    "del\x7fete",
    "two\nlines",
    "tab\there",
    "over\rwritten",
    "back\x08space",
)
UNSEEN = (
    "csi\x9b31mred",
    "next\x85line",
    "right\u202eto left",
    "iso\u2066lated\u2069",
    "mark\u200eed\u200f",
    "arabic\u061cmark",
    "line\u2028and\u2029paragraph",
    "zero\u200bwidth",
    "joi\u200dned",
    "byte\ufefforder",
    "soft\u00adhyphen",
    "pri\ue000vate",
    "non\ufffecharacter",
    "tag\U000e0041ged",
    "fil\u3164ler",
    "grapheme\u034fjoiner",
)
USABLE = MARKUP + LETTERS + UNSEEN
"""Those that a scenario may contain."""
NASTY = USABLE + CONTROLS

_FORBIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_FILLERS = {"\u3164", "\u034f"}
_STYLES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
"""What Rich sends to a terminal."""


def is_unseen(char: str, before: str) -> bool:
    """Whether `char` is invisible to a person; joiners are visible by their effect on non-Latin letters."""
    if char in "\u200c\u200d" and before and ord(before) > 0x5FF and unicodedata.category(before) not in _FORBIDDEN:
        return False
    return unicodedata.category(char) in _FORBIDDEN or char in _FILLERS


def unseen_in(text: str, *, drawn: bool = False) -> list[str]:
    """Characters in output that must not be there. `drawn`: Rich's own escape sequences may."""
    if drawn:
        text = _STYLES.sub("", text).replace("\r", "")
    pairs = zip(f" {text}", text, strict=False)
    return [char for before, char in pairs if char != "\n" and is_unseen(char, before)]


def visible_parts(name: str) -> list[str]:
    """What a person must be able to read of `name`, in this order."""
    marked = "".join("\n" if is_unseen(char, before) else char for before, char in zip(f" {name}", name, strict=False))
    return [part.strip() for part in marked.split("\n") if part.strip()]


def is_shown(name: str, output: str) -> bool:
    """Whether all visible parts of `name` are on one line of `output`, in their order."""
    pattern = ".{1,120}?".join(re.escape(part) for part in visible_parts(name))
    return re.search(pattern, output) is not None
