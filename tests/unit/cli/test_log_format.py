"""`--log-format json`: stderr as one JSON object per line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from pacifictool.cli import render
from pacifictool.cli.log_lines import JsonMessages
from pacifictool.errors import PlatformUnreachable
from pacifictool.rest.http.retry import RetryLoop
from tests.support.command_line import CommandLine, Outcome

AWAY = {"PACIFICTOOL_URL": "http://127.0.0.1:1"}


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_levels_fields_and_times() -> None:
    stream = io.StringIO()
    messages = JsonMessages(stream, verbose=True, quiet=False)
    messages.info("Topic '\u202e\x1b[31m' is there.")
    messages.detail("Using Java 21")
    messages.warning("Waiting")
    messages.error(PlatformUnreachable("No response.", hint="Check it.", sent=False), "Traceback:\n  here\n")
    info, detail, warning, error = lines_of(stream.getvalue())
    assert stream.getvalue().isascii()
    assert [line["level"] for line in (info, detail, warning, error)] == ["info", "debug", "warning", "error"]
    assert info["message"] == "Topic '\u202e\x1b[31m' is there."
    assert info["time"].endswith("Z")
    assert (error["kind"], error["hint"], error["details"]) == ("platform-unreachable", "Check it.", {"sent": False})
    assert error["traceback"] == "Traceback:\n  here\n"


def test_progress_has_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "PLAIN_INTERVAL_SECONDS", -1.0)
    stream = io.StringIO()
    with JsonMessages(stream, verbose=False, quiet=False).task("Aggregating", unit="records") as task:
        task.update(completed=7, note="3/s")
    begin, middle, end = lines_of(stream.getvalue())
    assert begin["task"] == "Aggregating"
    assert {name: middle[name] for name in ("message", "done", "unit", "note")} == {
        "message": "Aggregating …", "done": 7, "unit": "records", "note": "3/s"
    }  # fmt: skip
    assert end["done"] == 7


def test_quiet_and_a_reader_that_is_gone() -> None:
    stream = io.StringIO()
    messages = JsonMessages(stream, verbose=False, quiet=True)
    with messages.task("Working"):
        messages.info("no")
        messages.detail("no")
        messages.warning("yes")
    assert [line["message"] for line in lines_of(stream.getvalue())] == ["yes"]
    stream.close()
    messages.warning("lost")


@pytest.mark.parametrize("how", ["option", "variable", "file"])
def test_an_error_of_a_command_is_a_line(
    how: str, command_line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RetryLoop, "_wait", lambda *_: False)

    def call() -> Outcome:
        if how == "option":
            return command_line("device", "list", "--log-format", "json", "--debug", environ=AWAY)
        if how == "variable":
            return command_line("device", "list", "--debug", environ={**AWAY, "PACIFICTOOL_LOG_FORMAT": "json"})
        (tmp_path / "pacifictool.toml").write_text('log_format = "json"\n', encoding="utf-8")
        return command_line("device", "list", "--debug", environ=AWAY)

    outcome = call()
    assert outcome.code == 1
    *_, error = lines_of(outcome.stderr)
    assert (error["level"], error["kind"]) == ("error", "platform-unreachable")
    assert "Traceback" in error["traceback"]


def test_a_mistyped_format_is_a_usage_error_in_text(command_line: CommandLine) -> None:
    outcome = command_line("device", "list", "--log-format", "jsn", environ=AWAY)
    assert outcome.code == 2
    assert outcome.stderr.startswith("Error: --log-format")
    assert "json" in outcome.stderr
