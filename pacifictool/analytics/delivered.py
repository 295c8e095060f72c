"""Notes in the state store what a sink reports about the results of windows."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pacifictool.analytics.sinks.base import DeliveryCallback
from pacifictool.analytics.state.queries import WindowState
from pacifictool.analytics.state.store import StateStore
from pacifictool.analytics.windows import ResultPlace, WindowResult, join_group, result_place

Series = tuple[str, str]
"""As WindowState.series."""
EntityOfSeries = tuple[Series, str, str]
"""A series, and kind and name of an entity that it has results for."""


@dataclass(slots=True)
class DueWindow:
    """A window that is due, and its results: one or none, or several of a function."""

    window: WindowState
    results: Sequence[WindowResult]
    missing: int = 1
    """How many responses it is not done without."""
    refusal: str | None = None


class StoreCallback(DeliveryCallback):
    """Writes to the state store what the sink reports.

    A window is done when all of its results are accepted or refused. One whose entity gets its newest results once
    more, behind a correction, is done only with those: should anything come between, both are due again.
    """

    def __init__(self, store: StateStore, due: Iterable[DueWindow], again: Iterable[WindowResult]) -> None:
        """Windows without results are done at once: their records define none, as one reading defines no rate."""
        self._store = store
        self._lock = threading.Lock()
        self._waiting: dict[ResultPlace, DueWindow] = {}
        """By result: the window that it is of."""
        self._before: dict[ResultPlace, list[DueWindow]] = defaultdict(list)
        """By result that is posted once more: the corrected windows that are not done without it."""
        self.accepted_results: list[WindowResult] = []
        """Those of the windows that are delivered."""
        self.delivered = 0
        """Number of windows."""
        self.refusals: dict[str, str] = {}
        """Reason by entity."""
        behind: dict[tuple[object, ...], list[ResultPlace]] = defaultdict(list)
        for place in map(result_place, again):
            behind[place[:-1]].append(place)
        empty = []
        self._open = 0
        for each in due:
            if not each.results:
                empty.append(each.window)
                continue
            self._open += 1
            each.missing = len(each.results)
            for result in each.results:
                place = result_place(result)
                self._waiting[place] = each
                if behind:
                    self._wait_for(each, (later for later in behind.get(place[:-1], ()) if later[-1] > place[-1]))
        if empty:
            store.mark_delivered(empty, posted=False)

    def _wait_for(self, window: DueWindow, places: Iterable[ResultPlace]) -> None:
        for place in places:
            if not any(each is window for each in self._before[place]):
                self._before[place].append(window)
                window.missing += 1

    @property
    def open(self) -> int:
        """Windows that are not done."""
        with self._lock:
            return self._open

    def accepted(self, results: Iterable[WindowResult]) -> None:
        with self._lock:
            self._finish(results)

    def refused(self, results: Iterable[WindowResult], reason: str) -> None:
        with self._lock:
            known = list(results)
            for result in known:
                # Not of one that is posted once more, whose window is done.
                if (each := self._waiting.get(result_place(result))) is not None:
                    each.refusal = each.refusal or (f"{result.entity}: {reason}" if len(each.results) > 1 else reason)
                    self.refusals[result.entity] = reason
            self._finish(known)

    def _finish(self, results: Iterable[WindowResult]) -> None:
        delivered: list[WindowState] = []
        refused: dict[str, list[WindowState]] = defaultdict(list)
        waiting, before = self._waiting, self._before
        for result in results:
            place = result_place(result)
            done = [] if (own := waiting.pop(place, None)) is None else [own]
            if before:
                done += before.pop(place, ())
            for each in done:
                each.missing -= 1
                if each.missing:
                    continue
                self._open -= 1
                if each.refusal is None:
                    delivered.append(each.window)
                    self.accepted_results += each.results
                else:
                    refused[each.refusal].append(each.window)
        if delivered:
            self._store.mark_delivered(delivered)
        for reason, windows in refused.items():
            self._store.mark_refused(windows, reason)
        self.delivered += len(delivered)


def entity_of_series(result: WindowResult) -> EntityOfSeries:
    """Whose results are written one after the other."""
    return (result.analytics, join_group(result.group)), result.entity_kind, result.entity
