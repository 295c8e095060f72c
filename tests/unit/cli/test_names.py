"""Every command that shows names, with names that a terminal, Rich or a line-based reader would interpret."""

from __future__ import annotations

import io
from typing import Any

import pytest

from pacifictool.analytics.sinks.console import describe
from pacifictool.cli.checklist import Checklist, ChecklistStep, PlainLines
from pacifictool.cli.rejects import render_invalid_records
from pacifictool.cli.render import Messages, Output, TerminalReporter
from pacifictool.demo.checks import DemoCheck
from pacifictool.errors import PacificToolError
from tests.support.nasty_names import NASTY, is_shown, unseen_in
from tests.support.scenarios import window_result


class Screen(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("name", NASTY)
def test_invalid_records(name: str) -> None:
    letter = {"topic": "t", "partition": 0, "offset": 1, "value_base64": None}
    document = {
        "total": 1,
        "reasons": {f"no zone {name}": 1},
        "rejects": [{**letter, "reason": f"no zone {name}", "value": name}],
    }
    stream = io.StringIO()
    Output(stream, as_json=False, colour=False).emit({}, lambda console: render_invalid_records(console, document))
    assert unseen_in(stream.getvalue()) == []
    *_, row, _, reason = stream.getvalue().splitlines()
    assert is_shown(name, reason)
    assert is_shown(name, row.partition("no zone")[2])


@pytest.mark.parametrize("name", [*NASTY, "half \udcff"])
def test_reporters_lines_and_documents(name: str) -> None:
    error = PacificToolError(f"There is no {name}.", hint=f"Did you mean {name}?", device=name)
    error.add_note(f"Then {name}.")

    def report(reporter: Any) -> None:
        reporter.info(f"info {name}")
        reporter.detail(f"detail {name}")
        reporter.warning(f"warning {name}")
        reporter.error(error)
        with reporter.task(f"task {name}", unit=name) as task:
            task.update(completed=1, note=f"note {name}")
            if isinstance(reporter, TerminalReporter):
                reporter._progress.refresh()

    plain, screen, result = io.StringIO(), Screen(), io.StringIO()
    report(Messages(plain, colour=False, verbose=True, quiet=False))
    lines = plain.getvalue().splitlines()
    assert len(lines) == 8, lines
    for line in [*lines[:6], lines[7]]:
        assert is_shown(name, line), line
    assert unseen_in(plain.getvalue()) == []

    report(TerminalReporter(screen, colour=True, verbose=True))
    assert unseen_in(screen.getvalue(), drawn=True) == []
    assert is_shown(name, screen.getvalue())

    output = Output(result, as_json=False, colour=False)
    output.write_line(describe(window_result(name)))
    output.emit({}, lambda console: console.print(f"Deleted {name}."))
    assert len(result.getvalue().splitlines()) == 2
    assert unseen_in(result.getvalue()) == []
    document = io.StringIO()
    Output(document, as_json=True, colour=False).write_document(error.as_document())
    assert unseen_in(document.getvalue()) == []


@pytest.mark.parametrize("name", NASTY)
def test_the_demos_checklist(name: str) -> None:
    screen = Screen()
    view = Checklist(
        screen, f"Heading {name}", [ChecklistStep("a", f"Step {name}", name, (1, 2))], colour=True, verbose=True
    )
    with view.shown():
        view.on_step("a")
        view.info(f"News {name}")
        view.on_page(f"http://{name}")
        view.on_mean(name, 1, 1.5)
        with view.task(f"Task {name}") as task:
            task.update(note=name)
    assert unseen_in(screen.getvalue(), drawn=True) == []
    assert is_shown(f"Step {name}", screen.getvalue())
    stream = io.StringIO()
    lines = PlainLines(Messages(stream, colour=False, verbose=True, quiet=False))
    lines.on_mean(name, 1, 1.5)
    lines.on_check(DemoCheck(name, (1, 2), 1.5))
    assert len(stream.getvalue().splitlines()) == 2
    assert unseen_in(stream.getvalue()) == []
