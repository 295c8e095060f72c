"""How the demo's progress is shown: on a terminal a checklist with live values and expected ranges, else lines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TextIO

from pacifictool.cli.render import Messages, TaskState
from pacifictool.demo.checks import DemoCheck, LiveView
from pacifictool.progress import ProgressTask, Reporter
from pacifictool.tools.times import utc_text

_GAUGE_LETTERS = 13
_REFRESHES_PER_SECOND = 8


@dataclass
class ChecklistStep:
    """One line of the checklist."""

    name: str
    title: str
    zone: str | None = None
    """The zone whose mean is the live value."""
    expected: tuple[float, float] | None = None
    started: float | None = None
    ended: float | None = None
    checks: list[DemoCheck] = field(default_factory=list)
    value: float | None = None

    @property
    def state(self) -> str:
        """ "waiting", "running", "ok" or "failed"."""
        if any(not check.ok for check in self.checks):
            return "failed"
        if self.started is None:
            return "waiting"
        return "running" if self.ended is None else "ok"


class PlainLines(LiveView):
    """Without a terminal: a line per check, and with --verbose a line per mean."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def on_page(self, url: str) -> None:
        self._reporter.info(f"{url} shows the data live until the demo ends.")

    def on_check(self, check: DemoCheck) -> None:
        self._reporter.info(f"{'✓' if check.ok else '✗'} {check.name}: {check.describe()}")

    def on_mean(self, zone: str, window_end_ms: int, mean: float) -> None:
        self._reporter.detail(f"{zone}: {mean:.4f} for the window ending {utc_text(window_end_ms)}")


class Checklist(Messages, LiveView):
    """Draws the steps on a terminal; both the demo's view and the reporter.

    Shows the latest `info` message below the steps; prints warnings above them.
    """

    def __init__(
        self, stream: TextIO, heading: str, steps: Sequence[ChecklistStep], *, colour: bool, verbose: bool
    ) -> None:
        super().__init__(stream, colour=colour, verbose=verbose, quiet=False)
        self._heading = heading
        self._steps = list(steps)
        self._lock = threading.RLock()
        self._started = monotonic()
        self._message = ""
        self._tasks: list[_Activity] = []
        self._numbers = ""
        self._page = ""

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draws until the context ends; the last state stays on the screen."""
        from rich.live import Live

        with Live(get_renderable=self.render, console=self.console, refresh_per_second=_REFRESHES_PER_SECOND):
            yield

    # --- the demo's view -----------------------------------------------------------------------------------------

    def on_page(self, url: str) -> None:
        self._page = f"Live in a browser until the demo ends: {url}"

    def on_step(self, step: str) -> None:
        with self._lock:
            now = monotonic()
            for other in self._steps:
                if other.name == step:
                    other.started = now
                elif other.started is not None and other.ended is None:
                    other.ended = now
            self._message = ""

    def on_check(self, check: DemoCheck) -> None:
        with self._lock:
            running = [step for step in self._steps if step.started is not None]
            step = next((step for step in self._steps if step.name == check.name), running[-1] if running else None)
            if step is not None:
                step.checks.append(check)
                if step.name == check.name and isinstance(check.actual, float):
                    step.value = check.actual
                    if isinstance(check.expected, tuple):
                        step.expected = check.expected

    def on_mean(self, zone: str, window_end_ms: int, mean: float) -> None:
        with self._lock:
            for step in self._steps:
                if step.state == "running" and step.zone == zone:
                    step.value = mean

    def on_numbers(self, *, counted: int, per_second: float, rejected: int, lag: int | None) -> None:
        behind = "" if not lag else f" · {lag:,} behind"
        self._numbers = f"{counted:,} valid readings · {per_second:.0f}/s{behind} · {rejected} invalid"

    def finish(self) -> None:
        """Marks the running step as finished."""
        with self._lock:
            for step in self._steps:
                if step.state == "running":
                    step.ended = monotonic()
            self._message = ""

    # --- the reporter --------------------------------------------------------------------------------------------

    def info(self, message: str) -> None:
        self._message = message

    @contextmanager
    def task(self, description: str, total: float | None = None, unit: str = "") -> Iterator[ProgressTask]:
        activity = _Activity(description, total, unit)
        with self._lock:
            self._tasks.append(activity)
        try:
            yield activity
        finally:
            with self._lock:
                self._tasks.remove(activity)

    # --- drawing -------------------------------------------------------------------------------------------------

    def render(self) -> Any:
        """The list in its current state."""
        from rich.console import Group
        from rich.table import Table

        from pacifictool.console import styled

        with self._lock:
            seconds = max([monotonic() if self._running else 0.0, *(step.ended or 0 for step in self._steps)])
            head = styled((self._heading, "bold"), (f"  {max(0.0, seconds - self._started):.0f} s", "dim"))
            table = Table.grid(padding=(0, 2))
            table.add_column(width=1)
            table.add_column(no_wrap=True)
            table.add_column(justify="right", no_wrap=True)
            table.add_column(no_wrap=True)
            table.add_column(justify="right", style="dim", no_wrap=True)
            for step in self._steps:
                table.add_row(*_cells(step))
            activity = self._tasks[-1].line() if self._tasks else self._message
            lines = [activity, self._numbers, self._page] if self._running else [self._numbers]
            foot = [styled(f"   {line}", style="dim", no_wrap=True, overflow="ellipsis") for line in lines]
            return Group(head, table, *foot)

    @property
    def _running(self) -> bool:
        return any(step.ended is None for step in self._steps)


class _Activity(TaskState):
    """A task, shown below the steps."""

    def line(self) -> str:
        amount = "" if self._total is None else f"{self._done:.0f} of {self._total:.0f} {self._unit}"
        return " ".join(part for part in (self._description, amount, self._note) if part)


def _cells(step: ChecklistStep) -> tuple[Any, ...]:
    from rich.spinner import Spinner

    from pacifictool.console import styled

    mark: dict[str, Callable[[], Any]] = {
        "waiting": lambda: styled("·", style="dim"),
        "running": lambda: Spinner("dots", style="cyan"),
        "ok": lambda: styled("✓", style="bold green"),
        "failed": lambda: styled("✗", style="bold red"),
    }
    title = styled(step.title, style="dim" if step.state == "waiting" else "bold" if step.state == "running" else "")
    value = "" if step.value is None else f"{step.value:.2f}"
    seconds = "" if step.started is None or step.ended is None else f"{step.ended - step.started:.1f} s"
    gauge = "" if step.expected is None else _gauge(step.value, step.expected)
    return mark[step.state](), title, styled(value, style="bold"), gauge, seconds


def _gauge(value: float | None, expected: tuple[float, float]) -> Any:
    """The value in its range: `32 ├─────●────┤ 33`. A value outside is a dot beyond the end, in red."""
    from pacifictool.console import styled

    low, high = expected
    track = ["─"] * _GAUGE_LETTERS
    before, after = " ", " "
    holds = value is not None and low <= value <= high
    if value is not None and holds:
        track[round((value - low) / (high - low) * (_GAUGE_LETTERS - 1))] = "●"
    elif value is not None:
        before, after = ("●", " ") if value < low else (" ", "●")
    style = "dim" if value is None else "green" if holds else "red"
    return styled((f"{low:g}{before}", "dim"), (f"├{''.join(track)}┤", style), (f"{after}{high:g}", "dim"))
