from __future__ import annotations

import io
import json
import threading
import time

import pytest

from pacifictool.cli import render
from pacifictool.cli.render import Messages, Output, TerminalReporter, table
from pacifictool.errors import OutputFailed, PacificToolError


def messages(*, verbose: bool = False, quiet: bool = False) -> tuple[Messages, io.StringIO]:
    stream = io.StringIO()
    return Messages(stream, colour=False, verbose=verbose, quiet=quiet), stream


def test_what_each_level_of_talkativeness_tells() -> None:
    printed = {}
    for name, options in (("plain", {}), ("verbose", {"verbose": True}), ("quiet", {"quiet": True})):
        reporter, stream = messages(**options)
        reporter.info("an info")
        reporter.detail("a detail")
        reporter.warning("a warning")
        with reporter.task("A task"):
            pass
        printed[name] = stream.getvalue().splitlines()
    assert printed == {
        "plain": ["an info", "Warning: a warning", "A task …"],
        "verbose": ["an info", "a detail", "Warning: a warning", "A task …"],
        "quiet": ["Warning: a warning"],
    }


def test_square_brackets_and_long_lines_are_printed_as_they_are() -> None:
    reporter, stream = messages()
    text = "[bold]not markup[/bold] " + "x" * 300
    reporter.info(text)
    reporter.error(PacificToolError(text, hint=text))
    assert stream.getvalue().startswith(f"{text}\nError: {text}\n  {text}\n  More: pacifictool help")


def test_without_a_terminal_a_long_task_says_now_and_then_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "PLAIN_INTERVAL_SECONDS", 0.02)
    reporter, stream = messages()
    with reporter.task("Copying", total=10, unit="files") as task:
        task.advance()
        time.sleep(0.03)
        task.advance(2)
        time.sleep(0.03)
        task.update(completed=10, note="done soon")
    assert stream.getvalue().splitlines() == [
        "Copying …",
        "Copying: 3 of 10 files",
        "Copying: 10 of 10 files done soon",
        "Copying: 10 of 10 files done soon",
    ]


def test_where_nothing_is_counted_the_time_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "PLAIN_INTERVAL_SECONDS", 0.02)
    reporter, stream = messages()
    with reporter.task("Starting Spark"):
        time.sleep(0.03)
    assert stream.getvalue().splitlines() == ["Starting Spark …", "Starting Spark: 0 s"]


def test_many_threads_may_report_at_once() -> None:
    reporter, stream = messages()

    def work() -> None:
        with reporter.task("Working", total=100) as task:
            for _ in range(100):
                task.advance()
        reporter.info("x" * 50)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(stream.getvalue().splitlines())) == sorted({"Working …", "x" * 50})


def test_a_table_is_neither_cut_nor_padded_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    name = "[red]" + "n" * 150
    Output(stream, as_json=False, colour=True).emit(
        {}, lambda console: console.print(table("T", {"A": "left"}, [[name]]))
    )
    lines = stream.getvalue().splitlines()
    assert any(name in line for line in lines)
    assert all(line == line.rstrip() for line in lines)
    assert "\x1b" not in stream.getvalue()


def test_json_is_one_document_whatever_the_names_hold() -> None:
    stream = io.StringIO()
    document = {"name": "half \udcff", "other": "Ω"}
    Output(stream, as_json=True, colour=True).emit(document, lambda _: None)
    assert json.loads(stream.getvalue()) == document
    assert stream.getvalue().endswith("}\n")


def test_a_stream_that_fails_is_an_error_of_ours_and_one_that_closed_is_not() -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    class Closed(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(OutputFailed, match="no space left"):
        Output(Full(), as_json=True, colour=False).write_line("x")
    with pytest.raises(BrokenPipeError):
        Output(Closed(), as_json=True, colour=False).write_line("x")


def test_bars_of_tasks_that_run_at_once_share_one_display() -> None:
    stream = io.StringIO()
    reporter = TerminalReporter(stream, colour=False, verbose=False)
    with reporter.task("Outer", total=2, unit="things") as outer, reporter.task("Inner") as inner:
        outer.advance()
        inner.update(completed=1, total=3, note="so far")
        reporter.info("a message in between")
    with reporter.task("Again"):
        pass
    assert "a message in between" in stream.getvalue()
