"""Quantiles of durations in bounded memory, from histograms that can be merged and subtracted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Self

RELATIVE_ERROR: Final = 0.022
"""How far a quantile may be from the exact one, as a share of it: half a bucket, 2 ** (1 / 32) - 1."""

QUANTILES: Final = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99_9": 99.9}
"""Key in JSON and per cent of the quantiles that a summary shows."""

_SMALLEST_SECONDS: Final = 1e-5
_BUCKETS_PER_DOUBLING: Final = 16
_DOUBLINGS: Final = 36
_LAST: Final = _BUCKETS_PER_DOUBLING * _DOUBLINGS + 1
_SCALE: Final = _BUCKETS_PER_DOUBLING / math.log(2)
_FORM: Final = {"smallest_seconds": _SMALLEST_SECONDS, "buckets_per_doubling": _BUCKETS_PER_DOUBLING}


class DurationHistogram:
    """Quantiles of durations: counters in logarithmic buckets, and the exact maximum.

    Durations from 10 µs to a week are known to within 2.2 % (`RELATIVE_ERROR`). Shorter ones (also negative ones, which
    clocks produce) count as 10 µs, longer ones as a week. Bucket k > 0 holds durations up to 10 µs x 2 ** (k / 16).
    """

    __slots__ = ("_counts", "count", "longest")

    def __init__(self) -> None:
        self._counts = [0] * (_LAST + 1)
        self.count = 0
        self.longest = 0.0
        """The longest duration in seconds, exact except in a difference."""

    def record(self, seconds: float, times: int = 1) -> None:
        """Adds one duration, or several equal ones."""
        if seconds <= _SMALLEST_SECONDS:
            index = 0
        else:
            index = 1 + int(math.log(seconds / _SMALLEST_SECONDS) * _SCALE)
            if index > _LAST:  # noqa: PLR1730 - called for every reading, and min() takes twice as long
                index = _LAST
        self._counts[index] += times
        self.count += times
        if seconds > self.longest:  # noqa: PLR1730 - as above
            self.longest = seconds

    def percentile(self, percent: float) -> float | None:
        """The duration in seconds that `percent` of the recorded ones do not exceed; None without any."""
        if not self.count:
            return None
        # Rounding keeps 99.9 % of 1,000 at 999, although 1000 * 99.9 / 100 is a little more.
        rank = max(1, math.ceil(round(self.count * percent / 100, 6)))
        seen = 0
        for index, count in enumerate(self._counts):
            seen += count
            if seen >= rank:
                return min(_middle(index), max(self.longest, _SMALLEST_SECONDS))
        raise AssertionError("the counts add up to the number of recorded durations")

    def copy(self) -> DurationHistogram:
        """A histogram of its own with the same durations; another thread may go on recording meanwhile."""
        other = DurationHistogram()
        other._counts = self._counts.copy()
        other.count = sum(other._counts)
        other.longest = self.longest
        return other

    def merge(self, other: DurationHistogram) -> None:
        """Adds the durations of `other`; in any order the result is the same."""
        self._counts = [mine + others for mine, others in zip(self._counts, other._counts, strict=True)]
        self.count += other.count
        self.longest = max(self.longest, other.longest)

    def since(self, earlier: DurationHistogram) -> DurationHistogram:
        """The durations recorded after `earlier` was copied from this histogram; `longest` is within 2.2 %, too."""
        other = DurationHistogram()
        other._counts = [now - before for now, before in zip(self._counts, earlier._counts, strict=True)]
        other.count = self.count - earlier.count
        filled = [index for index, count in enumerate(other._counts) if count]
        # A new maximum was recorded after `earlier`; else the maximum of this interval is only known by its bucket.
        if filled:
            other.longest = self.longest if self.longest > earlier.longest else _middle(filled[-1])
        return other

    def as_document(self) -> dict[str, Any]:
        """For JSON: quantiles and maximum in milliseconds with three digits (null without durations), and buckets."""
        document: dict[str, Any] = {key: milliseconds(self.percentile(value)) for key, value in QUANTILES.items()}
        document["max"] = milliseconds(self.longest) if self.count else None
        buckets = {str(index): count for index, count in enumerate(self._counts) if count}
        exact = {"relative_error": RELATIVE_ERROR, "count": self.count, "longest_seconds": self.longest}
        document["histogram"] = {**_FORM, **exact, "buckets": buckets}
        return document

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Self:
        """The histogram that `as_document` wrote. Raises KeyError, TypeError or ValueError when it is not one."""
        histogram = document["histogram"]
        if any(histogram[key] != value for key, value in _FORM.items()):
            raise ValueError("the buckets have other bounds")
        result = cls()
        for key, count in histogram["buckets"].items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 0 or not 0 <= int(key) <= _LAST:
                raise ValueError(f"{key}: {count} is not a bucket")
            result._counts[int(key)] = count
        result.count = sum(result._counts)
        result.longest = float(histogram["longest_seconds"])
        return result


def milliseconds(seconds: float | None) -> float | None:
    """Seconds as milliseconds with three significant digits."""
    return None if seconds is None else float(f"{seconds * 1000:.3g}")


def _middle(index: int) -> float:
    """The middle of a bucket in seconds, on the logarithmic scale."""
    return _SMALLEST_SECONDS if index == 0 else _SMALLEST_SECONDS * math.exp((index - 0.5) / _SCALE)
