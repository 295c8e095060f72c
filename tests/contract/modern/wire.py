"""The MQTT wire of 4.x, which follows the standard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pacifictool.settings import MqttEndpoint
from tests.contract.factories import Made
from tests.contract.wire import Wire, connect_packet

CONNACK: Final = bytes.fromhex("20020000")


def refused(code: int) -> bytes:
    """CONNACK with a reason."""
    return bytes((0x20, 2, 0, code))


def puback(packet_id: int) -> bytes:
    return b"\x40\x02" + packet_id.to_bytes(2)


def publish_packet_5(topic: str, payload: str, packet_id: int) -> bytes:
    """PUBLISH of MQTT 5 with QoS 1 and no properties."""
    name = topic.encode()
    body = len(name).to_bytes(2) + name + packet_id.to_bytes(2) + b"\x00" + payload.encode()
    assert len(body) < 128
    return bytes((0x32, len(body))) + body


class ModernWire(Wire):
    """A connection; `deliver` waits for this generation's PUBACK."""

    def deliver(self, topic: str, payload: str | bytes) -> None:
        packet_id = self.publish(topic, payload)
        response = self.receive()
        assert response == puback(packet_id), f"PUBLISH to {topic} got {response!r}"


ModernConnect = Callable[[Made], ModernWire]


def connected(endpoint: MqttEndpoint, token: str) -> ModernWire:
    """A device's session."""
    wire = ModernWire(endpoint)
    wire.send(connect_packet(token))
    response = wire.receive()
    if response != CONNACK:
        wire.close()
        raise AssertionError(f"CONNECT got {response!r}")
    return wire
