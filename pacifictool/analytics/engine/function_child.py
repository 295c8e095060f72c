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
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final

from pacifictool.errors import ScenarioError

LOAD: Final = b"L"
"""With a document: load a function."""
SERIES: Final = b"S"
"""With frames: the document of its calls, then its readings."""
CALL: Final = b"C"
"""With the number of a window of the series."""

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_MEBIBYTE: Final = 1 << 20
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Function:
    """The user's function, and the series that it is called for."""

    def __init__(self, document: dict[str, Any], traces: int) -> None:
        """Raises ScenarioError when it cannot be loaded, ImportError when there is no pandas."""
        import pandas as pd

        from pacifictool.analytics.engine.function_calls import load_file

        self._config = document
        self._traces = traces
        self.versions = {"python": platform.python_version(), "pandas": pd.__version__}
        _limit_memory(document["memory"])
        self._loaded = load_file(Path(document["file"]), document["name"], document["text"])
        self._series: Any = None
        self._readings: Any = None

    def take_series(self, payload: bytes) -> dict[str, Any]:
        from pacifictool.analytics.engine.function_wire import SeriesReadings, without_lengths

        self._readings = None
        calls, *chunks = without_lengths(payload)
        self._series = json.loads(calls)
        self._readings = SeriesReadings(chunks, self._config["texts"], self._config["numbers"])
        return {}

    def call(self, number: int) -> dict[str, Any]:
        """What a window's call gave; see function_worker.py."""
        from pacifictool.analytics.engine.function_calls import FunctionFailed
        from pacifictool.analytics.engine.function_frames import history_frame
        from pacifictool.functions import Window

        series, config = self._series, self._config
        end_ms, spans, history = series["windows"][number]
        start_ms = end_ms - config["window_ms"]
        readings = self._readings.window(start_ms, end_ms, spans)
        found: dict[str, Any] = {"readings": len(readings)}
        if not len(readings):
            return found
        window = Window(
            config["analytics"], series["group"], series["entity"],
            _EPOCH + timedelta(milliseconds=start_ms), _EPOCH + timedelta(milliseconds=end_ms),
        )  # fmt: skip
        faulthandler.dump_traceback_later(config["timeout"], file=self._traces)
        try:
            returned = self._loaded.call(
                readings, window, history_frame(history), kind=config["kind"], forwarded=config["forwarded"]
            )
        except FunctionFailed as failed:
            if isinstance(failed.__cause__, MemoryError):
                raise MemoryError from failed  # noqa: TRY004
            return found | {"failure": failed.message, "traceback": failed.traceback}
        finally:
            faulthandler.cancel_dump_traceback_later()
        found["results"] = [[each.entity, each.kind, dict(each.values)] for each in returned.results]
        found["alarms"] = [[each.type, each.severity, each.details, each.entity, each.kind] for each in returned.alarms]
        return found


def main() -> None:
    """Serves requests until the pipe is closed. Arguments: the parent, and the pipes."""
    parent, requests, responses, traces = (int(argument) for argument in sys.argv[1:])
    _end_with(parent)
    for pipe in (requests, responses, traces):
        os.set_inheritable(pipe, False)  # noqa: FBT003
    source, target = os.fdopen(requests, "rb"), os.fdopen(responses, "wb")
    function: _Function | None = None
    while head := source.read(5):
        kind, payload = head[:1], source.read(struct.unpack(">i", head[1:])[0])
        try:
            if kind == LOAD:
                function = _Function(json.loads(payload), traces)
                response: dict[str, Any] = {"versions": function.versions}
            elif function is None:
                return
            elif kind == SERIES:
                response = function.take_series(payload)
            else:
                response = function.call(struct.unpack(">i", payload)[0])
        except MemoryError:
            _respond(target, {"memory": True})
            os._exit(0)  # what it holds is not given back for sure
        except (ScenarioError, ImportError) as error:
            response = _load_failure(error)
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        _respond(target, response)


def _respond(target: IO[bytes], document: dict[str, Any]) -> None:
    data = json.dumps(document).encode()
    target.write(struct.pack(">i", len(data)) + data)
    target.flush()


def _load_failure(error: ScenarioError | ImportError) -> dict[str, Any]:
    if isinstance(error, ImportError):
        return {"missing": str(error)}
    return {"unusable": error.message, "hint": error.hint, "traceback": error.details.get("traceback")}


def _end_with(parent: int) -> None:
    """Has Linux end this process when the one that started it ends, however that may be."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        # Should the machine run out of memory, this is what can be ended.
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
    if os.getppid() != parent:
        os._exit(0)


def _limit_memory(mebibytes: int) -> None:
    """Limits what can be used on top of what Python and pandas take; only Linux keeps to it."""
    if sys.platform != "linux":
        return
    status = Path("/proc/self/status").read_text()
    used = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData:"))
    limit = used + mebibytes * _MEBIBYTE
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard < 0 else min(limit, hard), hard))


if __name__ == "__main__":
    main()
