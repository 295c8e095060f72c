"""When a device takes its readings: at fixed points in time, whatever the sending of earlier ones took."""

from __future__ import annotations

import math


class Schedule:
    """Reading k is due at start + k / rate: no drift, as no interval is measured from the previous reading.

    A device that is behind (the connection was away, the platform is slow) takes its readings late, in order and as
    fast as they can be sent, until it has caught up. Nothing is left out silently: after an outage that was longer
    than the owner wants to catch up with, `skip_before` leaves the oldest out and says how many.

    Times are seconds of a monotonic clock. `limit` is the number of readings in all (None: no end).
    """

    __slots__ = ("limit", "number", "rate", "skipped", "start")

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

    @property
    def exhausted(self) -> bool:
        """Whether all readings have been taken or left out."""
        return self.limit is not None and self.number >= self.limit

    def take(self) -> int:
        """The number of the reading that is due; the next call gives the next one."""
        number = self.number
        self.number += 1
        return number

    def due_by(self, now: float) -> int:
        """How many readings are due at `now`, from the very first on."""
        if self.start is None or now < self.start:
            return 0
        count = math.floor((now - self.start) * self.rate) + 1
        return count if self.limit is None else min(count, self.limit)

    def skip_before(self, moment: float) -> int:
        """Leaves out the readings that were due before `moment`; says how many that were."""
        count = max(0, self.due_by(moment) - self.number)
        self.number += count
        self.skipped += count
        return count


def readings_within(seconds: float, rate: float) -> int:
    """How many readings are due in the half-open interval of `seconds` from the first one: 10 s at 10 Hz are 100."""
    # The subtraction keeps 0.1 s at 30 Hz at 3, although 0.1 * 30 is 3.0000000000000004.
    return max(1, math.ceil(seconds * rate - 1e-9))
