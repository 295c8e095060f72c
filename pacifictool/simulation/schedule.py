"""Schedules: when a device takes its readings, and which timestamps they bear."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence


class Schedule:
    """Reading k is due at start + k / rate: no drift, as no interval is measured from the previous reading.

    A device that is behind (no connection, a slow platform) takes its readings late, in order and as fast as they can
    be sent, until it has caught up. No reading is skipped silently: after an outage that was longer than the owner
    wants to catch up with, `skip_before` skips the oldest readings and returns how many they are.

    Times are monotonic seconds. `limit` is the total number of readings (None: no end).
    """

    __slots__ = ("limit", "number", "rate", "skipped", "start")

    times_ms: Sequence[int] | None = None
    """Milliseconds since the epoch that readings bear instead of the time when they are due."""

    def __init__(self, rate: float, limit: int | None = None) -> None:
        self.rate = rate
        self.limit = limit
        self.start: float | None = None
        """When reading 0 is due; None until the device has started."""
        self.number = 0
        """The number of the next reading."""
        self.skipped = 0

    @property
    def due(self) -> float:
        """When the next reading is due; infinity when there is none, or before the start."""
        if self.start is None or (self.limit is not None and self.number >= self.limit):
            return math.inf
        return self.start + self.number / self.rate

    def offset(self, number: int) -> float:
        """How many seconds after the start this reading is due."""
        return number / self.rate

    @property
    def exhausted(self) -> bool:
        """Whether all readings have been taken or skipped."""
        return self.limit is not None and self.number >= self.limit

    def take(self) -> int:
        """The number of the reading that is due; the next call returns the next one."""
        number = self.number
        self.number += 1
        return number

    def due_by(self, now: float) -> int:
        """How many readings are due at `now`, counted from the first one."""
        if self.start is None or now < self.start:
            return 0
        count = math.floor((now - self.start) * self.rate) + 1
        return count if self.limit is None else min(count, self.limit)

    def missed(self, now: float) -> int:
        """How many readings were skipped, or are due at `now` (with a limit: ever) but not taken."""
        due = self.due_by(now) if self.limit is None else self.limit
        return max(0, due - self.number) + self.skipped

    def seconds_until(self, last_delivery: float, now: float) -> float:
        """The time over which a rate is taken: from the start to the end of the period of the last reading, or to
        `last_delivery` if that is later, or to `now` while readings are still due. 0 before the start."""
        if self.start is None:
            return 0.0
        until = max(last_delivery, self.start + self.offset(self.number))
        if not self.exhausted:
            planned_end = math.inf if self.limit is None else self.start + self.offset(self.limit)
            until = max(until, min(now, planned_end))
        return until - self.start

    def change_rate(self, rate: float, now: float, phase: float) -> None:
        """From `now` on there are `rate` readings per second, the next one `phase` seconds later; what is due at `now`
        is skipped."""
        if self.start is not None:
            self.skip_before(now)
            self.start = now + phase - self.number / rate
        self.rate = rate

    def skip_before(self, at: float) -> int:
        """Skips the readings that were due before `at`; returns how many they were."""
        count = max(0, self.due_by(at) - self.number)
        self.number += count
        self.skipped += count
        return count


class RecordedSchedule(Schedule):
    """Readings are due as far apart as recorded times are, divided by `speed`, and bear these times."""

    __slots__ = ("_speed", "times_ms")

    def __init__(self, times_ms: Sequence[int], speed: float, limit: int | None = None) -> None:
        """`times_ms` increase strictly; there are as many readings as times, or `limit`."""
        seconds = (times_ms[-1] - times_ms[0]) / 1000 / speed
        super().__init__((len(times_ms) - 1) / seconds if seconds else 1.0, min(limit or len(times_ms), len(times_ms)))
        self.times_ms: Sequence[int] = times_ms
        self._speed = speed

    @property
    def due(self) -> float:
        return math.inf if self.start is None or self.exhausted else self.start + self.offset(self.number)

    def offset(self, number: int) -> float:
        times = self.times_ms
        if number >= len(times):  # the end of the last period
            return self.offset(len(times) - 1) + 1 / self.rate
        return (times[number] - times[0]) / 1000 / self._speed

    def due_by(self, now: float) -> int:
        if self.start is None or now < self.start:
            return 0
        return min(self.within(now - self.start, bisect_right), self.limit or 0)

    def within(self, seconds: float, bisect: Callable[[Sequence[int], float], int] = bisect_left) -> int:
        """How many readings are due in the half-open interval of `seconds` from the first one."""
        return bisect(self.times_ms, self.times_ms[0] + seconds * 1000 * self._speed)


def readings_within(seconds: float, rate: float) -> int:
    """How many readings are due in the half-open interval of `seconds` from the first one: 10 s at 10 Hz are 100."""
    # The subtraction keeps 0.1 s at 30 Hz at 3, although 0.1 * 30 is 3.0000000000000004.
    return max(1, math.ceil(seconds * rate - 1e-9))


class TimestampSequence:
    """Strictly increasing timestamps in milliseconds for one device.

    The platform keeps one value per device, key and millisecond: two readings with equal timestamps overwrite each
    other, or the second is neither acknowledged nor forwarded (docs/servers/1.x.md#colliding-readings, row 1). So equal
    clock reads, a clock that is set back and rates above 1,000 readings a second get the next free millisecond.
    """

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = -1

    def next(self, clock_ms: int) -> int:
        """`clock_ms`, or one more than the last timestamp, whichever is later."""
        self.last = max(clock_ms, self.last + 1)
        return self.last
