"""What the benchmark's engines share. Standard library only: each peer runs in an environment of its own.

An engine prints lines of JSON: {"event": "ready"} once it is about to read, then for each task {"event": "done"} as
soon as it has all means, and a report. The runner measures time, processor time and memory from outside, for all
processes of an engine alike; what it takes to print the means does not count.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

Means = dict[tuple[str, int], tuple[int, float]]
"""(Zone, window end in ms) → (records, mean)."""


@dataclass(frozen=True)
class Task:
    """Averages to compute over all of a topic."""

    bootstrap: str
    topic: str
    records: int
    window_ms: int
    folder: Path


def tasks_from_arguments() -> list[Task]:
    """The tasks as the runner hands them over: one JSON argument."""
    document = json.loads(sys.argv[1])
    return [
        Task(document["bootstrap"], task["topic"], task["records"], document["window_ms"], Path(document["folder"]))
        for task in document["tasks"]
    ]


def ready() -> None:
    """Tells the runner that the next thing is to read."""
    print(json.dumps({"event": "ready"}), flush=True)


def done() -> None:
    """Tells the runner that all means are known."""
    print(json.dumps({"event": "done"}), flush=True)


def report(records: int, seconds: float, means: Means, **more: float) -> None:
    """Tells the runner what became of a task.

    `last_mean_seconds` is for an engine that starts another program: from its launch to its last mean.
    """
    document = {
        "event": "report",
        **more,
        "records": records,
        "seconds": seconds,
        "means": [[zone, end, count, mean] for (zone, end), (count, mean) in sorted(means.items())],
    }
    print(json.dumps(document), flush=True)


class Sums:
    """Counts and sums by zone and window, for engines that keep them in Python."""

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._sums: dict[tuple[str, int], list[float]] = {}

    def add(self, zone: str, value: float, timestamp_ms: int) -> None:
        key = (zone, timestamp_ms - timestamp_ms % self._window_ms + self._window_ms)
        found = self._sums.get(key)
        if found is None:
            self._sums[key] = [1, value]
        else:
            found[0] += 1
            found[1] += value

    def merge(self, zone: str, end_ms: int, count: int, total: float) -> None:
        """Adds a part that an engine has summed itself."""
        found = self._sums.setdefault((zone, end_ms), [0, 0.0])
        found[0] += count
        found[1] += total

    def means(self) -> Means:
        return {key: (int(count), total / count) for key, (count, total) in self._sums.items()}
