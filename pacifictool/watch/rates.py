"""How fast something goes: from a counter that grows, or from the time stamps of a series."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

RATE_SECONDS: Final = 10.0
"""Rates are means over the last so many seconds."""


class RateMeter:
    """The rate of a counter that is read now and then."""

    def __init__(self, seconds: float = RATE_SECONDS) -> None:
        self._seconds = seconds
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, at: float, total: int) -> float | None:
        """Takes the counter's value at monotonic second `at`; the rate per second, None before the second sample.

        A counter that falls belongs to something that began anew, and is measured from there.
        """
        if self._samples and total < self._samples[-1][1]:
            self._samples.clear()
        self._samples.append((at, total))
        # One sample from before the span stays, so that the span is covered whole.
        while len(self._samples) > 2 and self._samples[1][0] <= at - self._seconds:
            self._samples.popleft()
        (first_at, first), (last_at, last) = self._samples[0], self._samples[-1]
        return (last - first) / (last_at - first_at) if last_at > first_at else None

    def forget(self) -> None:
        """Begins anew, after a time in which nothing could be read."""
        self._samples.clear()


def series_rate(stamps_ms: Sequence[int], silent_seconds: float) -> float:
    """Readings per second of a series: its newest time stamps, oldest first, and how long nothing new has come.

    Works on the series' own clock, which may differ from ours. Falls when the series falls silent, and is 0 after
    RATE_SECONDS.
    """
    if not stamps_ms or silent_seconds >= RATE_SECONDS:
        return 0.0
    if len(stamps_ms) == 1:
        return 1 / RATE_SECONDS
    span = (stamps_ms[-1] - stamps_ms[0]) / 1000
    interval = span / (len(stamps_ms) - 1)
    # Between two readings it is silent, too; only what goes beyond that counts.
    beyond = max(0.0, silent_seconds - max(interval, 2.0))
    return (len(stamps_ms) - 1) / (span + beyond) if span + beyond > 0 else 0.0
