"""Percentiles of durations in bounded memory: counters in logarithmic buckets."""

from __future__ import annotations

import math
from typing import Final

_SMALLEST_SECONDS: Final = 1e-5
_BUCKETS_PER_DOUBLING: Final = 16
_DOUBLINGS: Final = 36
_LAST: Final = _BUCKETS_PER_DOUBLING * _DOUBLINGS + 1
_SCALE: Final = _BUCKETS_PER_DOUBLING / math.log(2)


class DurationHistogram:
    """Durations from 10 µs to a week, each known to within 2.2 %; 578 integers whatever the number of durations.

    Shorter ones (also negative ones, which clocks produce) count as 10 µs, longer ones as a week.
    """

    __slots__ = ("_counts", "count")

    def __init__(self) -> None:
        self._counts = [0] * (_LAST + 1)
        self.count = 0

    def record(self, seconds: float, times: int = 1) -> None:
        """Counts one duration, or several equal ones."""
        if seconds <= _SMALLEST_SECONDS:
            index = 0
        else:
            index = 1 + int(math.log(seconds / _SMALLEST_SECONDS) * _SCALE)
            if index > _LAST:  # noqa: PLR1730 - called for every reading, and min() takes twice as long
                index = _LAST
        self._counts[index] += times
        self.count += times

    def percentile(self, percent: float) -> float | None:
        """The duration in seconds that `percent` of the recorded ones do not exceed; None without any."""
        if not self.count:
            return None
        rank = max(1, math.ceil(self.count * percent / 100))
        seen = 0
        for index, count in enumerate(self._counts):
            seen += count
            if seen >= rank:
                # The middle of the bucket, on the logarithmic scale.
                return _SMALLEST_SECONDS if index == 0 else _SMALLEST_SECONDS * math.exp((index - 0.5) / _SCALE)
        raise AssertionError("the counts add up to the number of recorded durations")
