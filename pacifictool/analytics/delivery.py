"""Takes due windows from the state store to the sink until the sink has acknowledged them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pacifictool.analytics.engine.aggregates import StateLayout
from pacifictool.analytics.sinks.base import DeliveryCallback, Sink
from pacifictool.analytics.state.queries import WindowState
from pacifictool.analytics.state.store import StateStore
from pacifictool.analytics.windows import WindowResult, join_group, split_group
from pacifictool.errors import (
    AggregationError,
    AuthenticationFailed,
    DeliveryAbandoned,
    PacificToolError,
    PlatformUnreachable,
    StorageFull,
)
from pacifictool.progress import Reporter
from pacifictool.scenario import Analytics

CHUNK = 2000
"""Results handed to the sink at once."""
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
_REPORT_REFUSED = 3


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """What a person may want to see of the delivery."""

    last_posted: tuple[WindowResult, ...] = ()
    """The results of the last acknowledged chunk, at most ten, newest last."""
    failing_since: float | None = None
    """Monotonic seconds of the first failure of the present outage."""
    failure: str | None = None


class _StoreCallback(DeliveryCallback):
    """Writes to the state store what the sink reports.

    A group whose newest window is posted once more, behind a correction, is done only with that one: should anything
    come between, both are due again.
    """

    def __init__(self, store: StateStore, due: Iterable[WindowState], again: Iterable[WindowResult]) -> None:
        self._store = store
        self._open = {(*window.series, window.window_end_ms): window for window in due}
        self._last = {_series(result): result.window_end_ms for result in again}
        self._held: dict[tuple[str, str], list[WindowResult]] = {}
        self._lock = threading.Lock()
        self.accepted_results: list[WindowResult] = []
        self.refusals: dict[str, str] = {}
        """Reason by entity."""

    @property
    def open(self) -> int:
        with self._lock:
            return len(self._open)

    def accepted(self, results: Iterable[WindowResult]) -> None:
        with self._lock:
            done = [(result, window) for result in self._complete(results) if (window := self._pop(result)) is not None]
            if done:
                self._store.mark_delivered([window for _, window in done])
            self.accepted_results += [result for result, _ in done]

    def _complete(self, results: Iterable[WindowResult]) -> Iterator[WindowResult]:
        for result in results:
            series = _series(result)
            last = self._last.get(series)
            if last is None:
                yield result
            elif result.window_end_ms == last:
                yield from self._held.pop(series, ())
            else:
                self._held.setdefault(series, []).append(result)

    def refused(self, results: Iterable[WindowResult], reason: str) -> None:
        with self._lock:
            done = [(result, window) for result in results if (window := self._pop(result)) is not None]
            if done:
                self._store.mark_refused([window for _, window in done], reason)
            self.refusals |= {result.entity: reason for result, _ in done}

    def without_values(self, results: Iterable[WindowResult]) -> None:
        """These windows have nothing to post: their records define no result, as one reading defines no rate."""
        with self._lock:
            done = [window for result in results if (window := self._pop(result)) is not None]
            if done:
                self._store.mark_delivered(done, posted=False)

    def _pop(self, result: WindowResult) -> WindowState | None:
        return self._open.pop((*_series(result), result.window_end_ms), None)


def _series(result: WindowResult) -> tuple[str, str]:
    """As WindowState.series."""
    return result.analytics, join_group(result.group)


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
        self._analytics = {each.name: (each, StateLayout(each)) for each in analytics}
        self._reporter = reporter
        self._give_up_after = give_up_after
        self._jitter = jitter
        self.state = DeliveryState()
        self.posted = 0
        """Results accepted since the start."""

    def deliver_due(self, until_ms: int | None, stop: threading.Event) -> int:
        """Delivers every window that ends at or before `until_ms` (None: all). Returns how many were accepted.

        Returns early when `stop` is set: what is left stays due. Raises DeliveryAbandoned and the state store's errors.
        """
        delivered, failures = 0, 0
        while not stop.is_set():
            accepted, failure = self._pass(until_ms, stop)
            delivered += accepted
            if failure is None:
                if failures:
                    self._reporter.info(f"Results are delivered again ({self._sink.target}).")
                failures = 0
                self.state = DeliveryState(self.state.last_posted)
                if not accepted:
                    break
                continue  # Records may have been counted meanwhile.
            failures = 1 if accepted else failures + 1
            self._wait(failure, failures, progress=accepted > 0, stop=stop)
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
            due = [window for window in found if window.analytics in self._analytics]
            results = [self._result(window) for window in due]
            again = self._newest_behind(results)
            callback = _StoreCallback(self._store, due, again)
            callback.without_values(result for result in results if not result.values)
            failure = self._attempt([*(result for result in results if result.values), *again], callback)
            accepted += len(callback.accepted_results)
            done += len(due) - callback.open
            self._note(callback)
            first_failure = first_failure or failure
            # One entity that fails must not keep the others waiting; a platform that is away fails for all.
            if isinstance(failure, PlatformUnreachable | AuthenticationFailed):
                break
        if done:
            self._store.forget_closed()
        return accepted, first_failure

    def _attempt(self, results: list[WindowResult], callback: _StoreCallback) -> PacificToolError | None:
        try:
            self._sink.deliver(results, callback)
        except (StorageFull, AggregationError):
            # The store's errors come through the callback; waiting does not fix them.
            raise
        except PacificToolError as error:
            return error
        if callback.open:
            return AggregationError(f"{self._sink.target} left {callback.open} results without a response.")
        return None

    def _newest_behind(self, due: Iterable[WindowResult]) -> list[WindowResult]:
        """For each group whose older window is being corrected, the newest results of each key; to be posted once more,
        last.

        A platform of the 1.x generation shows as latest the value of a key that was written last.
        """
        last_due: dict[tuple[str, str], int] = {}
        keys: dict[tuple[str, str], set[str]] = {}
        for result in due:
            if result.values:
                last_due[_series(result)] = result.window_end_ms
                keys.setdefault(_series(result), set()).update(result.values)
        again: list[WindowResult] = []
        before: dict[tuple[str, str], int | None] = dict.fromkeys(last_due)
        while before:
            newest, before = self._store.newest_delivered(before), {}
            for series, window in newest.items():
                if window.window_end_ms <= last_due[series]:
                    continue
                result = self._result(window)
                if keys[series] & result.values.keys():
                    again.append(result)
                    keys[series] -= result.values.keys()
                if keys[series]:
                    before[series] = window.window_end_ms
        return sorted(again, key=lambda result: result.window_end_ms)

    def _result(self, window: WindowState) -> WindowResult:
        analytics, layout = self._analytics[window.analytics]
        group = split_group(analytics, window.group)
        start_ms = window.window_end_ms - analytics.window_ms
        return WindowResult(
            analytics=analytics.name,
            group=group,
            entity_kind=analytics.entity_kind,
            entity=analytics.entity_name(group),
            window_start_ms=start_ms,
            window_end_ms=window.window_end_ms,
            ts_ms=start_ms if analytics.ts == "start" else window.window_end_ms,
            count=window.count,
            values=layout.results(window.count, window.state),
        )

    def _note(self, callback: _StoreCallback) -> None:
        if callback.accepted_results:
            self.posted += len(callback.accepted_results)
            newest = sorted(callback.accepted_results, key=lambda result: (result.window_end_ms, result.entity))[-10:]
            self.state = DeliveryState(tuple(newest), self.state.failing_since, self.state.failure)
        for entity, reason in list(callback.refusals.items())[:_REPORT_REFUSED]:
            self._reporter.warning(f"{self._sink.target} refuses the results of {entity!r}: {reason}")
        if (more := len(callback.refusals) - _REPORT_REFUSED) > 0:
            self._reporter.warning(f"{self._sink.target} refuses the results of {more} more.")

    def _wait(self, failure: PacificToolError, failures: int, *, progress: bool, stop: threading.Event) -> None:
        now = time.monotonic()
        since = self.state.failing_since
        if since is None or progress:
            since = now
        self.state = DeliveryState(self.state.last_posted, since, failure.message)
        if self._give_up_after is not None and now - since >= self._give_up_after:
            raise DeliveryAbandoned(
                f"Results could not be delivered for {now - since:.0f} s: {failure.message}",
                hint="Nothing is lost: start the job again with the same checkpoint when the platform is back.",
                cause=failure.kind,
            ) from failure
        seconds = min(FIRST_WAIT_SECONDS * 2 ** (failures - 1), LONGEST_WAIT_SECONDS) * (0.5 + self._jitter() / 2)
        # A platform that names a time is asked no sooner, within reason.
        seconds = max(seconds, min(float(failure.details.get("retry_after", 0.0)), 2 * LONGEST_WAIT_SECONDS))
        if self._give_up_after is not None:
            seconds = min(seconds, max(0.0, since + self._give_up_after - now))
        due = self._store.due_windows()
        self._reporter.warning(f"{failure.message} {due} results wait; trying again in {seconds:.1f} s.")
        stop.wait(seconds)
