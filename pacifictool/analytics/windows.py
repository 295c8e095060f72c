"""Tumbling windows and their exact means: integers only until the last step.

Floating-point sums depend on the order of their terms, so a replay with other batch boundaries would post other
values. Every value is therefore rounded to 1e-9 once and summed as an integer: the result is the same in any order.
"""

from __future__ import annotations

from dataclasses import dataclass

UNITS = 10**9
"""Units per 1.0; valid values lie within ±1e9 (scenario.Aggregation), so a value in units fits 64 bits."""

LOW_BITS = 32
"""A value in units is summed as two halves, so that sums of 64-bit integers cannot overflow (< 2e9 records a batch)."""

PREFERRED_TRIGGER_MS = 2000
"""How often the job looks for records: a late record is corrected this much later. Shorter costs CPU when idle."""


@dataclass(frozen=True, slots=True)
class WindowMean:
    """The mean of one zone over [window_start_ms, window_end_ms), in milliseconds since the epoch."""

    zone: str
    window_start_ms: int
    window_end_ms: int
    count: int
    """Number of records behind the mean. It only grows, so it tells versions of one window apart."""
    mean: float


@dataclass(frozen=True, slots=True)
class PartialSum:
    """What one batch adds to one window of one zone."""

    zone: str
    window_end_ms: int
    count: int
    total: int
    """Sum of the values in units of 1e-9."""


def split_sum(total: int) -> tuple[int, int]:
    """The upper and the lower half of a sum: what `join_sum` puts together."""
    return total >> LOW_BITS, total & ((1 << LOW_BITS) - 1)


def join_sum(high: int, low: int) -> int:
    """Puts the sums of the upper and lower halves together again."""
    return (high << LOW_BITS) + low


def exact_mean(total: int, count: int) -> float:
    """The double nearest to total / count, where `total` is in units of 1e-9."""
    return total / (count * UNITS)  # of integers, which Python rounds once


def trigger_interval_ms(window_ms: int) -> int:
    """How long the job waits between two looks at the topic, unless a window ends before."""
    return min(PREFERRED_TRIGGER_MS, max(window_ms // 2, 100))


def arrival_without_timestamp_ms(planned_ms: int, trigger_ms: int) -> int:
    """When the records without timestamp of a batch arrived: some time since the trigger before it."""
    return planned_ms - trigger_ms // 2
