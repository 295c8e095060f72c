"""What a gateway publishes: connects of devices, and the means of many zones packed into few messages."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from pacifictool.analytics.windows import WindowMean
from pacifictool.mqtt import GATEWAY_CONNECT_TOPIC, GATEWAY_TELEMETRY_TOPIC
from pacifictool.rest.values import encode_object

PAYLOAD_BYTES: Final = 60_000
"""The platform closes a connection that sends more than 65,536 bytes (mqtt.netty.max_payload_size)."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message and what it carries."""

    topic: str
    payload: bytes
    zones: tuple[str, ...]
    results: tuple[WindowMean, ...] = field(default=(), repr=False)


def connects(zones: Iterable[str], device_type: str) -> Iterator[Message]:
    """One message a zone: `{"device": zone, "type": device_type}`."""
    for zone in zones:
        payload = json.dumps({"device": zone, "type": device_type}).encode("ascii")
        yield Message(GATEWAY_CONNECT_TOPIC, payload, (zone,))


class Packer:
    """Packs the results of zones into messages, so that each zone's results are written in their order.

    A zone is in one message at a time: what is acknowledged later may have been processed earlier. And the newest
    result of a zone travels without older ones, since a 1.x server writes the timestamps of one message in any order
    and calls "latest" what it wrote last (docs/servers/1.x.md#telemetry-over-rest, row 13).
    """

    def __init__(
        self, zones: Mapping[str, Sequence[WindowMean]], value_key: str, *, zones_per_message: int | None = None
    ) -> None:
        """`zones_per_message` None: as many as fit."""
        self._value_key = value_key
        self._zones_per_message = len(zones) if zones_per_message is None else zones_per_message
        self._pending = {zone: deque(results) for zone, results in zones.items()}
        self._ready = deque(zones)

    def confirmed(self, message: Message) -> None:
        """The platform has taken `message`: its zones may go on."""
        self._ready += (zone for zone in message.zones if self._pending[zone])

    def next(self) -> Message | None:
        """A message that can be sent now; None when there is none, be it until some other is confirmed."""
        if not self._ready:
            return None
        size = len("{}")
        parts: dict[str, str] = {}
        results: list[WindowMean] = []
        while self._ready and len(parts) < self._zones_per_message:
            zone = self._ready[0]
            head = f"{json.dumps(zone)}:["
            rows = self._rows(zone, PAYLOAD_BYTES - size - len(head) - len("],"))
            if not rows:
                break
            self._ready.popleft()
            pending = self._pending[zone]
            results += (pending.popleft() for _ in rows)
            parts[zone] = f"{head}{','.join(rows)}]"
            size += len(parts[zone]) + 1
        payload = f"{{{','.join(parts.values())}}}".encode("ascii")
        return Message(GATEWAY_TELEMETRY_TOPIC, payload, tuple(parts), tuple(results))

    def _rows(self, zone: str, room: int) -> list[str]:
        """The zone's next results as JSON, as many as fit: older ones together, the newest alone."""
        pending = self._pending[zone]
        rows = []
        for result in islice(pending, max(1, len(pending) - 1)):
            row = f'{{"ts":{result.window_end_ms},"values":{encode_object({self._value_key: result.mean})}}}'
            room -= len(row) + 1
            if room < 0:
                break
            rows.append(row)
        return rows
