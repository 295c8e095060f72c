"""Event time: what time it is on the clock that gives records their timestamps, and which windows are complete.

A record with timestamp T was seen at some moment of this machine's monotonic clock; the other clock cannot have shown
less than T then. The greatest lower bound over recent observations is the estimate, free of skew between the two
clocks. It falls behind the truth by the shortest delay between a timestamp and its observation, some milliseconds
under load.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Final

MEMORY_SECONDS: Final = 600.0
"""Observations are forgotten after this time: quartz clocks drift apart by up to 0.1 s an hour."""


class EventClock:
    """Estimates event time from observed records. Thread-safe; times in milliseconds, `now` in monotonic seconds."""

    def __init__(self) -> None:
        # Only observations that may still become the greatest are kept: offsets fall from left to right.
        self._observations: deque[tuple[float, float]] = deque()
        self._lock = threading.Lock()

    def observe(self, event_ms: int, seen_at: float) -> None:
        """A record with timestamp `event_ms` existed at `seen_at` (monotonic seconds)."""
        offset = event_ms - seen_at * 1000
        with self._lock:
            while self._observations and self._observations[-1][1] <= offset:
                self._observations.pop()
            self._observations.append((seen_at, offset))

    def at(self, at: float) -> int | None:
        """Event time in milliseconds at `at` (monotonic seconds); None before the first observation."""
        with self._lock:
            while len(self._observations) > 1 and self._observations[0][0] < at - MEMORY_SECONDS:
                self._observations.popleft()
            return round(self._observations[0][1] + at * 1000) if self._observations else None


class Completeness:
    """Says up to which event time all records have been counted, so that windows are not posted half-full.

    A batch that is planned at event time t holds everything with an earlier timestamp. A window is due once the event
    clock has passed its end and a batch planned no earlier than its end is applied (or held nothing). While the job
    catches up with a backlog, the partition that is furthest behind decides instead. Being wrong here costs a
    correction, never a record: counts are compared with what was delivered.
    """

    SLACK_MS: Final = 150
    """The event clock runs behind by as much as records take to be seen; a plan this early counts as on time."""

    def __init__(self, clock: EventClock, trigger_seconds: float, started_at: float) -> None:
        self._clock = clock
        self._silence_seconds = max(3 * trigger_seconds, 5.0)
        self._lock = threading.Lock()
        self._complete_at: float | None = None
        self._last_sign = started_at
        self._at_work = False
        self._backlog_ms: int | None = None

    def batch_started(self, now: float) -> None:
        """A batch with records is being worked on."""
        with self._lock:
            self._at_work = True
            self._last_sign = now

    def batch_ended(self, now: float) -> None:
        """The work on a batch is over, well or not."""
        with self._lock:
            self._at_work = False
            self._last_sign = now

    def caught_up(self, planned_at: float, now: float) -> None:
        """Everything that existed at `planned_at` is applied."""
        with self._lock:
            self._last_sign = now
            self._backlog_ms = None
            if self._complete_at is None or planned_at > self._complete_at:
                self._complete_at = planned_at

    def behind(self, event_ms: int | None, now: float) -> None:
        """There is a backlog: only what came before `event_ms` (None: nothing known) is applied for sure."""
        with self._lock:
            self._last_sign = now
            self._backlog_ms = -1 if event_ms is None else event_ms

    def due_until(self, now: float) -> int | None:
        """Windows that end at or before this event time may be delivered; None: nothing is known yet."""
        current = self._clock.at(now)
        if current is None:
            return None
        with self._lock:
            # Kafka may be out of reach, so that no plan succeeds: what has been counted is worth posting then.
            silent = not self._at_work and now - self._last_sign > self._silence_seconds
            complete_at, backlog_ms = self._complete_at, self._backlog_ms
        if backlog_ms is not None:
            return min(current, backlog_ms) if backlog_ms >= 0 else None
        if silent:
            return current
        if complete_at is None:
            return None
        complete = self._clock.at(complete_at)
        return None if complete is None else min(current, complete + self.SLACK_MS)


def counted_until(newest: Mapping[int, int], behind: Mapping[int, bool]) -> tuple[int | None, int | None]:
    """Up to which event time records are counted, from where on windows close (None: not known); and the same for a
    backlog (None: there is none, -1: not known).

    `newest`: by partition, its newest event time counted. `behind`: by partition, whether it holds more that is not
    counted yet; its records may still be as old as its newest, so it holds the closing back.
    """
    late = [part for part, is_behind in behind.items() if is_behind]
    if late and any(part not in newest for part in late):
        return None, -1
    if late:
        backlog = min(newest[part] for part in late)
        return backlog, backlog
    return max(newest.values(), default=None), None
