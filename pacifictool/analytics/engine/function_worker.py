"""What Spark's Python workers do: hand the calls of each series to the process of its function, and give the outcomes.

Workers have this package from the driver and may lack everything else, so that this needs only the standard library;
pandas is for the function's process.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pacifictool.analytics.engine.function_process import FunctionEnded, FunctionProcess, FunctionUnusable
from pacifictool.analytics.engine.function_wire import SeriesFrames, by_series

LOST_SECONDS: Final = 60.0
ENDS_IN_A_ROW: Final = 3
"""When calls in a row, at least three, have ended the process of their function and have cost a minute, the task does
not try the others: a function that always hangs would take hours for a thousand groups."""
_MAX_PROCESSES: Final = 2


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """What a worker needs to know of an analytics with a function."""

    text: str
    """As the scenario has it: "anomaly:score"."""
    archive: str
    """Name of the folder with the function's files, among those that Spark has sent."""
    path: str
    """Of the function's file in that folder."""
    config: Mapping[str, Any] = field(hash=False)
    """What function_child.py works with: name, text, memory, timeout, analytics, kind, window_ms, forwarded, texts and
    numbers."""


@dataclass(frozen=True, slots=True)
class WorkerTask:
    """What each task does with the frames that it gets: calls of one function."""

    spec: FunctionSpec

    def __call__(self, _split: int, frames: Iterator[bytes]) -> Iterator[bytes]:
        """A JSON document for each call: `series` and `window`, and what the process said or `failure`.

        Others tell the driver what is so for all calls: `versions` of this machine, or `missing`, what it lacks.
        """
        host = _host_of(self.spec)
        host.begin_task()
        for series in by_series(frames):
            windows = len(json.loads(series.calls)["windows"])
            if not windows:
                host.load()
            for number in range(windows):
                yield json.dumps({"series": series.series, "window": number, **host.outcome(series, number)}).encode()
        yield json.dumps({"versions": dict(host.process.versions)}).encode()


class _Host:
    """A function's process, and whether it is still worth being tried."""

    def __init__(self, text: str, process: FunctionProcess) -> None:
        self.process = process
        self._text = text
        self._ends = 0
        self._lost_seconds = 0.0
        self._unusable: FunctionUnusable | None = None

    def begin_task(self) -> None:
        """Another task tries once what an earlier one gave up."""
        self._unusable = None
        self._ends = min(self._ends, ENDS_IN_A_ROW - 1)

    def load(self) -> None:
        """Has the process load the function before it is called; if it cannot, calls will say so."""
        with contextlib.suppress(FunctionUnusable):
            self.process.load()

    def outcome(self, series: SeriesFrames, number: int) -> dict[str, Any]:
        """What became of the call for a window of a series."""
        if self._unusable is not None:
            return _unusable(self._unusable)
        if self._ends >= ENDS_IN_A_ROW and self._lost_seconds >= LOST_SECONDS:
            return {"failure": f"{self._text} was not called: all of the last {self._ends} calls ended its process."}
        began = time.monotonic()
        try:
            response = self.process.call(series, [series.calls, *series.readings], number)
        except FunctionUnusable as error:
            self._unusable = error
            return _unusable(error)
        except FunctionEnded as ended:
            self._ends += 1
            self._lost_seconds += time.monotonic() - began
            output = {"output": ended.output} if ended.output else {}
            return {"failure": f"{self._text} {ended.message}.", "traceback": ended.traceback, **output}
        self._ends, self._lost_seconds = 0, 0.0
        return response


_hosts: dict[FunctionSpec, _Host] = {}
"""Of this worker: they stay from task to task, so that models are loaded once. A job has one for each worker."""


def _host_of(spec: FunctionSpec) -> _Host:
    host = _hosts.pop(spec, None)
    if host is None:
        file = _archives() / spec.archive / spec.path
        host = _Host(spec.text, FunctionProcess({**spec.config, "file": str(file), "folder": str(file.parent)}))
    _hosts[spec] = host
    while len(_hosts) > _MAX_PROCESSES:
        _hosts.pop(next(iter(_hosts))).process.close()
    return host


def _archives() -> Path:
    from pyspark.core.files import SparkFiles

    return Path(SparkFiles.getRootDirectory()).absolute()  # "." on a cluster


def _unusable(error: FunctionUnusable) -> dict[str, Any]:
    if error.missing:
        return {"missing": error.message}
    return {"failure": error.message, "traceback": error.traceback}
