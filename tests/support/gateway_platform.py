"""A platform as an MQTT gateway meets it, which fails on demand, and the sink that delivers to it."""

from __future__ import annotations

import json
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pacifictool.analytics.sinks.gateway import GatewaySink
from pacifictool.analytics.sinks.stored import StoredResults
from pacifictool.analytics.windows import WindowResult
from pacifictool.errors import PacificToolError
from pacifictool.settings import MqttEndpoint, Secret
from tests.support.mqtt_peer import Reaction, Received, ScriptedPeer
from tests.support.recorders import RecordingCallback

CONNECT, TELEMETRY = "v1/gateway/connect", "v1/gateway/telemetry"


class GatewayPlatform:
    """What a 1.x server does for a gateway (docs/servers/1.x.md#gateway), and how it fails."""

    def __init__(self, peer: ScriptedPeer) -> None:
        self.peer = peer
        self.written: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self.connects: list[tuple[str, str, int]] = []
        """(Device, type, number of the connection)."""
        self.messages: list[dict[str, Any]] = []
        self.poison: set[str] = set()
        """Devices that get no PUBACK."""
        self.deadly: set[str] = set()
        """Devices at which the server closes the connection."""
        self.close_at: int | None = None
        """The number of the telemetry message at which the connection is closed, once."""
        self.per_device = True
        self.delay = 0.0
        self._lock = threading.Lock()
        peer.on_publish = self._react

    def _react(self, message: Received) -> Reaction:
        assert message.qos == 1
        assert len(message.payload) <= 65_536
        document = json.loads(message.payload)
        time.sleep(self.delay)
        with self._lock:
            if message.topic == CONNECT:
                self.connects.append((document["device"], document["type"], message.connection))
                names = [document["device"]]
            else:
                assert message.topic == TELEMETRY
                self.messages.append(document)
                names = list(document)
            if self.deadly & set(names):
                return Reaction.CLOSE
            if message.topic == TELEMETRY:
                if self.close_at == len(self.messages):
                    return Reaction.CLOSE
                for name, rows in document.items():
                    if name not in self.poison:
                        self.written[name] += [(row["ts"], row["values"]["windSpeed"]) for row in rows]
        good = [name for name in names if name not in self.poison]
        count = len(good) if self.per_device else int(len(good) == len(names))
        self.peer.send_to_all(struct.pack("!BBH", 0x42, 2, message.packet_id) * count)
        return Reaction.IGNORE


@pytest.fixture
def platform(peer: ScriptedPeer) -> GatewayPlatform:
    return GatewayPlatform(peer)


MakeSink = Callable[..., GatewaySink]


@pytest.fixture
def make_sink(peer: ScriptedPeer) -> Iterator[MakeSink]:
    made: list[GatewaySink] = []

    def make(
        *,
        token: Callable[[], Secret] = lambda: Secret("token"),
        acks_per_device: bool | None = True,
        acknowledgement_seconds: float = 0.5,
        keepalive_seconds: int = 10,
        stored: StoredResults | None = None,
        **seconds: float,
    ) -> GatewaySink:
        sink = GatewaySink(
            MqttEndpoint("127.0.0.1", peer.port),
            token,
            device="Analytics Gateway",
            entity_type="WeatherStation",
            acks_per_device=acks_per_device,
            stored=stored,
            acknowledgement_seconds=acknowledgement_seconds,
            keepalive_seconds=keepalive_seconds,
            **seconds,
        )
        made.append(sink)
        return sink

    yield make
    for sink in made:
        sink.close()


def deliver_all(
    sink: GatewaySink, results: list[WindowResult], book: RecordingCallback, attempts: int = 1
) -> list[PacificToolError]:
    """Repeats the delivery of what is left, as the job does. Returns the failures."""
    failures: list[PacificToolError] = []
    for _ in range(attempts):
        left = [result for result in results if result not in book.accepted_results]
        if not left:
            break
        try:
            sink.deliver(left, book)
        except PacificToolError as error:
            failures.append(error)
    return failures
