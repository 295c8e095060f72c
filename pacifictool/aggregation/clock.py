"""The event clock: what time it is on the clock that stamps records, free of skew to this machine's clock.

A record stamped T was seen at some moment of our monotonic clock; the stamping clock cannot have shown less than T
then. The greatest lower bound over recent observations is the estimate. It falls behind the truth by the shortest
delay between a stamp and our look at it, some milliseconds under load.
"""

from __future__ import annotations

import threading
from collections import deque

MEMORY_SECONDS = 600.0
"""Observations are forgotten after this time: quartz clocks drift apart by up to 0.1 s an hour."""


class EventClock:
    """Estimates event time from observed records. Thread-safe; times in milliseconds, `now` in monotonic seconds."""

    def __init__(self) -> None:
        # Only observations that may still become the greatest are kept: offsets fall from left to right.
        self._observations: deque[tuple[float, float]] = deque()
        self._lock = threading.Lock()

    def observe(self, event_ms: int, seen_at: float) -> None:
        """A record stamped `event_ms` existed at `seen_at` (monotonic seconds)."""
        offset = event_ms - seen_at * 1000
        with self._lock:
            while self._observations and self._observations[-1][1] <= offset:
                self._observations.pop()
            self._observations.append((seen_at, offset))

    def at(self, moment: float) -> int | None:
        """Event time in milliseconds at `moment` (monotonic seconds); None before the first observation."""
        with self._lock:
            while len(self._observations) > 1 and self._observations[0][0] < moment - MEMORY_SECONDS:
                self._observations.popleft()
            return round(self._observations[0][1] + moment * 1000) if self._observations else None


class Coverage:
    """Says up to which event time all records have been counted, so that windows are not posted half-full.

    A trigger that starts at event time t reads everything stamped before t. A window is due once the event clock has
    passed its end and the records of a trigger that started no earlier than its end are applied, or that trigger
    found none. Being wrong here costs a correction, never a record: counts are compared with what was delivered.
    """

    SLACK_MS = 150
    """The event clock runs behind by as much as records take to be seen; a trigger this early counts as on time."""

    def __init__(self, clock: EventClock, trigger_seconds: float, started_at: float) -> None:
        self._clock = clock
        self._patience = max(3 * trigger_seconds, 5.0)
        self._lock = threading.Lock()
        self._covered_at: float | None = None
        self._last_sign = started_at
        self._in_flight = False

    def batch_started(self, now: float) -> None:
        """A batch with records is being worked on."""
        with self._lock:
            self._in_flight = True
            self._last_sign = now

    def batch_ended(self, now: float) -> None:
        """The work on a batch is over, well or not."""
        with self._lock:
            self._in_flight = False
            self._last_sign = now

    def covered(self, trigger_started_at: float, now: float) -> None:
        """Everything that existed at `trigger_started_at` is applied."""
        with self._lock:
            self._last_sign = now
            if self._covered_at is None or trigger_started_at > self._covered_at:
                self._covered_at = trigger_started_at

    def due_until(self, now: float) -> int | None:
        """Windows that end at or before this event time may be delivered; None: nothing is known yet."""
        current = self._clock.at(now)
        if current is None:
            return None
        with self._lock:
            # Kafka may be out of reach, so that no trigger ends: what has been counted is worth posting then.
            silent = not self._in_flight and now - self._last_sign > self._patience
            covered_at = self._covered_at
        if silent:
            return current
        if covered_at is None:
            return None
        covered = self._clock.at(covered_at)
        return None if covered is None else min(current, covered + self.SLACK_MS)

    @property
    def in_flight(self) -> bool:
        with self._lock:
            return self._in_flight
