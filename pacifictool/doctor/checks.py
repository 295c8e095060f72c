"""Runs checks that depend on each other, concurrently, each with a deadline of its own.

A check that does not return is left behind in its daemon thread: whatever it waits for, the run goes on without it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import Any

from pacifictool.errors import Interrupted, PacificToolError, PlatformError, help_on, kind_name
from pacifictool.kafka.topics import BrokerAddress, KafkaAdmin
from pacifictool.problems import ProblemCode, code_of
from pacifictool.progress import SILENT, Reporter
from pacifictool.rest import Device, ForwardingSpec, Platform
from pacifictool.scenario import Scenario
from pacifictool.settings import Settings

TOTAL_SECONDS = 10.0
"""The longest that a whole run may take, whatever hangs."""

_POLL_SECONDS = 0.2


@dataclass(slots=True)
class CheckContext:
    """What checks examine. A check reads only what a check that it needs has written."""

    settings: Settings
    scenario: Scenario
    spec: ForwardingSpec
    """The forwarding that the scenario asks for."""
    environ: Mapping[str, str]
    cache_dir: Path
    state_dir: Path
    stop: threading.Event = field(default_factory=threading.Event)

    platform: Platform | None = None
    """Written by `rest`."""
    login_failure: PlatformError | None = None
    """Written by `rest`: a platform responds, but refuses the login."""
    login_seconds: float = 0.0
    """Written by `rest`: how long the login took."""
    generation: str = ""
    """Written by `generation`."""
    devices: dict[str, Device] = field(default_factory=dict)
    """Written by `devices`: those of the scenario that exist, by name."""
    admin: KafkaAdmin | None = None
    """Written by `kafka`."""
    brokers: list[BrokerAddress] = field(default_factory=list)
    """Written by `kafka`."""

    def require_platform(self) -> Platform:
        assert self.platform is not None, "the check `rest` comes first"
        return self.platform

    def require_admin(self) -> KafkaAdmin:
        assert self.admin is not None, "the check `kafka` comes first"
        return self.admin


class CheckStatus(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    WARNING = "warning"
    """A run works, but a person should know."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Could not be checked, for the reason given."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of the report. A check that examines several things returns several, each with its name and title."""

    status: CheckStatus
    text: str
    fix: str | None = None
    """What to do; every failure and warning has one."""
    code: str | None = None
    """Stable, with an entry in docs/troubleshooting.md; every failure and warning has one."""
    name: str = ""
    """By default the check's, as are title and group."""
    title: str = ""
    group: str = ""
    seconds: float = 0.0
    """How long the check took."""

    def as_document(self) -> dict[str, Any]:
        """For JSON output. `mend` is the name that `fix` had before."""
        return {
            "name": self.name,
            "group": self.group,
            "title": self.title,
            "status": str(self.status),
            "seen": self.text,
            "fix": self.fix,
            "mend": self.fix,
            "cause": None if self.code is None else str(self.code),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """One thing to check."""

    name: str
    """Stable, for scripts."""
    group: str
    title: str
    run: Callable[[CheckContext], Iterable[CheckResult]]
    """A PacificToolError that it raises counts as a failure, with its message and hint."""
    needs: tuple[str, ...] = ()
    """Names of the checks that must not have failed."""
    after: tuple[str, ...] = ()
    """Names of the checks to wait for, whatever their outcome."""
    seconds: float = 6.0
    """Its deadline, from its own start."""


def ok(text: str, **more: Any) -> CheckResult:
    """Nothing to do."""
    return CheckResult(CheckStatus.OK, text, **more)


def warning(code: str, text: str, fix: str, **more: Any) -> CheckResult:
    """Something to know."""
    return CheckResult(CheckStatus.WARNING, text, fix, code, **more)


def failed(code: str, text: str, fix: str, **more: Any) -> CheckResult:
    """Something to fix."""
    return CheckResult(CheckStatus.FAILED, text, fix, code, **more)


def skipped(text: str, **more: Any) -> CheckResult:
    """Nothing could be found out."""
    return CheckResult(CheckStatus.SKIPPED, text, **more)


def run_checks(
    checks: Sequence[DoctorCheck],
    context: CheckContext,
    *,
    reporter: Reporter = SILENT,
    total_seconds: float = TOTAL_SECONDS,
) -> list[CheckResult]:
    """Runs all checks, each as soon as those that it needs are done; returns their results in the given order.

    Never takes longer than `total_seconds`. Raises Interrupted when `context.stop` is set.
    """
    with reporter.task("Checking everything that a run needs", total=len(checks), unit="checks") as task:
        runner = _Runner(checks, context, total_seconds)
        while not runner.is_done():
            if context.stop.is_set():
                raise Interrupted
            runner.start_ready()
            runner.wait()
            task.update(completed=len(runner.results))
    return [result for check in checks for result in runner.results[check.name]]


class _Runner:
    def __init__(self, checks: Sequence[DoctorCheck], context: CheckContext, total_seconds: float) -> None:
        self._context = context
        self._waiting = {check.name: check for check in checks}
        self._titles = {check.name: check.title for check in checks}
        self._running: dict[str, tuple[DoctorCheck, float]] = {}
        self._finished: queue.SimpleQueue[tuple[str, list[CheckResult]]] = queue.SimpleQueue()
        self._end = monotonic() + total_seconds
        self.results: dict[str, list[CheckResult]] = {}

    def is_done(self) -> bool:
        return not self._waiting and not self._running

    def start_ready(self) -> None:
        for check in list(self._waiting.values()):
            if not all(name in self.results for name in (*check.needs, *check.after)):
                continue
            del self._waiting[check.name]
            broken = next((need for need in check.needs if self._is_broken(need)), None)
            if broken is not None:
                self._record(check, [skipped(f"Not checked, since this needs: {self._titles[broken]}.")], 0.0)
                continue
            self._running[check.name] = (check, monotonic())
            # A daemon: what waits for a server that never responds must not delay the end of the process.
            threading.Thread(target=self._work, args=(check,), name=f"check-{check.name}", daemon=True).start()

    def wait(self) -> None:
        """Returns when a check is done or its time is over, or after a moment."""
        try:
            name, results = self._finished.get(timeout=_POLL_SECONDS if self._running else 0)
        except queue.Empty:
            pass
        else:
            if name in self._running:
                check, started = self._running.pop(name)
                self._record(check, results, monotonic() - started)
        now = monotonic()
        for check, started in list(self._running.values()):
            if now >= min(started + check.seconds, self._end):
                del self._running[check.name]
                self._record(check, [_no_response(now - started)], now - started)

    def _work(self, check: DoctorCheck) -> None:
        try:
            results = list(check.run(self._context))
        except Interrupted:
            return
        except PacificToolError as error:
            code = code_of(error)
            results = [failed(code, error.message, error.hint or f"`{help_on(str(code))}` says more.")]
        except Exception as error:  # noqa: BLE001 - a defect in one check must not end the others
            words = " ".join(str(error).split())
            results = [
                failed(
                    kind_name(PacificToolError),
                    f"Something unexpected happened: {type(error).__name__}: {words}",
                    "This is a defect of pacifictool. Please report it.",
                )
            ]
        self._finished.put((check.name, results))

    def _is_broken(self, name: str) -> bool:
        return any(result.status in (CheckStatus.FAILED, CheckStatus.SKIPPED) for result in self.results[name])

    def _record(self, check: DoctorCheck, results: Sequence[CheckResult], seconds: float) -> None:
        self.results[check.name] = [
            replace(
                result,
                name=result.name or check.name,
                title=result.title or check.title,
                group=check.group,
                seconds=seconds,
            )
            for result in results
        ]


def _no_response(seconds: float) -> CheckResult:
    return failed(
        ProblemCode.NO_ANSWER,
        f"No response within {seconds:.0f} s.",
        "Something accepts connections but does not respond: check the address and what listens there, and try again.",
    )
