"""The readings of one device that are on their way: sent and not yet acknowledged, or waiting to be sent again."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

from pacifictool.mqtt.packets import MAX_PACKET_ID
from pacifictool.simulation.reading import Outcome, Reading

_MOST_STALE = 32_000


class Outbox:
    """Keeps every reading until its acknowledgement, whichever of its transmissions that answers.

    A repetition on the same connection gets a packet id of its own, as the platform may have forgotten the old one;
    its payload is the same to the byte. So the platform can forward a reading to Kafka twice (when the first
    transmission was forwarded and only its PUBACK got lost), but never with two values, and its own time series
    holds one point.
    """

    __slots__ = ("_again", "_in_flight", "_last_id", "_stale")

    def __init__(self) -> None:
        self._in_flight: dict[int, Reading] = {}  # by packet id, oldest transmission first
        self._stale: dict[int, Reading] = {}  # packet ids of earlier transmissions on this connection
        self._again: deque[Reading] = deque()
        self._last_id = 0

    def __len__(self) -> int:
        """Readings without an outcome."""
        return len(self._in_flight) + len(self._again)

    @property
    def in_flight(self) -> int:
        """Readings that wait for their acknowledgement."""
        return len(self._in_flight)

    @property
    def oldest_transmission(self) -> float | None:
        """When the reading was sent that has been waiting longest."""
        return next(iter(self._in_flight.values())).last_sent if self._in_flight else None

    def next_id(self) -> int:
        """A packet id for the next transmission. One that waits for its PUBACK must not be used again (section 2.3.1
        of MQTT 3.1.1); the owner sees to it by `spent` that there is always a free one."""
        while True:
            self._last_id = packet_id = self._last_id % MAX_PACKET_ID + 1
            if packet_id not in self._in_flight and packet_id not in self._stale:
                return packet_id

    @property
    def spent(self) -> bool:
        """Whether so many transmissions of this connection were never acknowledged that it should be given up."""
        return len(self._stale) > _MOST_STALE

    def sent(self, packet_id: int, reading: Reading) -> None:
        """`reading` is on its way."""
        reading.packet_id = packet_id
        self._in_flight[packet_id] = reading

    def next_again(self) -> Reading | None:
        """Takes out the next reading that is to be sent again."""
        return self._again.popleft() if self._again else None

    def acknowledged(self, packet_ids: Sequence[int]) -> list[Reading]:
        """The readings that PUBACKs settle; unknown ids and doubled acknowledgements settle nothing."""
        in_flight = self._in_flight
        readings = []
        for packet_id in packet_ids:
            reading = in_flight.pop(packet_id, None) or self._acknowledged_late(packet_id)
            if reading is not None:
                reading.outcome = Outcome.ACKNOWLEDGED  # now, as the same call may hold another answer to it
                readings.append(reading)
        return readings

    def _acknowledged_late(self, packet_id: int) -> Reading | None:
        """An earlier transmission is acknowledged; the repetition need not be made, or not be awaited."""
        reading = self._stale.pop(packet_id, None)
        if reading is None or reading.outcome is not None:
            return None
        if self._in_flight.pop(reading.packet_id, None) is None:
            self._again.remove(reading)
        else:
            self._stale[reading.packet_id] = reading
        return reading

    def written(self, count: int) -> list[Reading]:
        """QoS 0: takes out the `count` oldest transmissions, as they are with the operating system."""
        readings = list(islice(self._in_flight.values(), count))
        if count == len(self._in_flight):
            self._in_flight.clear()
        else:
            for reading in readings:
                del self._in_flight[reading.packet_id]
        return readings

    def repeat_overdue(self, sent_before: float) -> None:
        """What was sent before that moment and is not acknowledged is to be sent again."""
        while (oldest := self.oldest_transmission) is not None and oldest <= sent_before:
            packet_id, reading = next(iter(self._in_flight.items()))
            del self._in_flight[packet_id]
            self._stale[packet_id] = reading
            self._again.append(reading)

    def connection_lost(self, *, repeat: bool) -> list[Reading]:
        """Forgets all packet ids. What was in flight is to be sent again, in order, or else is returned as lost."""
        in_flight = list(self._in_flight.values())
        self._in_flight.clear()
        self._stale.clear()
        self._last_id = 0
        if not repeat:
            return in_flight
        self._again = deque(sorted([*self._again, *in_flight], key=lambda reading: reading.number))
        return []

    def take_older(self, first_sent_before: float) -> list[Reading]:
        """Takes out the readings waiting to be repeated that were sent first before that moment."""
        if not self._again:
            return []
        old = [reading for reading in self._again if reading.first_sent <= first_sent_before]
        if old:
            self._again = deque(reading for reading in self._again if reading.first_sent > first_sent_before)
        return old

    def take_all(self) -> list[Reading]:
        """Takes out everything, in order."""
        self.connection_lost(repeat=True)
        readings = list(self._again)
        self._again.clear()
        return readings
