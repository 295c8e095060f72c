"""Applies a plan: in the order of its kinds, up to DEFAULT_WORKERS changes of one kind at once, with progress."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from time import monotonic
from typing import Final, TypeVar

from pacifictool.errors import Interrupted
from pacifictool.plan import Change, Kind, Plan
from pacifictool.progress import SILENT, ProgressTask, Reporter
from pacifictool.tools.rates import RateMeter
from pacifictool.tools.threads import run_bounded
from pacifictool.tools.times import duration_text

Item = TypeVar("Item")
Result = TypeVar("Result")

DEFAULT_WORKERS: Final = 16
"""Requests that are open at once."""

_NOTE_SECONDS: Final = 0.5

_PLURALS = {Kind.DEVICE: "devices", Kind.ATTRIBUTES: "attributes", Kind.ASSET: "assets"}
"""Kinds with up to thousands of changes; those of other kinds depend on each other and are applied one by one."""


def apply_plan(
    plan: Plan,
    *,
    workers: int = DEFAULT_WORKERS,
    reporter: Reporter = SILENT,
    stop: threading.Event | None = None,
) -> None:
    """Applies what is pending.

    Raises the first failure, or Interrupted when `stop` is set. What was done stays; the next run compares again and
    continues from there.
    """
    for kind, group in groupby(plan.pending, key=lambda change: change.kind):
        if kind in _PLURALS:
            changes = list(group)
            verb = {"created": "Creating", "changed": "Changing", "deleted": "Deleting"}[changes[0].action]
            title = f"{verb} {_PLURALS[kind]}"
            for _ in run_with_progress(_apply, changes, title, reporter, workers=workers, stop=stop):
                pass
            continue
        for change in group:
            if stop is not None and stop.is_set():
                raise Interrupted
            with reporter.task(f"{change.kind.capitalize()} {change.name}"):
                _apply(change)


def _apply(change: Change) -> None:
    if change.apply is not None:
        change.apply()


def run_with_progress(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    title: str,
    reporter: Reporter,
    *,
    unit: str = "",
    workers: int = DEFAULT_WORKERS,
    stop: threading.Event | None = None,
) -> Iterator[Result]:
    """Yields the results of `work` in any order, as `tools.threads.run_bounded` does, and shows the progress.

    Raises the first failure, or Interrupted when `stop` is set.
    """
    with reporter.task(title, total=len(items), unit=unit) as task:
        pace = Pace(task, len(items))
        for result in run_bounded(work, items, workers=workers, stop=stop, name="provisioning"):
            yield result
            pace.step()


class Pace:
    """Advances a task of `total` steps and notes behind its bar "210/s, 1 min 20 s left"."""

    def __init__(self, task: ProgressTask, total: int, clock: Callable[[], float] = monotonic) -> None:
        self._task = task
        self._total = total
        self._clock = clock
        self._done = 0
        # What is left goes at the present rate, not at that of the start.
        self._meter = RateMeter()
        self._noted_at = clock()
        self._meter.add(self._noted_at, 0)

    def step(self) -> None:
        """One more step is done."""
        self._done += 1
        now = self._clock()
        if now - self._noted_at >= _NOTE_SECONDS:
            self._noted_at = now
            rate = self._meter.add(now, self._done)
            if rate:
                left = duration_text((self._total - self._done) / rate)
                self._task.update(note=f"{rate:.0f}/s, {left} left")
        self._task.advance()
