"""What a gateway publishes: connects of devices, and the results of many entities packed into few messages."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from pacifictool.analytics.windows import WindowResult
from pacifictool.mqtt import GATEWAY_CONNECT_TOPIC, GATEWAY_TELEMETRY_TOPIC
from pacifictool.rest.values import encode_object

PAYLOAD_BYTES: Final = 60_000
"""The platform closes a connection that sends more than 65,536 bytes (mqtt.netty.max_payload_size)."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message and what it carries."""

    topic: str
    payload: bytes
    entities: tuple[str, ...]
    results: tuple[WindowResult, ...] = field(default=(), repr=False)


def connects(entities: Iterable[str], device_type: str) -> Iterator[Message]:
    """One message an entity: `{"device": entity, "type": device_type}`."""
    for entity in entities:
        payload = json.dumps({"device": entity, "type": device_type}).encode("ascii")
        yield Message(GATEWAY_CONNECT_TOPIC, payload, (entity,))


class Packer:
    """Packs the results of entities into messages, so that each entity's results are written in their order.

    An entity is in one message at a time: what is acknowledged later may have been processed earlier. And the newest
    result of an entity travels without older ones, since a 1.x server writes the timestamps of one message in any order
    and calls "latest" what it wrote last (docs/servers/1.x.md#telemetry-over-rest, row 13).
    """

    def __init__(
        self, entities: Mapping[str, Sequence[WindowResult]], *, entities_per_message: int | None = None
    ) -> None:
        """`entities_per_message` None: as many as fit."""
        self._entities_per_message = len(entities) if entities_per_message is None else entities_per_message
        self._pending = {entity: deque(results) for entity, results in entities.items()}
        self._ready = deque(entities)

    def confirmed(self, message: Message) -> None:
        """The platform has taken `message`: its entities may go on."""
        self._ready += (entity for entity in message.entities if self._pending[entity])

    def next(self) -> Message | None:
        """A message that can be sent now; None when there is none, be it until some other is confirmed."""
        if not self._ready:
            return None
        size = len("{}")
        parts: dict[str, str] = {}
        results: list[WindowResult] = []
        while self._ready and len(parts) < self._entities_per_message:
            entity = self._ready[0]
            head = f"{json.dumps(entity)}:["
            rows = self._rows(entity, PAYLOAD_BYTES - size - len(head) - len("],"))
            if not rows:
                break
            self._ready.popleft()
            pending = self._pending[entity]
            results += (pending.popleft() for _ in rows)
            parts[entity] = f"{head}{','.join(rows)}]"
            size += len(parts[entity]) + 1
        payload = f"{{{','.join(parts.values())}}}".encode("ascii")
        return Message(GATEWAY_TELEMETRY_TOPIC, payload, tuple(parts), tuple(results))

    def _rows(self, entity: str, room: int) -> list[str]:
        """The entity's next results as JSON, as many as fit: older ones together, the newest alone."""
        pending = self._pending[entity]
        rows = []
        for result in islice(pending, max(1, len(pending) - 1)):
            row = f'{{"ts":{result.ts_ms},"values":{encode_object(result.values)}}}'
            room -= len(row) + 1
            if room < 0:
                break
            rows.append(row)
        return rows
