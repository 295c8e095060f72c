"""Checks that depend on each other, run at the same time, each with a deadline of its own.

A check that does not come back is left behind in its daemon thread: whatever it waits for, the run goes on without it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from time import monotonic
from typing import Any

from pacifictool.diagnosis.causes import Cause, cause_of
from pacifictool.errors import Interrupted, PacificToolError, kind_name
from pacifictool.reporting import SILENT, Reporter

TOTAL_SECONDS = 10.0
"""The longest that a whole run may take, whatever hangs."""

_LOOK_SECONDS = 0.2


class Status(StrEnum):
    """What became of one check."""

    OK = "ok"
    WARNING = "warning"
    """A run works, but a person should know."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Could not be looked at, for the reason given."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check saw. One that looks at several things finds several, which `name` and `title` tell apart."""

    status: Status
    seen: str
    mend: str | None = None
    """What to do; every failure has one."""
    cause: str | None = None
    """Stable, with an entry in docs/troubleshooting.md; every failure and warning has one."""
    name: str | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at."""

    name: str
    """Stable, for scripts."""
    group: str
    title: str
    run: Callable[[], Iterable[Finding]]
    """An error of ours counts as a failure, in its own words."""
    needs: tuple[str, ...] = ()
    """Names of the checks that must not have failed."""
    after: tuple[str, ...] = ()
    """Names of the checks to wait for, however they end."""
    seconds: float = 6.0
    """Its deadline, from its own start."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the report."""

    name: str
    group: str
    title: str
    status: Status
    seen: str
    mend: str | None
    cause: str | None
    seconds: float
    """How long the check took."""

    def as_document(self) -> dict[str, Any]:
        return asdict(self) | {"status": str(self.status), "seconds": round(self.seconds, 3)}


def ok(seen: str, **more: Any) -> Finding:
    """All is well."""
    return Finding(Status.OK, seen, **more)


def warning(cause: str, seen: str, mend: str, **more: Any) -> Finding:
    """Something to know."""
    return Finding(Status.WARNING, seen, mend, cause, **more)


def failed(cause: str, seen: str, mend: str, **more: Any) -> Finding:
    """Something to mend."""
    return Finding(Status.FAILED, seen, mend, cause, **more)


def skipped(seen: str, **more: Any) -> Finding:
    """Nothing could be found out."""
    return Finding(Status.SKIPPED, seen, **more)


def run_checks(
    checks: Sequence[Check],
    *,
    stop: threading.Event | None = None,
    reporter: Reporter = SILENT,
    total_seconds: float = TOTAL_SECONDS,
) -> list[Line]:
    """Runs all checks, each as soon as those that it needs are through; returns their lines in the given order.

    Never takes longer than `total_seconds`. Raises Interrupted when `stop` is set.
    """
    with reporter.task("Looking at everything", total=len(checks), unit="checks") as task:
        runner = _Runner(checks, total_seconds)
        while not runner.is_through():
            if stop is not None and stop.is_set():
                raise Interrupted
            runner.start_what_can_start()
            runner.wait()
            task.update(completed=len(runner.lines))
    return [line for check in checks for line in runner.lines[check.name]]


class _Runner:
    def __init__(self, checks: Sequence[Check], total_seconds: float) -> None:
        self._waiting = {check.name: check for check in checks}
        self._titles = {check.name: check.title for check in checks}
        self._running: dict[str, tuple[Check, float]] = {}
        self._finished: queue.SimpleQueue[tuple[str, list[Finding]]] = queue.SimpleQueue()
        self._end = monotonic() + total_seconds
        self.lines: dict[str, list[Line]] = {}

    def is_through(self) -> bool:
        return not self._waiting and not self._running

    def start_what_can_start(self) -> None:
        for check in list(self._waiting.values()):
            if not all(name in self.lines for name in (*check.needs, *check.after)):
                continue
            del self._waiting[check.name]
            broken = next((need for need in check.needs if self._is_broken(need)), None)
            if broken is not None:
                reason = f"Not looked at, since this needs: {self._titles[broken]}."
                self._record(check, [skipped(reason)], 0.0)
                continue
            self._running[check.name] = (check, monotonic())
            # A daemon: what waits for a server that never answers must not hold up the end of the process.
            threading.Thread(target=self._work, args=(check,), name=f"check-{check.name}", daemon=True).start()

    def wait(self) -> None:
        """Until a check comes back or its time is over, and for a moment at most."""
        try:
            name, findings = self._finished.get(timeout=_LOOK_SECONDS if self._running else 0)
        except queue.Empty:
            pass
        else:
            if name in self._running:
                check, started = self._running.pop(name)
                self._record(check, findings, monotonic() - started)
        now = monotonic()
        for check, started in list(self._running.values()):
            if now >= min(started + check.seconds, self._end):
                del self._running[check.name]
                self._record(check, [_gave_no_answer(now - started)], now - started)

    def _work(self, check: Check) -> None:
        try:
            findings = list(check.run())
        except Interrupted:
            return
        except PacificToolError as error:
            cause = cause_of(error)
            findings = [failed(cause, error.message, error.hint or f"docs/troubleshooting.md has an entry on {cause}.")]
        except Exception as error:  # noqa: BLE001 - a defect in one check must not take the others along
            words = " ".join(str(error).split())
            findings = [
                failed(
                    kind_name(PacificToolError),
                    f"Something unexpected happened: {type(error).__name__}: {words}",
                    "This is a defect of pacifictool. Please report it.",
                )
            ]
        self._finished.put((check.name, findings))

    def _is_broken(self, name: str) -> bool:
        return any(line.status in (Status.FAILED, Status.SKIPPED) for line in self.lines[name])

    def _record(self, check: Check, findings: Sequence[Finding], seconds: float) -> None:
        self.lines[check.name] = [
            Line(
                name=finding.name or check.name,
                group=check.group,
                title=finding.title or check.title,
                status=finding.status,
                seen=finding.seen,
                mend=finding.mend,
                cause=None if finding.cause is None else str(finding.cause),
                seconds=seconds,
            )
            for finding in findings
        ]


def _gave_no_answer(seconds: float) -> Finding:
    return failed(
        Cause.NO_ANSWER,
        f"No answer within {seconds:.0f} s.",
        "Something takes connections and stays silent: check the address, and what listens there; then try again.",
    )
