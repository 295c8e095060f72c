"""`--log-format json`: messages and progress on stderr, one JSON object per line."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic
from typing import Any, TextIO

from pacifictool.cli.render import Messages, OccasionalTask
from pacifictool.display import json_document
from pacifictool.errors import PacificToolError
from pacifictool.progress import ProgressTask


class JsonMessages(Messages):
    """Messages for programs that collect logs.

    Each line has `time` (UTC), `level` (debug, info, warning, error) and `message`. Errors add the members of the error
    document (`kind`, `hint`, `help`, `details`), progress adds `task`, `done`, `total`, `unit`, `note` and `seconds`.
    """

    def __init__(self, stream: TextIO, *, verbose: bool, quiet: bool) -> None:
        super().__init__(stream, colour=False, verbose=verbose, quiet=quiet)
        self._stream = stream
        self._lock = threading.Lock()

    def info(self, message: str) -> None:
        if not self._quiet:
            self.write("info", message)

    def detail(self, message: str) -> None:
        if self._verbose:
            self.write("debug", message)

    def warning(self, message: str) -> None:
        self.write("warning", message)

    def error(self, error: PacificToolError, trace: str | None = None) -> None:
        fields = {name: value for name, value in error.as_document()["error"].items() if name != "message"}
        if notes := getattr(error, "__notes__", ()):
            fields["notes"] = list(notes)
        if trace is not None:
            fields["traceback"] = trace
        self.write("error", error.message, **fields)

    @contextmanager
    def task(self, description: str, total: float | None = None, unit: str = "") -> Iterator[ProgressTask]:
        task = _JsonTask(self, description, total, unit)
        task.report()
        yield task
        if task.is_long:
            task.report()

    def write(self, level: str, message: str, **fields: Any) -> None:
        """Writes one line. What the stream does not take is lost: no log is worth the end of a job."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json_document({"time": now, "level": level, "message": message, **fields}, ascii_only=True)
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{line}\n")
            self._stream.flush()

    def write_progress(self, message: str, **fields: Any) -> None:
        """Writes a line about a task, unless only warnings are wanted."""
        if not self._quiet:
            self.write("info", message, **fields)


class _JsonTask(OccasionalTask):
    def __init__(self, messages: JsonMessages, description: str, total: float | None, unit: str) -> None:
        super().__init__(description, total, unit)
        self._messages = messages

    def report(self) -> None:
        with self._lock:
            fields = {
                "task": self._description,
                "done": self._done,
                "total": self._total,
                "unit": self._unit,
                "note": self._note,
                "seconds": round(monotonic() - self._started, 1),
            }
        known = {name: value for name, value in fields.items() if value not in (None, "")}
        self._messages.write_progress(f"{self._description} …", **known)
