"""The demo as a person at a terminal sees it: its steps as a checklist, with live values beside what is expected."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TextIO

from pacifictool.cli.render import Messages
from pacifictool.demo.checks import Check, LiveView
from pacifictool.reporting import ProgressTask, Reporter
from pacifictool.tools.times import utc_text

_GAUGE_LETTERS = 13
_REFRESHES_PER_SECOND = 8


@dataclass
class Step:
    """One line of the checklist."""

    name: str
    title: str
    zone: str | None = None
    """Whose means are its live value."""
    expected: tuple[float, float] | None = None
    began: float | None = None
    ended: float | None = None
    checks: list[Check] = field(default_factory=list)
    value: float | None = None

    @property
    def state(self) -> str:
        """ "waiting", "running", "ok" or "failed"."""
        if any(not check.ok for check in self.checks):
            return "failed"
        if self.began is None:
            return "waiting"
        return "running" if self.ended is None else "ok"


class PlainLines(LiveView):
    """Without a terminal: every check as soon as it is made, and every mean with --verbose."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def on_page(self, url: str) -> None:
        self._reporter.info(f"Until the end, {url} shows the data move.")

    def on_check(self, check: Check) -> None:
        self._reporter.info(f"{'✓' if check.ok else '✗'} {check.name}: {check.describe()}")

    def on_mean(self, zone: str, window_end_ms: int, mean: float) -> None:
        self._reporter.detail(f"{zone}: {mean:.4f} for the window until {utc_text(window_end_ms)}")


class Checklist(Messages, LiveView):
    """Draws the steps on a terminal, and is both what the demo tells its progress to and where messages go.

    What is only news (`info`) is shown beneath the step that runs, not kept; warnings are printed above.
    """

    def __init__(self, stream: TextIO, heading: str, steps: Sequence[Step], *, colour: bool, verbose: bool) -> None:
        super().__init__(stream, colour=colour, verbose=verbose, quiet=False)
        self._heading = heading
        self._steps = list(steps)
        self._lock = threading.RLock()
        self._began = monotonic()
        self._news = ""
        self._tasks: list[_Activity] = []
        self._numbers = ""
        self._page = ""

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draws until the context ends; what stands there then stays."""
        from rich.live import Live

        with Live(get_renderable=self.render, console=self.console, refresh_per_second=_REFRESHES_PER_SECOND):
            yield

    # --- what the demo tells -------------------------------------------------------------------------------------

    def on_page(self, url: str) -> None:
        self._page = f"Live in a browser, until the end: {url}"

    def on_step(self, step: str) -> None:
        with self._lock:
            now = monotonic()
            for other in self._steps:
                if other.name == step:
                    other.began = now
                elif other.began is not None and other.ended is None:
                    other.ended = now
            self._news = ""

    def on_check(self, check: Check) -> None:
        with self._lock:
            running = [step for step in self._steps if step.began is not None]
            step = next((step for step in self._steps if step.name == check.name), running[-1] if running else None)
            if step is not None:
                step.checks.append(check)
                if step.name == check.name and isinstance(check.actual, float):
                    step.value = check.actual

    def on_mean(self, zone: str, window_end_ms: int, mean: float) -> None:
        with self._lock:
            for step in self._steps:
                if step.state == "running" and step.zone == zone:
                    step.value = mean

    def on_numbers(self, *, counted: int, per_second: float, rejected: int, lag: int | None) -> None:
        behind = "" if not lag else f" · {lag:,} behind"
        self._numbers = f"{counted:,} readings counted · {per_second:.0f} a second{behind} · {rejected} rejects"

    def finish(self) -> None:
        """Nothing runs any more."""
        with self._lock:
            for step in self._steps:
                if step.state == "running":
                    step.ended = monotonic()
            self._news = ""

    # --- what everybody else tells -------------------------------------------------------------------------------

    def info(self, message: str) -> None:
        self._news = message

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
        """The whole list as it stands."""
        from rich.console import Group
        from rich.table import Table

        from pacifictool.console import styled

        with self._lock:
            seconds = max([monotonic() if self._running else 0.0, *(step.ended or 0 for step in self._steps)])
            head = styled((self._heading, "bold"), (f"  {max(0.0, seconds - self._began):.0f} s", "dim"))
            table = Table.grid(padding=(0, 2))
            table.add_column(width=1)
            table.add_column(no_wrap=True)
            table.add_column(justify="right", no_wrap=True)
            table.add_column(no_wrap=True)
            table.add_column(justify="right", style="dim", no_wrap=True)
            for step in self._steps:
                table.add_row(*_cells(step))
            activity = self._tasks[-1].line() if self._tasks else self._news
            lines = [activity, self._numbers, self._page] if self._running else [self._numbers]
            foot = [styled(f"   {line}", style="dim", no_wrap=True, overflow="ellipsis") for line in lines]
            return Group(head, table, *foot)

    @property
    def _running(self) -> bool:
        return any(step.ended is None for step in self._steps)


class _Activity:
    """A task beneath the step that runs."""

    def __init__(self, description: str, total: float | None, unit: str) -> None:
        self._description, self._total, self._unit = description, total, unit
        self._done = 0.0
        self._note = ""

    def advance(self, amount: float = 1) -> None:
        self._done += amount

    def update(self, *, completed: float | None = None, total: float | None = None, note: str | None = None) -> None:
        self._done = self._done if completed is None else completed
        self._total = self._total if total is None else total
        self._note = self._note if note is None else note

    def line(self) -> str:
        amount = "" if self._total is None else f"{self._done:.0f} of {self._total:.0f} {self._unit}"
        return " ".join(part for part in (self._description, amount, self._note) if part)


def _cells(step: Step) -> tuple[Any, ...]:
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
    seconds = "" if step.began is None or step.ended is None else f"{step.ended - step.began:.1f} s"
    gauge = "" if step.expected is None else _gauge(step.value, step.expected)
    return mark[step.state](), title, styled(value, style="bold"), gauge, seconds


def _gauge(value: float | None, expected: tuple[float, float]) -> Any:
    """Where the value lies in its range: `32 ├─────●────┤ 33`; outside of it, the dot stands beyond the end, red."""
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
