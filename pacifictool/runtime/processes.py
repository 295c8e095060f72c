"""Child processes that end with this program, however it ends: own session, output in a log file."""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from pacifictool.runtime.cache import writing
from pacifictool.settings import without_secrets

STOP_ALL_GRACE_SECONDS = 1.5
_KILL_SECONDS = 5.0
_FOREVER_SECONDS = 1e9
_TAIL_BYTES = 65_536
_SUPERVISOR = Path(__file__).with_name("_supervisor.py")

_running: set[ManagedProcess] = set()
# Re-entrant, and nothing below waits without a limit: a signal handler that calls `stop_all` may interrupt any line.
_running_lock = threading.RLock()


class ManagedProcess:
    """A running command in its own session, so that Ctrl-C on the terminal reaches only this program.

    stdout and stderr are appended to `log_path`. Only the owner can read the log and the files that the command
    creates. A small supervisor process (see `_supervisor`) runs the command, and ends it with its process group when
    this program dies, even by SIGKILL. Safe to use from several threads.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log_path: Path,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Starts `command`. A command that cannot be started ends with 127 and says why in the log.

        `environ` None: this process's; password and API key are removed from both. `pass_fds`: open files that the
        command inherits, for a lock that lasts as long as it.
        Raises StorageFull or RuntimeMissing when the log cannot be written.
        """
        self.log_path = log_path
        self._stopping = threading.RLock()
        reading, writing_end = os.pipe()
        try:
            with writing(log_path.parent, "the log of a process"):
                log_path.parent.mkdir(parents=True, exist_ok=True)
                log = os.fdopen(os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")
            with log:
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-I",
                        "-S",
                        str(_SUPERVISOR),
                        str(reading),
                        *(os.fspath(part) for part in command),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=without_secrets(os.environ if environ is None else environ),
                    cwd=cwd,
                    pass_fds=(reading, *pass_fds),
                    start_new_session=True,
                    # What these processes write (topics, databases, keys) must not be readable by other users.
                    umask=0o077,
                )
        except BaseException:
            os.close(writing_end)
            raise
        finally:
            os.close(reading)
        self._lifeline: int | None = writing_end
        with _running_lock:
            _running.add(self)

    @property
    def pid(self) -> int:
        """The supervisor's. Signals other than SIGTERM do not reach the command through it; `stop` does."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; the command's exit code, or 128 + the number of the signal that ended it."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def is_running(self) -> bool:
        return self.returncode is None

    def wait(self, timeout_seconds: float | None = None) -> int | None:
        """Waits for the end; the return code, or None when it still runs after `timeout_seconds`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_FOREVER_SECONDS if timeout_seconds is None else timeout_seconds)
        return self.returncode

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Asks the command to end (SIGTERM) and kills it after `grace_seconds`; 0: at once. Can be repeated."""
        if grace_seconds > 0:
            self._ask_to_end()
            self.wait(grace_seconds)
        with self._stopping:
            lifeline, self._lifeline = self._lifeline, None
        if lifeline is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(lifeline, b"k")
            os.close(lifeline)
        self.wait(_KILL_SECONDS)
        with _running_lock:
            _running.discard(self)

    def tail(self, lines: int = 20) -> list[str]:
        """The last lines of the log, at most `lines` and 64 KiB; empty when there is none."""
        try:
            with self.log_path.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(0, size - _TAIL_BYTES))
                text = log.read().decode("utf-8", errors="replace")
        except OSError:
            return []
        return text.splitlines()[-lines:]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _ask_to_end(self) -> None:
        self._process.terminate()  # Does nothing when the process has ended.


def stop_all(grace_seconds: float = STOP_ALL_GRACE_SECONDS) -> None:
    """Stops every ManagedProcess: all are asked to end at once, and killed when `grace_seconds` are over."""
    with _running_lock:
        processes = list(_running)
    deadline = time.monotonic() + grace_seconds
    for process in processes:
        process._ask_to_end()  # noqa: SLF001 - all are asked before the first is waited for
    for process in processes:
        process.wait(max(0.0, deadline - time.monotonic()))
        process.stop(0)


def _leave_to_the_original() -> None:
    """A forked copy (multiprocessing) neither stops nor keeps alive the processes of the original."""
    for process in _running:
        if process._lifeline is not None:  # noqa: SLF001 - this module's own class
            os.close(process._lifeline)  # noqa: SLF001
            process._lifeline = None  # noqa: SLF001
    _running.clear()


os.register_at_fork(after_in_child=_leave_to_the_original)
atexit.register(stop_all)
