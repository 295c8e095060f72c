"""Takes due windows from the state store to the sink until the sink has acknowledged them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pacifictool.analytics.sinks.base import DeliveryCallback, Sink
from pacifictool.analytics.state.queries import WindowTotal
from pacifictool.analytics.state.store import StateStore
from pacifictool.analytics.windows import WindowMean, exact_mean
from pacifictool.errors import (
    AggregationError,
    AuthenticationFailed,
    DeliveryAbandoned,
    PacificToolError,
    PlatformUnreachable,
    StorageFull,
)
from pacifictool.progress import Reporter

CHUNK = 2000
"""Results handed to the sink at once."""
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
_REPORT_REFUSED = 3


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """What a person may want to see of the delivery."""

    last_posted: tuple[WindowMean, ...] = ()
    """The results of the last acknowledged chunk, at most ten, newest last."""
    failing_since: float | None = None
    """Monotonic seconds of the first failure of the present outage."""
    failure: str | None = None


class _StoreCallback(DeliveryCallback):
    """Writes to the state store what the sink reports.

    A zone whose newest window is posted once more, behind a correction, is done only with that one: should anything
    come between, both are due again.
    """

    def __init__(self, store: StateStore, due: Iterable[WindowTotal], again: Iterable[WindowTotal]) -> None:
        self._store = store
        self._open = {(window.window_end_ms, window.zone): window.count for window in due}
        self._last = {window.zone: window.window_end_ms for window in again}
        self._held: dict[str, list[WindowMean]] = {}
        self._lock = threading.Lock()
        self.accepted_results: list[WindowMean] = []
        self.refusals: dict[str, str] = {}
        """Reason by zone."""

    @property
    def open(self) -> int:
        with self._lock:
            return len(self._open)

    def accepted(self, results: Iterable[WindowMean]) -> None:
        with self._lock:
            done = [result for result in self._complete(results) if self._pop(result)]
            if done:
                self._store.mark_delivered([(result.window_end_ms, result.zone, result.count) for result in done])
            self.accepted_results += done

    def _complete(self, results: Iterable[WindowMean]) -> Iterator[WindowMean]:
        for result in results:
            last = self._last.get(result.zone)
            if last is None:
                yield result
            elif result.window_end_ms == last:
                yield from self._held.pop(result.zone, ())
            else:
                self._held.setdefault(result.zone, []).append(result)

    def refused(self, results: Iterable[WindowMean], reason: str) -> None:
        with self._lock:
            done = [result for result in results if self._pop(result)]
            if done:
                self._store.mark_refused([(result.window_end_ms, result.zone, result.count, reason) for result in done])
            self.refusals |= {result.zone: reason for result in done}

    def _pop(self, result: WindowMean) -> bool:
        return self._open.pop((result.window_end_ms, result.zone), None) is not None


class Delivery:
    """Delivers due windows, one caller at a time; waits and tries again when the sink fails."""

    def __init__(
        self,
        store: StateStore,
        sink: Sink,
        *,
        window_ms: int,
        reporter: Reporter,
        give_up_after: float | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`give_up_after`: seconds without a single success after which DeliveryAbandoned is raised; None: never."""
        self._store = store
        self._sink = sink
        self._window_ms = window_ms
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
        if delivered:
            self._store.forget_closed()
        return delivered

    def _pass(self, until_ms: int | None, stop: threading.Event) -> tuple[int, PacificToolError | None]:
        """Goes once through everything that is due: how much was accepted, and the first failure."""
        accepted, first_failure = 0, None
        after: WindowTotal | None = None
        while not stop.is_set():
            due = self._store.due(until_ms, CHUNK, after)
            if not due:
                break
            after = due[-1]
            again = self._newest_behind(due)
            callback = _StoreCallback(self._store, due, again)
            failure = self._attempt([*due, *again], callback)
            accepted += len(callback.accepted_results)
            self._note(callback)
            first_failure = first_failure or failure
            # One zone that fails must not keep the others waiting; a platform that is away fails for all.
            if isinstance(failure, PlatformUnreachable | AuthenticationFailed):
                break
        return accepted, first_failure

    def _attempt(self, windows: list[WindowTotal], callback: _StoreCallback) -> PacificToolError | None:
        try:
            self._sink.deliver([self._mean(window) for window in windows], callback)
        except (StorageFull, AggregationError):
            # The store's errors come through the callback; waiting does not fix them.
            raise
        except PacificToolError as error:
            return error
        if callback.open:
            return AggregationError(f"{self._sink.target} left {callback.open} results without a response.")
        return None

    def _newest_behind(self, due: list[WindowTotal]) -> list[WindowTotal]:
        """The newest window of each zone whose older window is being corrected; to be posted once more, last.

        A platform of the 1.x generation shows as latest the value that was written last.
        """
        last_due = {window.zone: window.window_end_ms for window in due}
        newest = self._store.newest_delivered(last_due)
        return [window for zone, window in newest.items() if window.window_end_ms > last_due[zone]]

    def _mean(self, window: WindowTotal) -> WindowMean:
        return WindowMean(
            zone=window.zone,
            window_start_ms=window.window_end_ms - self._window_ms,
            window_end_ms=window.window_end_ms,
            count=window.count,
            mean=exact_mean(window.total, window.count),
        )

    def _note(self, callback: _StoreCallback) -> None:
        if callback.accepted_results:
            self.posted += len(callback.accepted_results)
            newest = sorted(callback.accepted_results, key=lambda result: (result.window_end_ms, result.zone))[-10:]
            self.state = DeliveryState(tuple(newest), self.state.failing_since, self.state.failure)
        for zone, reason in list(callback.refusals.items())[:_REPORT_REFUSED]:
            self._reporter.warning(f"{self._sink.target} refuses the results of zone {zone!r}: {reason}")
        if (more := len(callback.refusals) - _REPORT_REFUSED) > 0:
            self._reporter.warning(f"{self._sink.target} refuses the results of {more} more zones.")

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
