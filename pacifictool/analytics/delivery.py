"""Takes due windows from the state store to the sink until the sink has acknowledged them."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter

from pacifictool.analytics.delivered import DueWindow, EntityOfSeries, Series, StoreCallback, entity_of_series
from pacifictool.analytics.engine.aggregates import StateLayout
from pacifictool.analytics.retrying import Retries
from pacifictool.analytics.sinks.base import Sink
from pacifictool.analytics.state.outcomes import KeptOutcome
from pacifictool.analytics.state.queries import WindowState
from pacifictool.analytics.state.store import StateStore
from pacifictool.analytics.windows import WindowResult, split_group
from pacifictool.errors import (
    AggregationError,
    AuthenticationFailed,
    PacificToolError,
    PlatformUnreachable,
    StorageFull,
)
from pacifictool.functions import EntityKind
from pacifictool.progress import Reporter
from pacifictool.scenario import Analytics

CHUNK = 2000
"""Results handed to the sink at once."""
_REPORT_REFUSED = 3


class Delivery:
    """Delivers due windows, one caller at a time; waits and tries again when the sink fails."""

    def __init__(
        self,
        store: StateStore,
        sink: Sink,
        analytics: Sequence[Analytics],
        *,
        reporter: Reporter,
        give_up_after: float | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`give_up_after`: seconds without a single success after which DeliveryAbandoned is raised; None: never."""
        self._store = store
        self._sink = sink
        self._analytics = {each.name: (each, StateLayout(each), each.window_ms) for each in analytics}
        self._reporter = reporter
        self._retries = Retries("results", reporter=reporter, give_up_after=give_up_after, jitter=jitter)
        self.posted = 0
        """Windows whose results were accepted since the start."""
        self.delivered_at: float | None = None
        """When results were last accepted, in seconds since the epoch."""
        self.last_posted: tuple[WindowResult, ...] = ()
        """The results that were acknowledged last, at most ten, the newest window last."""

    @property
    def failure(self) -> str | None:
        """Why results cannot be delivered at the moment."""
        return self._retries.failure

    @property
    def failed_attempts(self) -> int:
        """Attempts that failed since the start."""
        return self._retries.failed_attempts

    def deliver_due(self, until_ms: int | None, stop: threading.Event) -> int:
        """Delivers every window that ends at or before `until_ms` (None: all). Returns how many were accepted.

        Returns early when `stop` is set: what is left stays due. Raises DeliveryAbandoned and the state store's errors.
        """
        delivered = 0
        while not stop.is_set():
            accepted, failure = self._pass(until_ms, stop)
            delivered += accepted
            if failure is None:
                self._retries.succeeded(self._sink.target)
                if not accepted:
                    break
                continue  # Records may have been counted meanwhile.
            self._retries.wait(failure, progress=accepted > 0, waiting=self._store.due_windows(), stop=stop)
        return delivered

    def _pass(self, until_ms: int | None, stop: threading.Event) -> tuple[int, PacificToolError | None]:
        """Goes once through everything that is due: how much was accepted, and the first failure."""
        accepted, done, first_failure = 0, 0, None
        after: WindowState | None = None
        while not stop.is_set():
            found = self._store.due(until_ms, CHUNK, after)
            if not found:
                break
            after = found[-1]
            # What the scenario computes no longer, or not in this run, stays as it is.
            due = [DueWindow(window, self._results(window)) for window in found if window.analytics in self._analytics]
            again = self._newest_behind(due)
            callback = StoreCallback(self._store, due, again)
            results = [*(result for each in due for result in each.results), *again]
            failure = self._attempt(sorted(results, key=attrgetter("window_end_ms")), callback)
            accepted += callback.delivered
            done += len(due) - callback.open
            self._note(callback)
            first_failure = first_failure or failure
            # One entity that fails must not keep the others waiting; a platform that is away fails for all.
            if isinstance(failure, PlatformUnreachable | AuthenticationFailed):
                break
        if done:
            self._store.forget_closed()
        return accepted, first_failure

    def _attempt(self, results: list[WindowResult], callback: StoreCallback) -> PacificToolError | None:
        try:
            self._sink.deliver(results, callback)
        except (StorageFull, AggregationError):
            # The store's errors come through the callback; waiting does not fix them.
            raise
        except PacificToolError as error:
            return error
        if callback.open:
            return AggregationError(
                f"{self._sink.target} left the results of {callback.open} windows without a response."
            )
        return None

    def _newest_behind(self, due: Sequence[DueWindow]) -> list[WindowResult]:
        """The newest results of each entity and key whose older window is being corrected, to be posted after it once
        more.

        A platform of the 1.x generation shows as latest the value of a key that was written last. What is posted once
        more is whole, so that the newest results of its other keys come once more, too.
        """
        delivered_until = self._store.delivered_until_ms()
        older = {
            each.window.series
            for each in due
            if each.window.window_end_ms < delivered_until.get(each.window.analytics, 0)
        }
        if not older:
            return []
        due = [each for each in due if each.window.series in older]
        last: dict[Series, dict[tuple[EntityOfSeries, str], int]] = defaultdict(dict)
        """By series: the end of the last window in `due` that an entity and key have a value of."""
        for each in due:
            for result in each.results:
                owner = entity_of_series(result)
                last[owner[0]].update(dict.fromkeys(((owner, key) for key in result.values), result.window_end_ms))
        newest_of: dict[tuple[EntityOfSeries, str], WindowResult] = {}
        again: list[WindowResult] = []
        posted = {(entity_of_series(result), result.window_end_ms) for each in due for result in each.results}

        def add(result: WindowResult) -> None:
            place = entity_of_series(result), result.window_end_ms
            if place not in posted:
                posted.add(place)
                again.append(result)
                for key in result.values:
                    if (newest := newest_of[place[0], key]).window_end_ms > result.window_end_ms:
                        add(newest)

        before: dict[Series, int | None] = dict.fromkeys(last)
        while before:
            found, before = self._store.newest_delivered(before), {}
            for series, window in found.items():
                open_ends = last[series]
                for result in self._results(window):
                    owner = entity_of_series(result)
                    for key in result.values:
                        newest_of.setdefault((owner, key), result)
                    ends = [open_ends.pop((owner, key)) for key in result.values if (owner, key) in open_ends]
                    if any(end < window.window_end_ms for end in ends):
                        add(result)
                if open_ends and min(open_ends.values()) < window.window_end_ms:
                    before[series] = window.window_end_ms
        return again

    def _results(self, window: WindowState) -> list[WindowResult]:
        """One result for each entity that has one."""
        analytics, layout, window_ms = self._analytics[window.analytics]
        group = split_group(analytics, window.group)
        kind, entity = analytics.entity_kind, analytics.entity_name(group)
        name, end_ms = window.analytics, window.window_end_ms
        start_ms = end_ms - window_ms
        ts_ms = start_ms if analytics.ts == "start" else end_ms
        if analytics.function is None:
            values = layout.results(window.count, window.state)
            result = WindowResult(name, group, kind, entity, start_ms, end_ms, ts_ms, window.count, values)
            return [result] if values else []
        return [
            WindowResult(name, group, kind, entity, start_ms, end_ms, ts_ms, window.version, values)
            for (kind, entity), values in outcome_values((kind, entity), window.outcome).items()
            if values
        ]

    def _note(self, callback: StoreCallback) -> None:
        if callback.accepted_results:
            self.posted += callback.delivered
            self.delivered_at = time.time()
            newest = sorted(callback.accepted_results[-10:], key=attrgetter("window_end_ms", "entity"))
            self.last_posted = tuple(newest)
        for entity, reason in list(callback.refusals.items())[:_REPORT_REFUSED]:
            self._reporter.warning(f"{self._sink.target} refuses the results of {entity!r}: {reason}")
        if (more := len(callback.refusals) - _REPORT_REFUSED) > 0:
            self._reporter.warning(f"{self._sink.target} refuses the results of {more} more.")


def outcome_values(
    own: tuple[EntityKind, str], outcome: KeptOutcome | None
) -> dict[tuple[EntityKind, str], Mapping[str, float]]:
    """The values that a function gave, by kind and name of the entity; `own` is that of the group."""
    values: dict[tuple[EntityKind, str], Mapping[str, float]] = {}
    if outcome is None:
        return values
    if outcome.own:
        values[own] = outcome.own
    for kind, entity, found in outcome.others:
        values[kind, entity] = {**values.get((kind, entity), {}), **found}
    return values
