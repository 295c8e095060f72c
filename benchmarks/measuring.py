"""Runs an engine as a process and measures it from outside, in the same way for all; nothing of it outlives the run."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import psutil

from benchmarks.expected import Means

_SAMPLE_SECONDS = 0.1
_REASON = 300
"""Characters of an engine's last words."""


class EngineFailed(Exception):
    """An engine did not come to its end; the text says why, in one line."""


@dataclass(frozen=True)
class Report:
    """One engine over one topic."""

    seconds: float
    """As the engine says: from before the first read to the last result."""
    records: int
    cpu_seconds: float
    """Of all its processes."""
    means: Means

    @property
    def per_second(self) -> float:
        return self.records / self.seconds

    @property
    def cpu_per_million(self) -> float:
        """Processor seconds for a million records."""
        return self.cpu_seconds / self.records * 1e6


@dataclass(frozen=True)
class Outcome:
    """One run of an engine."""

    start_seconds: float
    """From the launch of its process until it was about to read."""
    first_seconds: float
    """From the launch to the last mean of the first topic."""
    first_cpu_seconds: float
    """Of all its processes, over that time."""
    peak_mb: float
    """Resident memory of all its processes together, until the last mean of the last topic."""
    reports: Sequence[Report]


def measure(command: Sequence[str], *, passes: int, limit_seconds: float, environ: Mapping[str, str]) -> Outcome:
    """Runs a command that reports as benchmarks/engines/engine.py describes.

    Raises EngineFailed when it fails, reports something else than `passes` times, or takes longer than the limit.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr:
        launched = time.perf_counter()
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=dict(environ))
        except OSError as error:
            raise EngineFailed(f"could not be started: {error}") from error
        late = threading.Event()

        def give_up() -> None:
            late.set()
            end_tree(process.pid)

        watchdog = threading.Timer(limit_seconds, give_up)
        watchdog.start()
        with Usage(process.pid) as usage:
            try:
                events = _events(process, usage, launched)
                process.wait()
            finally:
                watchdog.cancel()
                usage.end_all()
                process.communicate()
        reports = [event for event in events if event["event"] == "report"]
        if late.is_set():
            raise EngineFailed(f"took longer than {limit_seconds:,.0f} s")
        if process.returncode or len(reports) != passes:
            stderr.seek(0)
            raise EngineFailed(_last_words(stderr.read()) or f"exit code {process.returncode}, {len(reports)} reports")
    return outcome_of_events(events)


def end_tree(pid: int) -> None:
    """Ends a process and all its descendants."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        _end([*root.children(recursive=True), root])


def _end(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def outcome_of_events(events: Sequence[Mapping[str, Any]]) -> Outcome:
    """Each report with what was seen at its "done", or at the report itself.

    An engine that starts another program says itself when the last mean came; its own start does not count.
    """
    reports = [event for event in events if event["event"] == "report"]
    ends, begins, since = [], [], events[0]
    for number, event in enumerate(events):
        if event["event"] == "report":
            before = events[number - 1]
            ends.append(before if before["event"] == "done" else event)
            begins.append(since)
            since = event
    return Outcome(
        start_seconds=events[0]["at"],
        first_seconds=reports[0].get("last_mean_seconds", ends[0]["at"]),
        first_cpu_seconds=ends[0]["cpu"] - (events[0]["cpu"] if "last_mean_seconds" in reports[0] else 0.0),
        peak_mb=ends[-1]["peak_bytes"] / 1e6,
        reports=[
            Report(
                seconds=report["seconds"],
                records=report["records"],
                cpu_seconds=end["cpu"] - begin["cpu"],
                means={(zone, close): (count, mean) for zone, close, count, mean in report["means"]},
            )
            for report, begin, end in zip(reports, begins, ends, strict=True)
        ],
    )


def _last_words(text: str) -> str:
    """The line of an error output that says most: the exception, else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by:") or "Exception" in line.split(":")[0]]
    return (causes or lines or [""])[-1][:_REASON]


def _events(process: subprocess.Popen[str], usage: Usage, launched: float) -> list[dict[str, Any]]:
    assert process.stdout is not None
    events = []
    for line in process.stdout:
        if line.startswith('{"event"'):
            seen = {"at": time.perf_counter() - launched, "cpu": usage.cpu_seconds(), "peak_bytes": usage.peak_bytes}
            events.append({**json.loads(line), **seen})
    return events


class Usage:
    """Samples a process and all its descendants."""

    def __init__(self, pid: int) -> None:
        self.peak_bytes = 0
        """Of the resident memory of all of them together, so far."""
        self._root = psutil.Process(pid)
        self._cpu: dict[int, float] = {}
        self._seen: dict[int, psutil.Process] = {}
        self._lock = threading.Lock()
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._halt.set()
        self._thread.join()

    def cpu_seconds(self) -> float:
        """Processor time so far; a process that ended counts with what was seen last."""
        self._sample()
        return sum(self._cpu.values())

    def end_all(self) -> None:
        """Ends what is left of the processes that were seen; one that lost its parent, too."""
        end_tree(self._root.pid)
        _end([process for process in self._seen.values() if process.is_running()])

    def _run(self) -> None:
        while not self._halt.wait(_SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        with self._lock:
            memory = 0
            try:
                family = [self._root, *self._root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            for process in family:
                try:
                    with process.oneshot():
                        times = process.cpu_times()
                        memory += process.memory_info().rss
                    self._cpu[process.pid] = times.user + times.system
                    self._seen[process.pid] = process
                except psutil.NoSuchProcess:
                    continue
            self.peak_bytes = max(self.peak_bytes, memory)
