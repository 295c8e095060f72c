"""The outbox of one device: readings that are in flight (sent, not yet acknowledged) or waiting to be sent again."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

from pacifictool.mqtt.packets import MAX_PACKET_ID
from pacifictool.simulation.reading import Outcome, Reading

_MAX_STALE = 32_000


class Outbox:
    """Keeps every reading until one of its transmissions is acknowledged.

    When a reading is sent again on the same connection, it gets a new packet id, as the platform may have forgotten the
    old one; the payload is the same to the byte. So the platform can forward a reading to Kafka twice (when the first
    transmission was forwarded and only its PUBACK was lost), but never with two values, and its own time series holds
    one point.
    """

    __slots__ = ("_in_flight", "_last_id", "_resend", "_stale")

    def __init__(self) -> None:
        self._in_flight: dict[int, Reading] = {}  # by packet id, oldest transmission first
        self._stale: dict[int, Reading] = {}  # packet ids of earlier transmissions on this connection
        self._resend: deque[Reading] = deque()
        self._last_id = 0

    def __len__(self) -> int:
        """Readings without an outcome."""
        return len(self._in_flight) + len(self._resend)

    @property
    def in_flight(self) -> int:
        """Readings that wait for their acknowledgement."""
        return len(self._in_flight)

    @property
    def waiting(self) -> int:
        """Readings that wait to be sent again."""
        return len(self._resend)

    @property
    def oldest_transmission(self) -> float | None:
        """When the reading that has waited longest was sent."""
        return next(iter(self._in_flight.values())).last_sent if self._in_flight else None

    def next_id(self) -> int:
        """A packet id for the next transmission. An id that waits for its PUBACK must not be reused (MQTT 3.1.1,
        section 2.3.1); the caller checks `is_exhausted` so that there is always a free one."""
        while True:
            self._last_id = packet_id = self._last_id % MAX_PACKET_ID + 1
            if packet_id not in self._in_flight and packet_id not in self._stale:
                return packet_id

    @property
    def is_exhausted(self) -> bool:
        """Whether too many transmissions of this connection were never acknowledged: it should be closed."""
        return len(self._stale) > _MAX_STALE

    def sent(self, packet_id: int, reading: Reading) -> None:
        """`reading` is in flight."""
        reading.packet_id = packet_id
        self._in_flight[packet_id] = reading

    def take_resends(self, limit: int) -> list[Reading]:
        """Removes and returns up to `limit` readings that are to be sent again, oldest first."""
        readings = [self._resend.popleft() for _ in range(min(limit, len(self._resend)))]
        for reading in readings:
            reading.resent += 1
        return readings

    def acknowledged(self, packet_ids: Sequence[int]) -> list[Reading]:
        """The readings that these PUBACKs acknowledge; unknown ids and repeated PUBACKs acknowledge nothing."""
        in_flight = self._in_flight
        readings = []
        for packet_id in packet_ids:
            reading = in_flight.pop(packet_id, None) or self._acknowledged_late(packet_id)
            if reading is not None:
                reading.outcome = Outcome.ACKNOWLEDGED  # now, as the same call may hold another PUBACK for it
                readings.append(reading)
        return readings

    def _acknowledged_late(self, packet_id: int) -> Reading | None:
        """An earlier transmission is acknowledged: the reading need not be sent again, or its PUBACK not be awaited."""
        reading = self._stale.pop(packet_id, None)
        if reading is None or reading.outcome is not None:
            return None
        if self._in_flight.pop(reading.packet_id, None) is None:
            self._resend.remove(reading)
        else:
            self._stale[reading.packet_id] = reading
        return reading

    def written(self, count: int) -> list[Reading]:
        """QoS 0: removes and returns the `count` oldest transmissions, which the operating system has taken over."""
        readings = list(islice(self._in_flight.values(), count))
        if count == len(self._in_flight):
            self._in_flight.clear()
        else:
            for reading in readings:
                del self._in_flight[reading.packet_id]
        return readings

    def resend_overdue(self, sent_before: float) -> float | None:
        """Queues readings that were sent before that moment and are not acknowledged to be sent again; when the latest
        of them was sent, None without any."""
        latest = None
        while (oldest := self.oldest_transmission) is not None and oldest <= sent_before:
            packet_id, reading = next(iter(self._in_flight.items()))
            del self._in_flight[packet_id]
            self._stale[packet_id] = reading
            self._resend.append(reading)
            latest = oldest
        return latest

    def connection_lost(self, *, resend: bool) -> list[Reading]:
        """Forgets all packet ids. Readings in flight are queued to be sent again, in order, or returned as lost."""
        in_flight = list(self._in_flight.values())
        self._in_flight.clear()
        self._stale.clear()
        self._last_id = 0
        if not resend:
            return in_flight
        self._resend = deque(sorted([*self._resend, *in_flight], key=lambda reading: reading.number))
        return []

    def take_older(self, first_sent_before: float) -> list[Reading]:
        """Removes and returns readings queued to be sent again that were first sent before that moment."""
        if not self._resend:
            return []
        old = [reading for reading in self._resend if reading.first_sent <= first_sent_before]
        if old:
            self._resend = deque(reading for reading in self._resend if reading.first_sent > first_sent_before)
        return old

    def take_all(self) -> list[Reading]:
        """Removes and returns all readings, in order."""
        self.connection_lost(resend=True)
        readings = list(self._resend)
        self._resend.clear()
        return readings
