"""`status`: what runs, and that nothing runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pacifictool.local.daemon import forget_state, write_state
from pacifictool.runtime import marks
from pacifictool.runtime.marks import marked
from pacifictool.runtime.own_folder import SANDBOX, claim
from tests.support.command_line import CommandLine
from tests.support.nasty_names import CONTROLS

FACTS = {
    "topic": CONTROLS[0],
    "sink": "rest",
    "checkpoint": "/var/lib/pacifictool/job",
    "since": 1_795_477_540.0,
    "metrics": "http://127.0.0.1:9100",
    "phase": "running",
    "problem": None,
    "last_batch": 1_795_477_550.25,
    "lag": 17,
}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests on this machine run jobs, with state folders of their own."""
    monkeypatch.setattr(marks, "state_dirs_of_processes", lambda _variable: [])


def test_nothing_runs(command_line: CommandLine) -> None:
    outcome = command_line("status", "-o", "json")
    assert outcome.code == 0
    assert outcome.document == {"ok": True, "jobs": [], "sandboxes": []}
    assert command_line("status").stdout == "Nothing runs.\n"


def test_jobs_are_shown_with_what_they_say_of_themselves(command_line: CommandLine, tmp_path: Path) -> None:
    with marked(tmp_path / "state", "job", lambda: FACTS):
        (job,) = command_line("status", "-o", "json").document["jobs"]
        table = command_line("status").stdout
    assert {"pid": os.getpid(), **FACTS, "since": 1_795_477_540_000, "last_batch": 1_795_477_550_250}.items() <= (
        job.items()
    )
    for text in ("17", "running", "http://127.0.0.1:9100", "/var/lib/pacifictool/job"):
        assert text in table
    assert "\x1b" not in table


def test_a_sandbox_is_shown_once_it_is_ready(command_line: CommandLine, tmp_path: Path) -> None:
    data = tmp_path / "data"
    claim(data, SANDBOX)
    with marked(tmp_path / "state", "sandbox", lambda: {"data": str(data)}):
        assert command_line("status", "-o", "json").document["sandboxes"] == []
        write_state(data, url="http://127.0.0.1:8080", mqtt="127.0.0.1:1883", kafka="127.0.0.1:9092")
        (sandbox,) = command_line("status", "-o", "json").document["sandboxes"]
        assert (sandbox["url"], sandbox["pid"]) == ("http://127.0.0.1:8080", os.getpid())
        assert "127.0.0.1:9092" in command_line("status").stdout
        forget_state(data)
        assert command_line("status", "-o", "json").document["sandboxes"] == []


def test_facts_of_another_form_do_no_harm(command_line: CommandLine, tmp_path: Path) -> None:
    with marked(tmp_path / "state", "job", dict), marked(tmp_path / "state", "sandbox", lambda: {"data": "/etc"}):
        assert command_line("status").code == 0
        document = command_line("status", "-o", "json").document
    assert [job["pid"] for job in document["jobs"]] == [os.getpid()]
    assert document["sandboxes"] == []
