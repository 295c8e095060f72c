"""Readings: when a device takes them, how they are encoded, and what became of each."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pacifictool.models.generators import Generator

SEQUENCE_KEY: Final = "sequence"


class Outcome(StrEnum):
    """What became of a reading."""

    ACKNOWLEDGED = "acknowledged"
    """QoS 1: the platform confirmed it."""
    SENT = "sent"
    """QoS 0: handed to the operating system; nothing confirms it."""
    LOST = "lost"
    """Neither; `Reading.reason` says why. The platform may have it all the same: only the confirmation is missing."""


@dataclass(slots=True, eq=False)
class Reading:
    """One measured value; `value` and `ts_ms` never change, however often it is sent."""

    device: str
    number: int
    """Position in the schedule of the device, from 0."""
    ts_ms: int
    """Milliseconds since the epoch; not part of a `bare` message."""
    value: int | float
    payload: bytes
    first_sent: float
    """Monotonic seconds."""
    last_sent: float = 0.0
    packet_id: int = 0
    resent: int = 0
    outcome: Outcome | None = None
    reason: str | None = None
    """Why it was lost."""

    def as_document(self) -> dict[str, Any]:
        """For JSON output."""
        document: dict[str, Any] = {
            "device": self.device,
            "number": self.number,
            "ts": self.ts_ms,
            "value": str(self.value),
        }
        if self.reason is not None:
            document["reason"] = self.reason
        return document


class Schedule:
    """Reading k is due at start + k / rate: no drift, as no interval is measured from the previous reading.

    A device that is behind (no connection, a slow platform) takes its readings late, in order and as fast as they can
    be sent, until it has caught up. No reading is skipped silently: after an outage that was longer than the owner
    wants to catch up with, `skip_before` skips the oldest readings and returns how many they are.

    Times are monotonic seconds. `limit` is the total number of readings (None: no end).
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
        until = max(last_delivery, self.start + self.number / self.rate)
        if not self.exhausted:
            planned_end = math.inf if self.limit is None else self.start + self.limit / self.rate
            until = max(until, min(now, planned_end))
        return until - self.start

    def skip_before(self, at: float) -> int:
        """Skips the readings that were due before `at`; returns how many they were."""
        count = max(0, self.due_by(at) - self.number)
        self.number += count
        self.skipped += count
        return count


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


class PayloadWriter:
    """Encodes readings under `value_key`: `{"ts":1795477550000,"values":{"windSpeed":"31"}}`, or, when `bare`,
    exactly as the tutorial does: `{"windSpeed":"31"}`. Values are strings, as in the tutorial.

    With `sequence`, the number of the reading is part of the message: `{"windSpeed":"31","sequence":17}`.
    """

    __slots__ = ("_middle", "_values", "bare", "sequence")

    def __init__(self, value_key: str, *, bare: bool = False, sequence: bool = False) -> None:
        self._values = f'{{{json.dumps(value_key, ensure_ascii=False)}:"'
        self._middle = f',"values":{self._values}'
        self.bare = bare
        self.sequence = sequence

    def write(self, ts_ms: int, value: float, number: int = 0) -> bytes:
        """The payload of one reading, UTF-8."""
        end = f'","{SEQUENCE_KEY}":{number}}}' if self.sequence else '"}'
        if self.bare:
            return f"{self._values}{value}{end}".encode()
        return f'{{"ts":{ts_ms}{self._middle}{value}{end}}}'.encode()


class ReadingSource:
    """Takes the readings of one device: schedule, generator of the values, timestamps and payloads together."""

    __slots__ = ("_device", "_generator", "_timestamps", "_writer", "schedule")

    def __init__(self, device: str, schedule: Schedule, generator: Generator, writer: PayloadWriter) -> None:
        self._device = device
        self.schedule = schedule
        self._generator = generator
        self._writer = writer
        self._timestamps = TimestampSequence()

    def take(self, now: float, limit: int, clock_offset: float, record_lag: Callable[[float], None]) -> list[Reading]:
        """The readings that are due at `now`, at most `limit`. The throughput of a fleet depends on this loop.

        `clock_offset` turns monotonic seconds into seconds since the epoch. `record_lag` gets the seconds by which
        each reading is late.
        """
        schedule, device = self.schedule, self._device
        rate = schedule.rate
        next_timestamp, write, value_of = self._timestamps.next, self._writer.write, self._generator.value
        readings: list[Reading] = []
        while len(readings) < limit and (due := schedule.due) <= now:
            number = schedule.take()
            # The time at which it was due, not that of sending: a catch-up after an outage leaves no bunch of
            # timestamps in the platform's time series.
            ts_ms = next_timestamp(int((due + clock_offset) * 1000))
            value = value_of(number, number / rate)
            readings.append(Reading(device, number, ts_ms, value, write(ts_ms, value, number), now))
            record_lag(now - due)
        return readings
