"""Renders templates in a process with limits (`template_worker`), and replaces it when a template exceeds them."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
from time import monotonic
from typing import Any

from pacifictool.sandbox.generation1.template_values import MAX_OUTPUT

_INHERITED = re.compile(r"(?:PATH|HOME|LANG|TZ|TMPDIR|VIRTUAL_ENV|LC_.*|LD_.*|DYLD_.*|PYTHON.*)$")
"""Environment variables of the worker: what Python needs, and none that may hold a password."""
_LENGTH_BYTES = 4
_RESPONSE_LIMIT_BYTES = 12 * MAX_OUTPUT + 1024
"""A character beyond the basic plane has twelve in JSON."""
_WAIT_SECONDS = 10.0
"""The worker limits its own processor time, which takes longer on a busy machine. This is for a stuck worker."""
_TIME_SIGNAL = -signal.SIGPROF


class LimitExceeded(Exception):
    """The template exceeds its limit of time or memory."""


class TemplateProcess:
    """One worker for all templates of a sandbox, started when first needed. Ends with this process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        atexit.register(self.stop)

    def ask(self, request: dict[str, Any]) -> dict[str, str]:
        """The worker's response. Raises LimitExceeded."""
        data = json.dumps(request).encode("ascii")
        with self._lock:
            process = self._running()
            try:
                assert process.stdin is not None
                process.stdin.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)
                process.stdin.flush()
                response: dict[str, str] = json.loads(self._read(process))
                return response
            except (OSError, EOFError) as error:
                code = self._end()
                if isinstance(error, TimeoutError) or code == _TIME_SIGNAL:
                    raise LimitExceeded("The template takes too much time.") from None
                raise LimitExceeded("The template uses too much memory.") from None

    def stop(self) -> None:
        """Ends the worker; the next request starts another."""
        with self._lock:
            if self._process is not None:
                self._end()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._end()  # It was killed between two templates.
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pacifictool.sandbox.generation1.template_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={name: value for name, value in os.environ.items() if _INHERITED.match(name)},
            )
        return self._process

    def _end(self) -> int:
        process = self._process
        assert process is not None
        self._process = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)  # It may be about to exit with a code of its own.
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return process.wait()

    @staticmethod
    def _read(process: subprocess.Popen[bytes]) -> bytes:
        assert process.stdout is not None
        handle = process.stdout.fileno()
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        deadline = monotonic() + _WAIT_SECONDS
        data = bytearray()
        wanted = _LENGTH_BYTES
        while len(data) < wanted:
            if not poll.poll(max(0.0, deadline - monotonic()) * 1000):
                raise TimeoutError
            piece = os.read(handle, wanted - len(data))
            if not piece:
                raise EOFError
            data += piece
            if len(data) == _LENGTH_BYTES and wanted == _LENGTH_BYTES:
                wanted += int.from_bytes(data, "big")
                if wanted > _RESPONSE_LIMIT_BYTES:
                    raise EOFError
        return bytes(data[_LENGTH_BYTES:])
