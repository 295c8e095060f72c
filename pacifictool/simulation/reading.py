"""Readings: how a device takes them, and what became of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pacifictool.models.generators import Generator
from pacifictool.simulation.disturbances import Disturbances
from pacifictool.simulation.payload import PayloadWriter
from pacifictool.simulation.schedule import Schedule, TimestampSequence


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
    """What a device measured at one time; it never changes, however often it is sent."""

    device: str
    number: int
    """Position in the schedule of the device, from 0."""
    ts_ms: int
    """Milliseconds since the epoch; not part of a `bare` message."""
    values: Mapping[str, float]
    """By key of telemetry."""
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
            "values": {key: str(value) for key, value in self.values.items()},
        }
        if self.reason is not None:
            document["reason"] = self.reason
        return document


class ReadingSource:
    """Takes the readings of one device: schedule, generators of the values, timestamps and payloads together."""

    __slots__ = ("_device", "_disturbances", "_generators", "_timestamps", "_writer", "schedule", "withheld")

    def __init__(
        self,
        device: str,
        schedule: Schedule,
        generators: Mapping[str, Generator],
        writer: PayloadWriter,
        disturbances: Disturbances | None = None,
    ) -> None:
        self._device = device
        self.schedule = schedule
        self._generators = [(key, generator.value) for key, generator in generators.items()]
        self._writer = writer
        self._disturbances = disturbances
        self._timestamps = TimestampSequence()
        self.withheld = 0
        """Readings that were due and have no value: there is nothing to send."""

    def take(self, now: float, limit: int, clock_offset: float, record_lag: Callable[[float], None]) -> list[Reading]:
        """The readings that are due at `now`, at most `limit`. The throughput of a fleet depends on this loop.

        `clock_offset` turns monotonic seconds into seconds since the epoch. `record_lag` gets the seconds by which
        each reading is late.
        """
        schedule, device, generators, disturbances = self.schedule, self._device, self._generators, self._disturbances
        rate, times = schedule.rate, schedule.times_ms
        next_timestamp, write = self._timestamps.next, self._writer.write
        readings: list[Reading] = []
        while len(readings) < limit and (due := schedule.due) <= now:
            number = schedule.take()
            if times is None:
                # The time at which it was due, not that of sending: a catch-up after an outage leaves no bunch of
                # timestamps in the platform's time series.
                ts_ms, elapsed = next_timestamp(int((due + clock_offset) * 1000)), number / rate
            else:
                ts_ms, elapsed = times[number], (times[number] - times[0]) / 1000
            values = {}
            for key, value_of in generators:
                value = value_of(number, elapsed)
                if value is not None:
                    values[key] = value
            if disturbances is not None:
                disturbances.apply(values, elapsed, ts_ms)
            if values:
                readings.append(Reading(device, number, ts_ms, values, write(ts_ms, values, number), now))
                record_lag(now - due)
            else:
                self.withheld += 1
        return readings
