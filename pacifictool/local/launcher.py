"""Starts and stops a sandbox as a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pacifictool.errors import PacificToolError, PortInUse, SandboxError, StorageFull, error_of_document
from pacifictool.runtime.own_folder import PLATFORM, claim
from pacifictool.runtime.processes import ManagedProcess

START_SECONDS = 20.0
STOP_SECONDS = 5.0
_POLL_SECONDS = 0.01
HOST = "127.0.0.1"


def claim_folder(folder: Path) -> None:
    """Creates a sandbox's data folder, or checks that it is one. Raises ForeignFolder or SandboxError."""
    try:
        claim(folder, PLATFORM)
    except OSError as error:
        raise SandboxError(f"The sandbox's data folder {folder} cannot be used: {error.strerror}.") from error


class SandboxProcess:
    """A sandbox with its data in `data_dir`, which it creates and keeps to its owner (mode 0700).

    Port 0 takes any free port; a restarted sandbox keeps its ports. `options` are further
    command-line options, such as the test hooks of docs/sandbox.md. Also a context manager.
    """

    def __init__(self, data_dir: Path, http_port: int = 0, mqtt_port: int = 0, *, options: Sequence[str] = ()) -> None:
        self.data_dir = data_dir
        self.http_port = http_port
        self.mqtt_port = mqtt_port
        self._options = tuple(options)
        self._process: ManagedProcess | None = None

    @property
    def url(self) -> str:
        """The REST address; known after the first start."""
        return f"http://{HOST}:{self.http_port}"

    @property
    def log_path(self) -> Path:
        """The output of the process."""
        return self.data_dir / "sandbox.log"

    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running()

    def start(self) -> None:
        """Returns when both ports accept connections. Raises PortInUse, StorageFull, ForeignFolder or SandboxError.

        After an error nothing runs.
        """
        if self.is_running():
            return
        claim_folder(self.data_dir)
        ready_file = self.data_dir / f"ready.{os.getpid()}.{time.monotonic_ns()}.json"
        process = ManagedProcess(
            [
                sys.executable,
                # -P: Python would look for modules in the current folder first.
                *("-P", "-m", "pacifictool.sandbox"),
                *("--data", str(self.data_dir)),
                *("--http-port", str(self.http_port)),
                *("--mqtt-port", str(self.mqtt_port)),
                *("--ready-file", str(ready_file)),
                *self._options,
            ],
            log_path=self.log_path,
        )
        try:
            self._wait_until_ready(process, ready_file)
        except BaseException:
            process.stop(0)
            ready_file.unlink(missing_ok=True)
            raise
        self._process = process

    def _wait_until_ready(self, process: ManagedProcess, ready_file: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError):
                document = json.loads(ready_file.read_text(encoding="utf-8"))
                self.http_port, self.mqtt_port = document["http_port"], document["mqtt_port"]
                return
            if not process.is_running():
                raise self._failure(process)
            time.sleep(_POLL_SECONDS)
        raise SandboxError(
            f"The sandbox did not start within {START_SECONDS:.0f} s.", hint=f"See its log: {self.log_path}"
        )

    def _failure(self, process: ManagedProcess) -> PacificToolError:
        """The error that the process ended with: the last line of its log, as a JSON document."""
        last = next(iter(process.tail(1)), "")
        try:
            error = error_of_document(json.loads(last), SandboxError, PortInUse, StorageFull)
        except (ValueError, KeyError, TypeError):
            error = SandboxError(f"The sandbox ended during its start: {last.rstrip('.') or 'its log is empty'}.")
        error.hint = error.hint or f"See its log: {self.log_path}"
        if isinstance(error, SandboxError):
            error.details["log"] = str(self.log_path)
        return error

    def stop(self) -> None:
        """Terminates it, and kills it if it does not end. Can be called again."""
        if self._process is not None:
            self._process.stop(STOP_SECONDS)
            self._process = None

    def kill(self) -> None:
        """Kills it, as a crash would; for fault tests."""
        if self._process is not None:
            self._process.stop(0)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
