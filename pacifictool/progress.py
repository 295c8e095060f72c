"""How the packages below the command line report progress, without knowing how it is shown.

Library functions take a `Reporter`. The command line passes one that draws progress bars on a terminal and prints plain
lines elsewhere (`cli.render`); a program that uses pacifictool as a library passes its own, or none.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class ProgressTask(Protocol):
    """A piece of work under way."""

    def advance(self, amount: float = 1) -> None:
        """Adds `amount` to what is done."""

    def update(self, *, completed: float | None = None, total: float | None = None, note: str | None = None) -> None:
        """Sets the work done, the total, or a short note shown after the bar."""


class Reporter(Protocol):
    """Where progress and messages go. Implementations must be usable from several threads."""

    def info(self, message: str) -> None:
        """Information for a person ("Using Java 21 from JAVA_HOME")."""

    def detail(self, message: str) -> None:
        """Information that only --verbose shows."""

    def warning(self, message: str) -> None:
        """Something a person should act on, although the work continues."""

    def task(
        self, description: str, total: float | None = None, unit: str = ""
    ) -> AbstractContextManager[ProgressTask]:
        """Shows work of `total` units (None: unknown) until the context ends."""


class _SilentTask:
    def advance(self, amount: float = 1) -> None:
        pass

    def update(self, *, completed: float | None = None, total: float | None = None, note: str | None = None) -> None:
        pass


class SilentReporter:
    """Shows nothing; the default of every library function."""

    def info(self, message: str) -> None:
        pass

    def detail(self, message: str) -> None:
        pass

    def warning(self, message: str) -> None:
        pass

    def task(
        self, description: str, total: float | None = None, unit: str = ""
    ) -> AbstractContextManager[ProgressTask]:
        return nullcontext(_SilentTask())


SILENT: Reporter = SilentReporter()
