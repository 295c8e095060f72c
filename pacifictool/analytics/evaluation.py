"""Calls the user's functions for windows that are complete, and keeps what they give."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from py4j.protocol import Py4JError

from pacifictool.analytics.engine.functions import FunctionCall, FunctionOutcome, FunctionRunner
from pacifictool.analytics.state.outcome_store import WindowOutcome
from pacifictool.analytics.state.outcomes import KeptOutcome
from pacifictool.analytics.state.queries import OffsetRange, WindowState
from pacifictool.analytics.state.store import StateStore
from pacifictool.analytics.waiting import LONGEST_WAIT_SECONDS
from pacifictool.analytics.windows import split_group
from pacifictool.errors import CheckpointMismatch, KafkaUnreachable, PacificToolError
from pacifictool.functions import EntityKind
from pacifictool.progress import Reporter
from pacifictool.scenario import Analytics
from pacifictool.tools.backoff import Backoff
from pacifictool.tools.times import utc_iso

MOST_RECORDS: Final = 200_000
"""Records of the calls that are made at once: what has to fit into memory, and what a restart repeats."""
MOST_CALLS: Final = 5_000
FIRST_CALLS: Final = 1_000
LONGEST_SECONDS: Final = 20.0
"""Fewer calls are made at once when they take longer than this together: until then, none of their results is seen."""
_BACKOFF: Final = Backoff(2.0, LONGEST_WAIT_SECONDS)
_KINDS_REPORTED: Final = 5
_PARTICULARS: Final = re.compile(r"'[^']*'|\"[^\"]*\"|[0-9]+")


class FunctionEvaluator:
    """Calls the function of one analytics. One caller at a time.

    A window is called for when it is complete, and again when more records have come. Windows of one group are called
    for in their order, one after the other if the function gets their results. What a function does wrong costs its own
    windows only: the failure is kept in place of results.
    """

    def __init__(
        self,
        store: StateStore,
        runner: FunctionRunner,
        analytics: Analytics,
        *,
        translated: Callable[[Exception], BaseException],
        reporter: Reporter,
    ) -> None:
        """`translated` turns an error of Spark into one of this package's."""
        self._store = store
        self._runner = runner
        self._analytics = analytics
        self._translated = translated
        self._reporter = reporter
        self._reported: set[str] = set()
        self._missing_reported = False
        self._calls_at_once = FIRST_CALLS
        self.failures = 0
        """Calls without results since the start."""
        self.last_failure: str | None = None

    def evaluate_due(self, until_ms: int | None, stop: threading.Event) -> int:
        """Calls the function for every window that ends at or before `until_ms` (None: all). Returns for how many.

        Returns early when `stop` is set: what is left stays due. Waits while Kafka is out of reach. Raises what waiting
        does not fix.
        """
        failures = evaluated = 0
        while not stop.is_set() and (windows := self._next(until_ms)):
            began = time.monotonic()
            try:
                outcomes = self._outcomes(windows)
            except KafkaUnreachable as error:
                failures += 1
                seconds = _BACKOFF.seconds(failures)
                self._reporter.detail(f"{error.message} Trying again in {seconds:.0f} s.")
                stop.wait(seconds)
            except PacificToolError:
                if not stop.is_set():
                    raise
            else:
                failures = 0
                self._store.keep_outcomes([kept for kept, _ in outcomes], missing=sum(lost for _, lost in outcomes))
                self._report([kept for kept, _ in outcomes])
                self._report_missing(sum(lost for _, lost in outcomes))
                self._learn(len(outcomes), time.monotonic() - began)
                evaluated += len(outcomes)
        return evaluated

    def _learn(self, calls: int, seconds: float) -> None:
        """How many calls to make at once from now on."""
        if seconds > LONGEST_SECONDS:
            self._calls_at_once = max(1, int(calls * LONGEST_SECONDS / seconds))
        elif calls >= self._calls_at_once and seconds < LONGEST_SECONDS / 4:
            self._calls_at_once = min(2 * self._calls_at_once, MOST_CALLS)

    def _next(self, until_ms: int | None) -> list[WindowState]:
        """The windows to call for at once."""
        chosen: list[WindowState] = []
        groups: set[str] = set()
        records = 0
        for window in self._store.to_evaluate(self._analytics.name, until_ms, MOST_CALLS):
            if self._analytics.history and window.group in groups:
                continue
            records += window.count
            if chosen and (records > MOST_RECORDS or len(chosen) >= self._calls_at_once):
                break
            chosen.append(window)
            groups.add(window.group)
        return chosen

    def _outcomes(self, windows: Sequence[WindowState]) -> list[tuple[WindowOutcome, int]]:
        """What became of each window, and how many of its records did not reach the function."""
        ranges = {end_ms: self._store.window_offsets(self._analytics.name, end_ms) for end_ms in _ends(windows)}
        calls = self._calls([window for window in windows if ranges[window.window_end_ms]])
        found = [(self._kept(outcome), outcome.missing) for outcome in self._run(calls, ranges)]
        known = {(each.group, each.window_end_ms) for each, _ in found}
        lost = [window for window in windows if (window.group, window.window_end_ms) not in known]
        return found + [(self._without_records(window), window.count) for window in lost]

    def _calls(self, windows: Sequence[WindowState]) -> list[FunctionCall]:
        most = self._analytics.history
        histories = self._store.histories([_key(window) for window in windows], most) if most else {}
        return [
            FunctionCall(*_key(window), count=window.count, history=histories.get(_key(window), ()))
            for window in windows
        ]

    def _run(self, calls: Sequence[FunctionCall], ranges: Mapping[int, Sequence[OffsetRange]]) -> list[FunctionOutcome]:
        """No outcome for windows whose records the topic no longer holds."""
        ends = {call.window_end_ms for call in calls}
        if not ends:
            return []
        try:
            return self._runner.run(calls, {(self._analytics.name, end_ms): ranges[end_ms] for end_ms in ends})
        except (Py4JError, OSError) as error:
            failure = self._translated(error)
            if not isinstance(failure, CheckpointMismatch):
                raise failure from error
        except CheckpointMismatch:
            pass
        if len(ends) == 1:
            return []
        return [
            outcome
            for end_ms in sorted(ends)
            for outcome in self._run([call for call in calls if call.window_end_ms == end_ms], ranges)
        ]

    def _kept(self, found: FunctionOutcome) -> WindowOutcome:
        call = found.call
        group_entity = (
            self._analytics.entity_kind,
            self._analytics.entity_name(split_group(self._analytics, call.group)),
        )
        values: dict[tuple[EntityKind, str], dict[str, float]] = {}
        for result in found.results:
            values.setdefault((result.kind, result.entity), {}).update(result.values)
        own = values.pop(group_entity, None)
        outcome = KeptOutcome(
            count=call.count,
            own=own or None,
            others=tuple((kind, entity, some) for (kind, entity), some in values.items() if some),
            alarms=tuple(found.alarms),
            failure=found.failure,
        )
        try:
            outcome.as_row()
        except (ValueError, TypeError) as error:
            outcome = KeptOutcome(call.count, failure=f"It returned what cannot be kept: {error}.")
        traceback = found.traceback
        if found.output is not None:
            self._reporter.detail(f"{self._analytics.name}, {group_entity[1]}: {found.output}")
            if outcome.failure is not None:
                traceback = f"{traceback or ''}\nIt printed:\n{found.output}".lstrip()
        return WindowOutcome(call.analytics, call.group, call.window_end_ms, outcome, traceback)

    def _without_records(self, window: WindowState) -> WindowOutcome:
        text = "The topic no longer holds the records of the window, which are read again for the function."
        return WindowOutcome(*_key(window), KeptOutcome(window.count, failure=text))

    def _report(self, outcomes: Sequence[WindowOutcome]) -> None:
        """One warning for each kind of failure; all of them are kept."""
        for each in outcomes:
            text = each.outcome.failure
            if text is None:
                continue
            self.failures += 1
            self.last_failure = text
            kind = _PARTICULARS.sub("", text)
            if kind in self._reported or len(self._reported) >= _KINDS_REPORTED:
                continue
            self._reported.add(kind)
            entity = self._analytics.entity_name(split_group(self._analytics, each.group))
            self._reporter.warning(
                f"{self._analytics.name}: no results of {entity!r} for the window that ended at "
                f"{utc_iso(each.window_end_ms)}: {text} `pacifictool rejects` shows all such windows."
            )
            if each.traceback is not None:
                self._reporter.detail(each.traceback)

    def _report_missing(self, records: int) -> None:
        if records and not self._missing_reported:
            self._missing_reported = True
            self._reporter.warning(
                f"{self._analytics.name}: {records} records did not reach the function: they have no timestamp, or"
                " Kafka has deleted them meanwhile. The job's summary counts all of them."
            )


def _key(window: WindowState) -> tuple[str, str, int]:
    return window.analytics, window.group, window.window_end_ms


def _ends(windows: Sequence[WindowState]) -> set[int]:
    return {window.window_end_ms for window in windows}
