"""The login of a connection, byte by byte."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence

import pytest

from pacifictool.mqtt.connection import CLOSED_BY_PLATFORM, NOT_ALLOWED_BY_MQTT
from pacifictool.simulation.connection import DeviceConnection


class Listener:
    """Records events."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def on_connack(self, connack: int) -> None:
        self.events.append(connack)

    def on_pubacks(self, packet_ids: Sequence[int]) -> None:
        self.events += packet_ids

    def on_written(self, count: int) -> None:
        self.events.append(f"{count} written")

    def on_closed(self, reason: str) -> None:
        self.events.append(reason)


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    ("response", "events"),
    [
        (b"\x20\x02\x00\x00", [0]),
        (b"\x20\x02\x01\x00\x40\x02\x00\x07", [0, 7]),
        (b"\x20\x02\x01\x00\x42\x02\x00\x07\x40\x02\x01\x00", [0, 7, 256]),
        (b"\x20\x02\x00\x05", [5, CLOSED_BY_PLATFORM]),
        (b"HTTP/1.1 400 Bad Request", [NOT_ALLOWED_BY_MQTT]),
        (b"\x40\x02\x00\x01", [NOT_ALLOWED_BY_MQTT]),
        (b"\x20\x02\x00\x00\x20\x02\x00\x00", [0, NOT_ALLOWED_BY_MQTT]),
    ],
    ids=["accepted", "and a PUBACK", "and PUBACKs of both kinds", "refused", "HTTP", "no CONNACK", "two CONNACK"],
)
@pytest.mark.parametrize("piece", [1, 3, 64])
def test_the_login(
    sockets: tuple[socket.socket, socket.socket], response: bytes, events: list[object], piece: int
) -> None:
    ours, theirs = sockets
    connection, listener = DeviceConnection(ours), Listener()
    connection.attach(listener, lambda _connection: None)
    for at in range(0, len(response), piece):
        with contextlib.suppress(BrokenPipeError):  # it may have ended the connection
            theirs.sendall(response[at : at + piece])
        connection.read(1.0)
    assert listener.events == events


def test_a_server_that_closes_before_the_login_has_ended_it(sockets: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = sockets
    connection, listener = DeviceConnection(ours), Listener()
    connection.attach(listener, lambda _connection: None)
    theirs.sendall(b"\x20\x02")
    theirs.close()
    connection.read(1.0)
    connection.read(1.0)
    assert listener.events == [CLOSED_BY_PLATFORM]
