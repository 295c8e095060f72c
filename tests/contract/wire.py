"""MQTT at the level of bytes: packets as a device writes them, and the server's responses."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterable
from enum import Enum
from typing import Final, Self, TypeAlias

from pacifictool.mqtt.connection import tls_context
from pacifictool.settings import MqttEndpoint
from tests.contract.waiting import RUN

RESPONSE_SECONDS: Final = 20.0
"""How long a required response may take: a server may be busy with other things."""
SILENCE_SECONDS: Final = 2.0
"""How long to listen where no response must come."""

KEEPALIVE_SECONDS: Final = 600
ATTRIBUTES: Final = "v1/devices/me/attributes"
TELEMETRY: Final = "v1/devices/me/telemetry"
CONNECTED: Final = bytes.fromhex("20020100")
PINGREQ: Final = bytes.fromhex("c000")
PINGRESP: Final = bytes.fromhex("d000")
DISCONNECT: Final = bytes.fromhex("e000")


class Ending(Enum):
    """What may come instead of a packet."""

    CLOSED = "the server closed the connection"
    SILENT = "no response"


Response: TypeAlias = bytes | Ending


def puback(packet_id: int) -> bytes:
    """As this platform writes it: with the flag bits 0010."""
    return b"\x42\x02" + packet_id.to_bytes(2)


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2) + data


def _packet(first: int, body: bytes) -> bytes:
    length, digits = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (0x80 if length else 0))
        if not length:
            return bytes((first, *digits)) + body


def connect_packet(
    username: str | None,
    *,
    client_id: str = "contract",
    password: str | None = None,
    level: int = 4,
    clean: bool = True,
) -> bytes:
    """CONNECT of MQTT 3.1 (`level` 3), 3.1.1 (4) or 5 (5)."""
    flags = 0x02 * clean | 0x80 * (username is not None) | 0x40 * (password is not None)
    body = _text("MQIsdp" if level == 3 else "MQTT") + bytes((level, flags)) + KEEPALIVE_SECONDS.to_bytes(2)
    if level == 5:
        body += b"\x00"
    body += _text(client_id)
    for field in (username, password):
        if field is not None:
            body += _text(field)
    return _packet(0x10, body)


def publish_packet(topic: str, payload: str | bytes, packet_id: int, qos: int = 1) -> bytes:
    data = payload.encode() if isinstance(payload, str) else payload
    return _packet(0x30 | qos << 1, _text(topic) + (packet_id.to_bytes(2) if qos else b"") + data)


def subscribe_packet(topic: str, packet_id: int, qos: int = 1) -> bytes:
    return _packet(0x82, packet_id.to_bytes(2) + _text(topic) + bytes((qos,)))


class Wire:
    """A TCP connection to the MQTT port; a context manager."""

    def __init__(self, endpoint: MqttEndpoint) -> None:
        self._socket = socket.create_connection((endpoint.host, endpoint.port), timeout=RESPONSE_SECONDS)
        if endpoint.tls:
            self._socket = tls_context(endpoint).wrap_socket(self._socket, server_hostname=endpoint.host)
        self._received = b""
        self._last_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, *packets: bytes) -> None:
        """Sends packets together. If the server has closed, the next `receive` shows it."""
        with contextlib.suppress(OSError):
            self._socket.sendall(b"".join(packets))

    def publish(self, topic: str, payload: str | bytes, qos: int = 1) -> int:
        """Sends a PUBLISH and returns its packet id, which is new."""
        self._last_id += 1
        self.send(publish_packet(topic, payload, self._last_id, qos))
        return self._last_id

    def deliver(self, topic: str, payload: str | bytes) -> None:
        """Publishes and waits for the PUBACK."""
        packet_id = self.publish(topic, payload)
        response = self.receive()
        assert response == puback(packet_id), f"PUBLISH to {topic} got {response!r}"

    def is_alive(self) -> bool:
        """Whether a ping gets a response."""
        self.send(PINGREQ)
        return self.receive() == PINGRESP

    def receive(self, seconds: float = RESPONSE_SECONDS) -> Response:
        """The next complete packet."""
        began = time.monotonic()
        # A short wait is for a silence that is expected.
        limit = seconds if seconds < RESPONSE_SECONDS else RUN.allowed(seconds)
        deadline = began + limit
        while True:
            size = self._size_of_packet()
            if size is not None:
                packet, self._received = self._received[:size], self._received[size:]
                return packet
            left = deadline - time.monotonic()
            if left <= 0:
                if seconds >= RESPONSE_SECONDS:
                    RUN.spend(limit)
                return Ending.SILENT
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                return Ending.CLOSED
            if not data:
                return Ending.CLOSED
            self._received += data

    def receive_many(self, count: int) -> list[Response]:
        """The next `count` responses, fewer when the connection ends or falls silent."""
        responses: list[Response] = []
        while len(responses) < count:
            responses.append(self.receive())
            if isinstance(responses[-1], Ending):
                break
        return responses

    def _size_of_packet(self) -> int | None:
        length, shift = 0, 0
        for position, byte in enumerate(self._received[1:5], start=1):
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                size = 1 + position + length
                return size if len(self._received) >= size else None
        return None


def connected(endpoint: MqttEndpoint, token: str) -> Wire:
    """A device's session."""
    wire = Wire(endpoint)
    wire.send(connect_packet(token))
    response = wire.receive()
    if response != CONNECTED:
        wire.close()
        raise AssertionError(f"CONNECT got {response!r}")
    return wire


def all_silent(wires: Iterable[Wire]) -> list[Response]:
    """What each connection receives while nothing should come; the waiting time is shared."""
    deadline = time.monotonic() + SILENCE_SECONDS
    return [wire.receive(max(0.0, deadline - time.monotonic())) for wire in wires]
