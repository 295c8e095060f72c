from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pacifictool import troubleshooting
from pacifictool.errors import NotFound, PacificToolError, kind_name
from pacifictool.problems import ProblemCode

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
BY_KIND, BY_CODE = PAGE.split("\n## By kind\n")[1].split("\n## By problem\n")


def kinds(base: type[PacificToolError]) -> Iterator[str]:
    yield kind_name(base)
    for below in base.__subclasses__():
        if below.__module__ == "pacifictool.errors":
            yield from kinds(below)


def entries(text: str) -> list[str]:
    return re.findall(r"^### (.+)$", text, re.MULTILINE)


def test_every_kind_of_error_has_an_entry_and_every_entry_is_a_kind() -> None:
    assert sorted(entries(BY_KIND)) == sorted({*kinds(PacificToolError), "interrupted"})


def test_every_error_says_where_its_entry_is() -> None:
    page, _, anchor = NotFound("There is no such thing.").as_document()["error"]["help"].partition("#")
    assert (ROOT / page).is_file()
    assert anchor in entries(BY_KIND)


def test_the_command_help_has_every_entry() -> None:
    assert list(troubleshooting.entries()) == [*entries(BY_KIND), *entries(BY_CODE)]
    assert all(text for text in troubleshooting.entries().values())


def test_every_problem_of_doctor_and_trace_has_an_entry_and_every_entry_is_a_problem() -> None:
    assert sorted(entries(BY_CODE)) == sorted(ProblemCode)


def test_no_name_stands_for_two_things() -> None:
    """A name is an anchor of the page."""
    assert len(entries(PAGE)) == len(set(entries(PAGE)))


def test_every_entry_says_something() -> None:
    for entry in PAGE.split("\n### ")[1:]:
        title, _, text = entry.partition("\n\n")
        assert len(text.split()) > 12, title
