"""Keeps the process that runs a user's function: starts it, gives it work, and survives whatever the function does.

Used by Spark's Python workers, and when a job starts, to find out whether its functions can be loaded. Like everything
that runs in workers, this needs only the standard library.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pacifictool.analytics.engine.function_child import BEGIN, CALL, LOAD, MEBIBYTE, SERIES, WHERE
from pacifictool.analytics.engine.function_wire import with_lengths

LOAD_SECONDS: Final = 300.0
"""How long a function's file may take to load, with its models; and decoding of a series' readings."""
_STACK_SECONDS: Final = 0.5
"""How long the stack of a function is waited for whose time is over."""
_TICK_SECONDS: Final = 0.05
"""How often the memory is measured."""
_KEPT_OUTPUT: Final = 4096
_SECRET_PREFIXES: Final = ("PACIFICTOOL_", "PYSPARK_", "_PYSPARK_", "SPARK_", "PYTHON_")
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class FunctionUnusable(Exception):
    """The function cannot be loaded. `missing`: not for a reason of its own, but because Python lacks pandas."""

    def __init__(
        self, message: str, *, hint: str | None = None, traceback: str | None = None, missing: bool = False
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.traceback = traceback
        self.missing = missing


class FunctionEnded(Exception):
    """The process has ended with a call, or had to be ended; the message says why, as the end of a sentence."""

    def __init__(self, message: str, *, traceback: str | None = None, output: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.traceback = traceback
        self.output = output


class FunctionProcess:
    """A process for one function. It is started when it is needed, and again after it has ended."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """`config` is FunctionSpec.config of function_worker.py, with the path of the file."""
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: dict[str, int] = {}
        self._series: object = None
        self._output = b""
        self._without_function: int | None = None
        """Bytes that Python and pandas take."""
        self.versions: Mapping[str, str] = {}
        """Of Python and pandas, once it has run."""

    @property
    def is_running(self) -> bool:
        return self._process is not None and not _has_ended(self._process)

    def load(self) -> None:
        """Starts the process unless it runs. Raises FunctionUnusable."""
        if self.is_running:
            return
        self.close()
        self._start()
        try:
            response = self._ask(BEGIN, json.dumps(dict(self._config)).encode(), LOAD_SECONDS)
            self._without_function = self._memory()
            if (missing := response.get("missing")) is not None:
                raise FunctionUnusable(missing, missing=True)
            self.versions = response["versions"]
            response = self._ask(LOAD, b"", LOAD_SECONDS)
            if (message := response.get("unusable")) is not None:
                raise FunctionUnusable(message, hint=response["hint"], traceback=response["traceback"])
        except FunctionEnded as ended:
            raise FunctionUnusable(
                f"The function {self._config['text']} cannot be loaded: it {ended.message}.",
                traceback=ended.traceback or ended.output,
            ) from ended
        except FunctionUnusable:
            self.close()
            raise

    def call(self, series: object, frames: Sequence[bytes], number: int) -> dict[str, Any]:
        """Calls the function for a window of a series, of which `frames` hold everything: the response, with "output"
        when something was printed. Raises FunctionUnusable, and FunctionEnded when the process did not survive."""
        self.load()
        if self._series is not series:
            self._series = None
            self._ask(SERIES, with_lengths(frames), LOAD_SECONDS)
            self._series = series
        response = self._ask(CALL, struct.pack(">i", number), self._config["timeout"])
        if output := self._printed():
            response["output"] = output
        return response

    def close(self) -> None:
        """Ends the process at once, with those that it has started."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for pipe in self._pipes.values():
            os.close(pipe)
        self._pipes = {}
        self._series = None
        self._without_function = None

    # --- inside --------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        theirs: list[int] = []
        for name, writes in (("requests", False), ("responses", True), ("output", True), ("traces", True)):
            reading, writing = os.pipe()
            theirs.append(writing if writes else reading)
            self._pipes[name] = reading if writes else writing
            os.set_blocking(self._pipes[name], False)
        command = [sys.executable, "-P", "-m", "pacifictool.analytics.engine.function_child", str(os.getpid())]
        try:
            self._process = subprocess.Popen(
                [*command, *map(str, (theirs[0], theirs[1], theirs[3]))], pass_fds=theirs,
                stdin=subprocess.DEVNULL, stdout=theirs[2], stderr=theirs[2],
                env=child_environment(), cwd=self._config["folder"], start_new_session=True,
            )  # fmt: skip
        finally:
            for pipe in theirs:
                os.close(pipe)

    def _ask(self, kind: bytes, payload: bytes, seconds: float) -> dict[str, Any]:
        """The response to a request. Raises FunctionEnded."""
        self._output = b""
        left = memoryview(kind + struct.pack(">i", len(payload)) + payload)
        received = bytearray()
        until = time.monotonic() + seconds
        while True:
            poll = select.poll()
            for name in ("responses", "output"):
                poll.register(self._pipes[name], select.POLLIN)
            if left:
                poll.register(self._pipes["requests"], select.POLLOUT)
            poll.poll(1000 * max(0.0, min(until - time.monotonic(), _TICK_SECONDS)))
            left = self._send(left)
            self._output = (self._output + self._take("output"))[-_KEPT_OUTPUT:]
            received += self._take("responses")
            if len(received) >= 4 and len(received) >= 4 + struct.unpack_from(">i", received)[0]:
                self._output = (self._output + self._take("output"))[-_KEPT_OUTPUT:]
                response: dict[str, Any] = json.loads(received[4:])
                if response.get("memory"):
                    raise self._ended(self._too_much)
                return response
            if not self.is_running:
                raise self._ended(None)
            if self._uses_too_much():
                raise self._ended(self._too_much)
            if time.monotonic() > until:
                raise self._ended(f"did not return within {seconds:g} s", trace=self._stack())

    @property
    def _too_much(self) -> str:
        return f"used more than its {self._config['memory']} MiB of memory"

    def _uses_too_much(self) -> bool:
        used = self._memory()
        if used is None or self._without_function is None:
            return False
        return used - self._without_function > int(self._config["memory"]) * MEBIBYTE

    def _memory(self) -> int | None:
        """Bytes that the process has for itself, without files that it maps; None on systems that do not say so."""
        if self._process is None or sys.platform != "linux":
            return None
        try:
            pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()
        except OSError:
            return None
        return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")

    def _send(self, left: memoryview) -> memoryview:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            while left:
                left = left[os.write(self._pipes["requests"], left[:65536]) :]
        return left

    def _take(self, name: str) -> bytes:
        taken = b""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._pipes[name], 65536):
                taken += part
                if name == "output":
                    taken = taken[-_KEPT_OUTPUT:]
        return taken

    def _stack(self) -> str:
        """Where the function is, as faulthandler writes it; "" when it does not."""
        if self._process is not None:
            self._process.send_signal(WHERE)
        poll = select.poll()
        poll.register(self._pipes["traces"], select.POLLIN)
        poll.poll(1000 * _STACK_SECONDS)
        time.sleep(_TICK_SECONDS)  # it comes in pieces
        return self._take("traces").decode("utf-8", "replace")

    def _ended(self, message: str | None, *, trace: str = "") -> FunctionEnded:
        """Ends the process, and what there is to say of it; without a message, it has ended by itself."""
        self._output = (self._output + self._take("output"))[-_KEPT_OUTPUT:]
        process = self._process
        self.close()
        message = message or _end_of(None if process is None else process.returncode)
        return FunctionEnded(message, traceback=_own_stack(trace), output=self._printed())

    def _printed(self) -> str | None:
        """The last lines that were printed since the last request."""
        return self._output.decode("utf-8", "replace").strip() or None


def child_environment() -> dict[str, str]:
    """The environment of the function: without secrets of ours, and with the modules of this process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SECRET_PREFIXES)}
    for name in _THREADS:
        # Spark gives each core a task of its own.
        kept.setdefault(name, "1")
    # Paths of files that Spark brought are relative on a cluster, and the function has another working folder.
    paths = [str(Path(path).absolute()) for path in sys.path if path]
    return kept | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has. Where possible its id stays taken until `close` has signalled its group, which has the same."""
    if process.returncode is None and hasattr(os, "waitid"):
        with contextlib.suppress(ChildProcessError):  # somebody else has asked for it
            return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return process.poll() is not None


def _end_of(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"ended its process: {signal.Signals(-code).name}"
    return f"ended its process with the exit code {code}"


def _own_stack(trace: str) -> str | None:
    """Where the function was when its time was over, in the form of a traceback, from what faulthandler wrote."""
    threads = trace.split("\n\n")
    ours = next((thread for thread in threads if "function_calls.py" in thread), "")
    frames = []
    for line in ours.splitlines():
        if "function_calls.py" in line:
            break
        if line.startswith("  File "):
            frames.append(line)
    return "\n".join(["Most recent call last, when its time was over:", *reversed(frames)]) if frames else None
