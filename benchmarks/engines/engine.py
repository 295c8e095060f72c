"""What the benchmark's engines share. Standard library only: each peer runs in an environment of its own."""

from __future__ import annotations

import json
import resource
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


def task_from_arguments() -> Task:
    """The task as the runner hands it over: one JSON argument."""
    document = json.loads(sys.argv[1])
    return Task(
        document["bootstrap"],
        document["topic"],
        document["records"],
        document["window_ms"],
        Path(document["folder"]),
    )


def report(engine: str, records: int, seconds: float, means: Means, **more: float) -> None:
    """Prints one line of JSON that the runner reads. Processor time and memory are those of this process."""
    usage, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    document = {
        "engine": engine,
        "records": records,
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime + children.ru_utime + children.ru_stime,
        "means": [[zone, end, count, mean] for (zone, end), (count, mean) in sorted(means.items())],
        **more,
    }
    print(json.dumps(document), flush=True)


class Sums:
    """Counts and sums by zone and window, for engines that keep them in Python."""

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._sums: dict[tuple[str, int], list[float]] = {}

    def add(self, zone: str, value: float, stamp_ms: int) -> None:
        key = (zone, stamp_ms - stamp_ms % self._window_ms + self._window_ms)
        found = self._sums.get(key)
        if found is None:
            self._sums[key] = [1, value]
        else:
            found[0] += 1
            found[1] += value

    def means(self) -> Means:
        return {key: (int(count), total / count) for key, (count, total) in self._sums.items()}
