"""Runs the engines as processes: each peer in its own environment, all measured from outside in the same way."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from benchmarks.expected import Means

ENGINES = Path(__file__).parent / "engines"
OURS, READING = "pacifictool", "Spark reading only"
SCRIPTS = {
    OURS: "ours.py",
    READING: "spark_reading.py",
    "confluent-kafka loop": "confluent_loop.py",
    "bytewax 0.21": "bytewax_flow.py",
    "quix-streams 3.28": "quix.py",
}
PEERS = tuple(name for name in SCRIPTS if name not in (OURS, READING))
_SAMPLE_SECONDS = 0.1
_LONGEST_SECONDS = 900


@dataclass(frozen=True)
class Topic:
    """A filled topic."""

    name: str
    records: int
    """With the closing records."""


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


@dataclass(frozen=True)
class Outcome:
    """One run of an engine."""

    start_seconds: float
    """From the launch of its process until it was about to read."""
    first_seconds: float
    """From the launch to the first report."""
    peak_mb: float
    """Resident memory of all its processes together."""
    reports: Sequence[Report]


def prepare_environments(peers: Sequence[str] = PEERS) -> dict[str, Path]:
    """Python of each engine by name. Peers' packages come from the registry into uv's cache at the first call."""
    uv = _uv()
    pythons = {OURS: Path(sys.executable), READING: Path(sys.executable)}
    for name in peers:
        script = str(ENGINES / SCRIPTS[name])
        subprocess.run([*uv, "sync", "--quiet", "--script", script], check=True)
        found = subprocess.run([*uv, "python", "find", "--script", script], check=True, capture_output=True, text=True)
        pythons[name] = Path(found.stdout.strip())
    return pythons


def run(
    engine: str, python: Path, bootstrap: str, topics: Sequence[Topic], *, window_ms: int, environ: Mapping[str, str]
) -> Outcome:
    """Runs an engine over the topics in turn. Raises SystemExit with its last words when it fails."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        tasks = [{"topic": topic.name, "records": topic.records} for topic in topics]
        argument = {"bootstrap": bootstrap, "window_ms": window_ms, "folder": folder, "tasks": tasks}
        errors = Path(folder, "stderr")
        launched = time.perf_counter()
        with (
            errors.open("w") as stderr,
            subprocess.Popen(
                [str(python), str(ENGINES / SCRIPTS[engine]), json.dumps(argument)],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=dict(environ),
            ) as process,
        ):
            watchdog = threading.Timer(_LONGEST_SECONDS, process.kill)
            watchdog.start()
            with Usage(process.pid) as usage:
                try:
                    events = _events(process, usage, launched)
                finally:
                    watchdog.cancel()
        reports = [event for event in events if event["event"] == "report"]
        if process.returncode or len(reports) != len(topics):
            raise SystemExit(f"{engine} failed:\n{errors.read_text()[-3000:]}")
        cpu = [event["cpu"] for event in events]
        return Outcome(
            start_seconds=events[0]["at"],
            first_seconds=reports[0]["at"],
            peak_mb=usage.peak_bytes / 1e6,
            reports=[
                Report(
                    seconds=event["seconds"],
                    records=event["records"],
                    cpu_seconds=cpu[number + 1] - cpu[number],
                    means={(zone, end): (count, mean) for zone, end, count, mean in event["means"]},
                )
                for number, event in enumerate(reports)
            ],
        )


def _events(process: subprocess.Popen[str], usage: Usage, launched: float) -> list[dict[str, Any]]:
    assert process.stdout is not None
    events = []
    for line in process.stdout:
        at, cpu = time.perf_counter() - launched, usage.cpu_seconds()
        if line.startswith('{"event"'):
            events.append({**json.loads(line), "at": at, "cpu": cpu})
    return events


class Usage:
    """Samples a process and all its descendants."""

    def __init__(self, pid: int) -> None:
        self.peak_bytes = 0
        self._root = psutil.Process(pid)
        self._cpu: dict[int, float] = {}
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
                except psutil.NoSuchProcess:
                    continue
            self.peak_bytes = max(self.peak_bytes, memory)


def _uv() -> list[str]:
    beside = Path(sys.executable).with_name("uv")
    return [str(beside)] if beside.exists() else ["uv"]
