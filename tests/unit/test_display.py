from __future__ import annotations

import ast
import html
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

import pacifictool
from pacifictool.console import Console, styled
from pacifictool.display import block, for_html, for_matplotlib, for_plotly, json_document, one_line
from tests.support.nasty_names import NASTY, is_shown, unseen_in

ANY_TEXT = st.one_of(
    st.text(st.characters(), max_size=40),
    st.lists(st.sampled_from([*NASTY, "\x1b", "\x9b", "\u202e", "\n", "[", "]", "/", "\u200d", "a", " "])).map("".join),
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zone A", "Zone A"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b31m", "\\x9b31m"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u2028b", "a\\u2028b"),
        ("a\U000e0041b", "a\\U000e0041b"),
        ("half \udcff", "half \\udcff"),
        ("fil\u3164ler", "fil\\u3164ler"),
        ("non\u00a0breaking", "non\u00a0breaking"),
        ("back\\slash", "back\\slash"),
        ("👩\u200d🔧", "👩\u200d🔧"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("joi\u200dned", "joi\\u200dned"),
        ("\u200dfirst", "\\u200dfirst"),
        ("👩\u200d\u200d", "👩\u200d\\u200d"),
    ],
)
def test_what_cannot_be_seen_is_escaped_and_all_else_stays(text: str, shown: str) -> None:
    assert one_line(text) == shown


@given(ANY_TEXT)
def test_nothing_unseen_is_left_and_nothing_seen_is_lost(text: str) -> None:
    shown = one_line(text)
    assert unseen_in(shown) == []
    assert "\n" not in shown
    assert is_shown(text, shown)
    assert one_line(shown) == shown
    assert unseen_in(for_matplotlib(text)) == []


@given(ANY_TEXT)
def test_several_lines_stay_several(text: str) -> None:
    assert [one_line(line) for line in text.split("\n")] == [one_line(line) for line in block(text).split("\n")]


@given(ANY_TEXT, st.booleans(), st.sampled_from([None, 2]))
def test_json_keeps_every_text_exact_and_is_safe_to_print(text: str, ascii_only: bool, indent: int | None) -> None:
    written = json_document({text: [text]}, ascii_only=ascii_only, indent=indent)
    assert json.loads(written) == {text: [text]}
    assert unseen_in(written) == []
    assert written.isascii() or not ascii_only


@given(ANY_TEXT)
def test_html_and_plotly_read_no_markup_in_it(text: str) -> None:
    assert html.unescape(for_html(text)) == one_line(text)
    assert not set("<>\"'") & set(for_html(text))
    # Plotly replaces numeric entities once, and only a few named ones.
    written = for_plotly(text)
    assert not set("<>\"'%$") & set(written)
    assert re.sub(r"&#(\d+);", lambda match: chr(int(match[1])), written) == one_line(text)


def drawn(*renderables: Any, width: int = 2000) -> str:
    stream = io.StringIO()
    console = Console(stream, colour=True, width=width)
    for renderable in renderables:
        console.print(renderable)
    return stream.getvalue()


@given(ANY_TEXT)
def test_the_console_takes_every_string_as_data(text: str) -> None:
    table = Table(text, title=text)
    table.add_row(text)
    table.add_row(styled((text, "bold"), text, style="red"))
    output = drawn(text, styled(text), table)
    assert unseen_in(output) == []
    assert is_shown(text, output)


@given(ANY_TEXT)
def test_text_that_was_not_made_by_styled_is_caught_too(text: str) -> None:
    output = drawn(Text(text))
    assert set(unseen_in(output)) <= set("\u200c\u200d")


def test_columns_are_as_wide_as_what_is_shown() -> None:
    table = Table("Name", "Other")
    for name in ("\x1b[31mred", "right\u202eto left", "[a]", ":boom:"):
        table.add_row(name, "x")
    lines = drawn(table).rstrip().splitlines()
    assert len({len(line) for line in lines}) == 1
    assert all(any(name in line for line in lines) for name in ("\\x1b[31mred", "right\\u202eto left", "[a]", ":boom:"))


def imports_of(path: Path) -> set[str]:
    """Every `module.name` that a file imports, also within functions, except for typing."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in for_typing:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_no_other_module_draws_or_escapes_by_itself() -> None:
    root = Path(pacifictool.__file__).parent
    forbidden = re.compile(r"rich(\.print)?|rich\.console(\.Console)?|rich\.(text|markup)(\.\w+)?|html(\.escape)?")
    offenders = {
        str(path.relative_to(root)): sorted(wrong)
        for path in root.rglob("*.py")
        if path.name not in ("console.py", "display.py") or path.parent != root
        if (wrong := {name for name in imports_of(path) if forbidden.fullmatch(name)})
    }
    assert offenders == {}
