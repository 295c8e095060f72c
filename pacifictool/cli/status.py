"""`status`: what runs on this machine."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pacifictool.cli.framework import command_app, session_of
from pacifictool.errors import ForeignFolder, SettingsError
from pacifictool.tools.times import age_text, utc_text

if TYPE_CHECKING:
    from pacifictool.cli.context import CliSession
    from pacifictool.runtime.marks import RunningMark

_TIMES = ("since", "last_batch", "last_delivery")
"""Facts of a job that are times, in seconds since the epoch; the JSON document has milliseconds, as everywhere."""

app, command = command_app("pacifictool status", "pacifictool status -o json")


@command
def status(ctx: typer.Context) -> None:
    """Show every job and every sandbox of yours that runs on this machine, whatever its folder; as root, everybody's.

    That nothing runs is a result, too. The numbers of a job are those of the last few seconds; `--metrics` of
    `aggregate` has more.
    """
    session = session_of(ctx)
    marks = _marks(session)
    jobs = [_job(mark) for mark in marks if mark.kind == "job"]
    sandboxes = [found for mark in marks if mark.kind == "sandbox" and (found := _sandbox(mark)) is not None]
    document = {"ok": True, "jobs": jobs, "sandboxes": sandboxes}
    session.output.emit(document, lambda console: _render(console, jobs, sandboxes))


def _marks(session: CliSession) -> list[RunningMark]:
    from pacifictool.runtime.cache import STATE_VARIABLE
    from pacifictool.runtime.marks import running_marks, state_dirs_of_processes

    folders = []
    with contextlib.suppress(SettingsError):  # a user without a home folder
        folders.append(session.environment.state_dir)
    return running_marks([*folders, *state_dirs_of_processes(STATE_VARIABLE)])


def _job(mark: RunningMark) -> dict[str, Any]:
    known = ("topic", "sink", "checkpoint", "since", "metrics", "phase", "problem", "last_batch", "last_delivery")
    facts = {name: mark.facts.get(name) for name in (*known, "lag", "records", "open_windows")}
    times = {name: round(value * 1000) for name in _TIMES if isinstance(value := facts[name], int | float)}
    return {"pid": mark.pid, **facts, **times}


def _sandbox(mark: RunningMark) -> dict[str, Any] | None:
    """As `sandbox status` shows it; None when it is not ready, or its folder is not to be believed."""
    from pacifictool.local.daemon import read_state

    data = mark.facts.get("data")
    with contextlib.suppress(ForeignFolder):
        state = read_state(Path(data)) if isinstance(data, str) else None
        if state is not None and state.pid == mark.pid:
            return asdict(state)
    return None


def _render(console: Any, jobs: list[dict[str, Any]], sandboxes: list[dict[str, Any]]) -> None:
    from pacifictool.cli.render import table

    if not jobs and not sandboxes:
        console.print("Nothing runs.")
    now_ms = time.time() * 1000
    if jobs:
        rows = [
            [
                str(job["pid"]),
                f"{job['topic']} → {job['sink']}",
                utc_text(job["since"]) if isinstance(job["since"], int) else "–",
                age_text((now_ms - job["last_batch"]) / 1000) if isinstance(job["last_batch"], int) else "none yet",
                "–" if job["lag"] is None else str(job["lag"]),
                str(job["problem"] or job["phase"] or "–"),
                str(job["metrics"] or "–"),
                str(job["checkpoint"] or "–"),
            ]
            for job in jobs
        ]
        columns = {"Job": "right", "Topic": "left", "Since": "left", "Last batch": "left", "Lag": "right"}
        columns |= {"State": "left", "Metrics": "left", "Checkpoint": "left"}
        console.print(table("Jobs", columns, rows))
    if sandboxes:
        rows = [[str(each["pid"]), each["url"], each["mqtt"], each["kafka"], each["data"]] for each in sandboxes]
        columns = {"Sandbox": "right", "REST": "left", "MQTT": "left", "Kafka": "left", "Data": "left"}
        console.print(table("Sandboxes", columns, rows))
