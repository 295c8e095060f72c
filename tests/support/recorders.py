"""Recorders of what the code under test reports: a reporter and a sink's delivery callback."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from pacifictool.analytics.sinks.base import DeliveryCallback
from pacifictool.analytics.windows import WindowResult
from pacifictool.progress import ProgressTask, SilentReporter


@dataclass
class RecordedTask:
    """A piece of work as it was last shown."""

    description: str
    total: float | None
    done: float = 0

    def advance(self, amount: float = 1) -> None:
        self.done += amount

    def update(self, *, completed: float | None = None, total: float | None = None, note: str | None = None) -> None:
        self.done = self.done if completed is None else completed
        self.total = self.total if total is None else total


class RecordingReporter(SilentReporter):
    """Records messages and tasks in order."""

    def __init__(self) -> None:
        self.reported: list[tuple[str, str]] = []
        """(Level, message); the level is the name of the reporter's method."""
        self.tasks: list[RecordedTask] = []

    def info(self, message: str) -> None:
        self.reported.append(("info", message))

    def detail(self, message: str) -> None:
        self.reported.append(("detail", message))

    def warning(self, message: str) -> None:
        self.reported.append(("warning", message))

    def task(
        self, description: str, total: float | None = None, unit: str = ""
    ) -> AbstractContextManager[ProgressTask]:
        self.tasks.append(RecordedTask(description, total))
        return nullcontext(self.tasks[-1])

    @property
    def infos(self) -> list[str]:
        return self.messages("info")

    @property
    def details(self) -> list[str]:
        return self.messages("detail")

    @property
    def warnings(self) -> list[str]:
        return self.messages("warning")

    def messages(self, *levels: str) -> list[str]:
        """The messages of these levels; without any, of all."""
        return [message for level, message in self.reported if not levels or level in levels]


class RecordingCallback(DeliveryCallback):
    """Accepted results in the order of the reports, and the reason of each refusal by entity.

    `fail_on_refusal`: raises AssertionError where a test expects that nothing is refused.
    """

    def __init__(self, *, fail_on_refusal: bool = False) -> None:
        self.accepted_results: list[WindowResult] = []
        self.refusals: dict[str, str] = {}
        self._fail_on_refusal = fail_on_refusal
        self._lock = threading.Lock()

    @property
    def entities(self) -> set[str]:
        """The entities of the accepted results."""
        return {result.entity for result in self.accepted_results}

    def accepted(self, results: Iterable[WindowResult]) -> None:
        with self._lock:
            self.accepted_results += results

    def refused(self, results: Iterable[WindowResult], reason: str) -> None:
        if self._fail_on_refusal:
            raise AssertionError(reason)
        with self._lock:
            self.refusals |= {result.entity: reason for result in results}
