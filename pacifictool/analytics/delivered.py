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


@dataclass(frozen=True, slots=True)
class DueWindow:
    """A window that is due, and its results: one or none, or several of a function."""

    window: WindowState
    results: Sequence[WindowResult]


@dataclass(slots=True)
class _OpenWindow:
    """A window that is not done."""

    due: DueWindow
    missing: int
    """Results without which it is not done."""
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
        self._waiting: dict[ResultPlace, list[_OpenWindow]] = defaultdict(list)
        """By result: what is not done without it."""
        self._open = 0
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
        for each in due:
            if not each.results:
                empty.append(each.window)
                continue
            places = [result_place(result) for result in each.results]
            if behind:
                newer = (later for place in places for later in behind.get(place[:-1], ()) if later[-1] > place[-1])
                places = list({*places, *newer})
            window = _OpenWindow(each, len(places))
            self._open += 1
            for place in places:
                self._waiting[place].append(window)
        if empty:
            store.mark_delivered(empty, posted=False)

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
                for each in self._waiting.get(result_place(result), ()):
                    if each.due.window.window_end_ms == result.window_end_ms:  # else it is the newest one behind it
                        several = len(each.due.results) > 1
                        each.refusal = each.refusal or (f"{result.entity}: {reason}" if several else reason)
                        self.refusals[result.entity] = reason
            self._finish(known)

    def _finish(self, results: Iterable[WindowResult]) -> None:
        delivered: list[DueWindow] = []
        refused: dict[str, list[WindowState]] = defaultdict(list)
        for result in results:
            for each in self._waiting.pop(result_place(result), ()):
                each.missing -= 1
                if each.missing:
                    continue
                self._open -= 1
                if each.refusal is not None:
                    refused[each.refusal].append(each.due.window)
                else:
                    delivered.append(each.due)
        if delivered:
            self._store.mark_delivered([each.window for each in delivered])
        for reason, windows in refused.items():
            self._store.mark_refused(windows, reason)
        self.delivered += len(delivered)
        self.accepted_results += [result for each in delivered for result in each.results]


def entity_of_series(result: WindowResult) -> EntityOfSeries:
    """Whose results are written one after the other."""
    return (result.analytics, join_group(result.group)), result.entity_kind, result.entity
