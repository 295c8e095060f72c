"""The process that runs a user's function: started by function_process.py, and ends with it.

It reads requests from one pipe and writes responses to another, and its stack to a third when a call takes too long.
Standard output and error are only the function's. A request is a byte that says what it is, and its length; a response
is JSON after its length.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import json
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final

from pacifictool.errors import ScenarioError

BEGIN: Final = b"B"
"""With a document, what the function is and its limits. Response: `versions`, or what is `missing`."""
LOAD: Final = b"L"
"""Load the function. Response: why it is `unusable`, with `hint` and `traceback`."""
SERIES: Final = b"S"
"""With frames: the document of its calls, then its readings."""
CALL: Final = b"C"
"""With the number of a window of the series. Response: number of `readings`, `results` and `alarms`, or `failure` and
`traceback`."""

WHERE: Final = signal.SIGUSR2
"""Asks where the function is: its stack goes to the third pipe, whatever it does."""

MEBIBYTE: Final = 1 << 20
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Requests:
    """What is done for each kind of request."""

    def __init__(self) -> None:
        self._config: Mapping[str, Any] = {}
        self._loaded: Any = None
        self._series: Any = None
        self._readings: Any = None

    def begin(self, payload: bytes) -> dict[str, Any]:
        self._config = json.loads(payload)
        try:
            import pandas as pd
        except ImportError as error:
            return {"missing": str(error)}
        _limit_address_space(self._config["memory"])
        return {"versions": {"python": platform.python_version(), "pandas": pd.__version__}}

    def load(self, _: bytes) -> dict[str, Any]:
        from pacifictool.analytics.engine.function_calls import load_file

        try:
            self._loaded = load_file(Path(self._config["file"]), self._config["name"], self._config["text"])
        except ScenarioError as error:
            return {"unusable": error.message, "hint": error.hint, "traceback": error.details.get("traceback")}
        return {}

    def take_series(self, payload: bytes) -> dict[str, Any]:
        from pacifictool.analytics.engine.function_wire import SeriesReadings, without_lengths

        self._readings = None
        calls, *chunks = without_lengths(payload)
        self._series = json.loads(calls)
        self._readings = SeriesReadings(chunks, self._config["texts"], self._config["numbers"])
        return {}

    def call(self, payload: bytes) -> dict[str, Any]:
        from pacifictool.analytics.engine.function_calls import FunctionFailed
        from pacifictool.analytics.engine.function_frames import history_frame
        from pacifictool.functions import Window

        series, config = self._series, self._config
        end_ms, spans, history = series["windows"][struct.unpack(">i", payload)[0]]
        start_ms = end_ms - config["window_ms"]
        readings = self._readings.window(start_ms, end_ms, spans)
        found: dict[str, Any] = {"readings": len(readings)}
        if not len(readings):
            return found
        window = Window(
            config["analytics"], series["group"], series["entity"],
            _EPOCH + timedelta(milliseconds=start_ms), _EPOCH + timedelta(milliseconds=end_ms),
        )  # fmt: skip
        try:
            returned = self._loaded.call(
                readings, window, history_frame(history), kind=config["kind"], forwarded=config["forwarded"]
            )
        except FunctionFailed as failed:
            if isinstance(failed.__cause__, MemoryError):
                raise MemoryError from failed  # noqa: TRY004
            return found | {"failure": failed.message, "traceback": failed.traceback}
        found["results"] = [[each.entity, each.kind, dict(each.values)] for each in returned.results]
        found["alarms"] = [[each.type, each.severity, each.details, each.entity, each.kind] for each in returned.alarms]
        return found


def main() -> None:
    """Serves requests until the pipe is closed. Arguments: the process that started this one, and the pipes."""
    parent, incoming, outgoing, traces = (int(argument) for argument in sys.argv[1:])
    _end_with(parent)
    for pipe in (incoming, outgoing, traces):
        os.set_inheritable(pipe, False)  # noqa: FBT003
    faulthandler.register(WHERE, file=traces)
    requests = _Requests()
    handlers = {BEGIN: requests.begin, LOAD: requests.load, SERIES: requests.take_series, CALL: requests.call}
    source, target = os.fdopen(incoming, "rb"), os.fdopen(outgoing, "wb")
    while head := source.read(5):
        payload = source.read(struct.unpack(">i", head[1:])[0])
        try:
            response = handlers[head[:1]](payload)
        except MemoryError:
            _respond(target, {"memory": True})
            os._exit(0)  # nobody knows what is still held
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        _respond(target, response)


def _respond(target: IO[bytes], document: dict[str, Any]) -> None:
    data = json.dumps(document).encode()
    target.write(struct.pack(">i", len(data)) + data)
    target.flush()


def _end_with(parent: int) -> None:
    """Has Linux end this process when the one that started it ends, however that may be."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        # Should the machine run out of memory, this is what can be ended.
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
    if os.getppid() != parent:
        os._exit(0)


def _limit_address_space(mebibytes: int) -> None:
    """Refuses single allocations that are far too large.

    What is really used is watched by function_process.py: allocators reserve more, some of them a gigabyte at once.
    """
    if sys.platform != "linux":
        return
    status = Path("/proc/self/status").read_text()
    used = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData:"))
    limit = used + (2 * mebibytes + 2048) * MEBIBYTE
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))


if __name__ == "__main__":
    main()
