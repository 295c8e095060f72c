from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pacifictool.errors import PacificToolError, kind_name

PAGE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


def kinds(of: type[PacificToolError]) -> Iterator[str]:
    yield kind_name(of)
    for below in of.__subclasses__():
        if below.__module__ == "pacifictool.errors":
            yield from kinds(below)


def test_every_kind_of_error_has_an_entry_and_every_entry_is_a_kind() -> None:
    entries = re.findall(r"^### (.+)$", PAGE, re.MULTILINE)
    assert sorted(entries) == sorted({*kinds(PacificToolError), "interrupted"})


def test_every_entry_says_something() -> None:
    for entry in PAGE.split("\n### ")[1:]:
        title, _, text = entry.partition("\n\n")
        assert len(text.split()) > 12, title
