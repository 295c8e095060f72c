"""Notes in the state store what a sink reports about the results of windows."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pacifictool.analytics.sinks.base import DeliveryCallback
from pacifictool.analytics.state.queries import WindowState
from pacifictool.analytics.state.store import StateStore
from pacifictool.analytics.windows import WindowResult, join_group

Series = tuple[str, str]
"""As WindowState.series."""
EntityOfSeries = tuple[Series, str, str]
"""A series, and kind and name of an entity that it has results for."""
_Piece = tuple[EntityOfSeries, int]
"""With the end of a window: what is one result."""


@dataclass(frozen=True, slots=True)
class DueWindow:
    """A window that is due, and its results: one or none, or several of a function."""

    window: WindowState
    results: Sequence[WindowResult]


class StoreCallback(DeliveryCallback):
    """Writes to the state store what the sink reports.

    A window is done when all of its results are accepted or refused. One whose entity gets its newest results once
    more, behind a correction, is done only with those: should anything come between, both are due again.
    """

    def __init__(self, store: StateStore, due: Iterable[DueWindow], again: Iterable[WindowResult]) -> None:
        """Windows without results are done at once: their records define none, as one reading defines no rate."""
        self._store = store
        self._lock = threading.Lock()
        self._open: dict[tuple[Series, int], DueWindow] = {}
        self._missing: dict[tuple[Series, int], set[_Piece]] = {}
        self._needed_by: dict[_Piece, list[tuple[Series, int]]] = defaultdict(list)
        self._refused: dict[tuple[Series, int], str] = {}
        self.accepted_results: list[WindowResult] = []
        """Those of the windows that are delivered."""
        self.delivered = 0
        """Number of windows."""
        self.refusals: dict[str, str] = {}
        """Reason by entity."""
        behind: dict[EntityOfSeries, list[int]] = defaultdict(list)
        for result in again:
            behind[entity_of_series(result)].append(result.window_end_ms)
        empty = []
        for each in due:
            if each.results:
                self._expect(each, behind)
            else:
                empty.append(each.window)
        if empty:
            store.mark_delivered(empty, posted=False)

    def _expect(self, due: DueWindow, behind: Mapping[EntityOfSeries, Collection[int]]) -> None:
        key = (due.window.series, due.window.window_end_ms)
        self._open[key] = due
        owners = {entity_of_series(result) for result in due.results}
        pieces = {(owner, due.window.window_end_ms) for owner in owners}
        pieces |= {(owner, end) for owner in owners for end in behind.get(owner, ()) if end > due.window.window_end_ms}
        self._missing[key] = pieces
        for piece in pieces:
            self._needed_by[piece].append(key)

    @property
    def open(self) -> int:
        """Windows that are not done."""
        with self._lock:
            return len(self._open)

    def accepted(self, results: Iterable[WindowResult]) -> None:
        with self._lock:
            self._finish(results)

    def refused(self, results: Iterable[WindowResult], reason: str) -> None:
        with self._lock:
            known = list(results)
            for result in known:
                key = ((result.analytics, join_group(result.group)), result.window_end_ms)
                if key in self._open:
                    several = len(self._open[key].results) > 1
                    self._refused.setdefault(key, f"{result.entity}: {reason}" if several else reason)
                    self.refusals[result.entity] = reason
            self._finish(known)

    def _finish(self, results: Iterable[WindowResult]) -> None:
        delivered: list[DueWindow] = []
        refused: dict[str, list[WindowState]] = defaultdict(list)
        for result in results:
            piece = (entity_of_series(result), result.window_end_ms)
            for key in self._needed_by.pop(piece, ()):
                self._missing[key].discard(piece)
                if self._missing[key]:
                    continue
                done = self._open.pop(key)
                if key in self._refused:
                    refused[self._refused[key]].append(done.window)
                else:
                    delivered.append(done)
        if delivered:
            self._store.mark_delivered([each.window for each in delivered])
        for reason, windows in refused.items():
            self._store.mark_refused(windows, reason)
        self.delivered += len(delivered)
        self.accepted_results += [result for each in delivered for result in each.results]


def entity_of_series(result: WindowResult) -> EntityOfSeries:
    """Whose results are written one after the other."""
    return (result.analytics, join_group(result.group)), result.entity_kind, result.entity
