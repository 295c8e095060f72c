"""The delivery callback of sink tests: remembers what a sink reported."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from pacifictool.analytics.sinks.base import DeliveryCallback
from pacifictool.analytics.windows import WindowMean


class RecordingCallback(DeliveryCallback):
    """Accepted results in the order of the reports, and the reason of each refusal by zone."""

    def __init__(self) -> None:
        self.accepted_results: list[WindowMean] = []
        self.refusals: dict[str, str] = {}
        self._lock = threading.Lock()

    def accepted(self, results: Iterable[WindowMean]) -> None:
        with self._lock:
            self.accepted_results += results

    def refused(self, results: Iterable[WindowMean], reason: str) -> None:
        with self._lock:
            self.refusals |= {result.zone: reason for result in results}


def mean_of(zone: str, window_end_ms: int, mean: float = 2.5, count: int = 4) -> WindowMean:
    """The mean of a window of 10 s."""
    return WindowMean(zone, window_end_ms - 10_000, window_end_ms, count, mean)
