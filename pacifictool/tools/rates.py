"""The rate of a counter that only grows."""

from __future__ import annotations

from collections import deque
from typing import Final

RATE_SECONDS: Final = 10.0
"""The usual span of a rate: long enough to be steady, short enough to show a change."""

_SAMPLES: Final = 40
"""Samples kept at most: those closer together than a 40th of the span replace one another."""


class RateMeter:
    """The mean rate of a counter over the last seconds, from its values whenever they are read.

    Bounded memory, however often the counter is read. Not thread-safe.
    """

    def __init__(self, seconds: float = RATE_SECONDS) -> None:
        """`seconds` is the span over which the rate is taken."""
        self._seconds = seconds
        self._samples: deque[tuple[float, float]] = deque()

    def add(self, at: float, total: float) -> float | None:
        """Adds the counter's value at monotonic second `at`; the rate per second, None before the second sample.

        A counter that falls has been started again, and is measured from there.
        """
        samples = self._samples
        if samples and total < samples[-1][1]:
            samples.clear()
        if len(samples) > 2 and samples[-1][0] - samples[-2][0] < self._seconds / _SAMPLES:
            samples.pop()
        samples.append((at, total))
        # One sample older than the span stays, so that the rate covers the whole span.
        while len(samples) > 2 and samples[1][0] <= at - self._seconds:
            samples.popleft()
        (first_at, first), (last_at, last) = samples[0], samples[-1]
        return (last - first) / (last_at - first_at) if last_at > first_at else None

    def reset(self) -> None:
        """Forgets all samples, after a time in which the counter could not be read."""
        self._samples.clear()
