"""An MQTT server for tests with scripted behaviour: faults that a real server does not show on demand.

By default it behaves as a 1.x server does (docs/servers/1.x.md#mqtt, row 3): CONNACK always with session-present
1, PUBACK with the flag bits 0010. It supports just enough MQTT 3.1.1 for devices that publish.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Self

_CONNECT: Final = 1
_PUBLISH: Final = 3
_PING: Final = 12
_DISCONNECT: Final = 14


class Reaction(Enum):
    """What the peer does with a message."""

    ACKNOWLEDGE = auto()
    ACKNOWLEDGE_TWICE = auto()
    ACKNOWLEDGE_IN_PIECES = auto()
    """The PUBACK arrives byte by byte."""
    IGNORE = auto()
    """No PUBACK; the session stays, as with a failing rule or a Kafka broker that is down."""
    CLOSE = auto()
    """The connection is closed without a reason, as with a payload that the platform cannot parse."""


@dataclass(frozen=True, slots=True)
class Received:
    """A PUBLISH as it was received."""

    user_name: str
    topic: str
    payload: bytes
    qos: int
    packet_id: int
    """0 for QoS 0."""
    connection: int
    """The number of its connection, from 1."""
    at: float
    """Monotonic seconds."""


class ScriptedPeer:
    """Listens on 127.0.0.1 until the context ends. Set `on_connect` and `on_publish` to change what it does."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        """`port` 0: a free one. With `tls` every connection begins with a handshake."""
        self.on_connect: Callable[[str, int], int | None] = lambda _user_name, _connection: 0
        """Called with user name and number of the connection; returns the CONNACK return code, None: no CONNACK."""
        self.on_publish: Callable[[Received], Reaction] = lambda _message: Reaction.ACKNOWLEDGE
        self.responds_to_pings = True
        self.received: list[Received] = []
        self.connections = 0
        self.disconnects = 0
        """How many sessions ended with a DISCONNECT."""
        self.pings = 0
        """How many PINGREQ packets were received."""
        self._tls = tls
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, name="scripted-peer", daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops listening and drops every connection."""
        with contextlib.suppress(OSError):
            # shutdown() ends a blocked accept(), close() does not.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_all()
        for thread in self._threads:
            thread.join(timeout=5)

    def drop_all(self) -> None:
        """Closes every connection without a DISCONNECT."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def send_to_all(self, data: bytes) -> None:
        """Sends raw bytes on every connection."""
        with self._lock:
            for connection in self._open:
                connection.sendall(data)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(
                target=self._serve, args=(connection, self.connections), name="scripted-peer", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with self._lock:
                self._open.add(connection)
            with connection.makefile("rb") as stream:
                user_name = ""
                while header := stream.read(1):
                    body = stream.read(_remaining_length(stream.read))
                    kind = header[0] >> 4
                    if kind == _CONNECT:
                        user_name = _user_name(body)
                        code = self.on_connect(user_name, number)
                        if code is not None:
                            connection.sendall(bytes([0x20, 2, 1, code]))
                            if code:
                                return
                    elif kind == _PUBLISH:
                        message = _parse_publish(header[0], body, user_name, number)
                        self.received.append(message)
                        if not self._react(connection, message):
                            return
                    elif kind == _PING:
                        self.pings += 1
                        if self.responds_to_pings:
                            connection.sendall(b"\xd0\x00")
                    elif kind == _DISCONNECT:
                        self.disconnects += 1
                        return
        except (OSError, EOFError, ValueError, IndexError, struct.error):
            pass  # the client has gone or does not speak MQTT, or `drop_all` was called
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _react(self, connection: socket.socket, message: Received) -> bool:
        """Returns whether the connection continues."""
        reaction = self.on_publish(message)
        if reaction is Reaction.CLOSE:
            return False
        if reaction is Reaction.IGNORE or not message.qos:
            return True
        puback = struct.pack("!BBH", 0x42, 2, message.packet_id)
        if reaction is Reaction.ACKNOWLEDGE_IN_PIECES:
            for byte in puback:
                connection.sendall(bytes([byte]))
                time.sleep(0.01)
            return True
        connection.sendall(puback * (2 if reaction is Reaction.ACKNOWLEDGE_TWICE else 1))
        return True


class Paced:
    """An `on_publish` that acknowledges at most `per_second` messages, all devices together, in the order of arrival."""

    def __init__(self, per_second: float) -> None:
        self._seconds = 1 / per_second
        self._lock = threading.Lock()
        self._free_at = 0.0

    def __call__(self, _message: Received) -> Reaction:
        with self._lock:
            self._free_at = max(time.monotonic(), self._free_at) + self._seconds
            done_at = self._free_at
        time.sleep(max(0.0, done_at - time.monotonic()))
        return Reaction.ACKNOWLEDGE


def _remaining_length(read: Callable[[int], bytes]) -> int:
    length = shift = 0
    while True:
        byte = read(1)
        if not byte:
            raise EOFError
        length |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return length
        shift += 7


def _user_name(connect: bytes) -> str:
    """The user name of a CONNECT without a will."""
    flags = connect[7]
    client_id_length = struct.unpack_from("!H", connect, 10)[0]
    if not flags & 0x80:
        return ""
    at = 12 + client_id_length
    length = struct.unpack_from("!H", connect, at)[0]
    return connect[at + 2 : at + 2 + length].decode()


def _parse_publish(header: int, body: bytes, user_name: str, connection: int) -> Received:
    topic_length = struct.unpack_from("!H", body, 0)[0]
    at = 2 + topic_length
    qos = header >> 1 & 3
    packet_id = struct.unpack_from("!H", body, at)[0] if qos else 0
    payload = body[at + (2 if qos else 0) :]
    return Received(user_name, body[2:at].decode(), payload, qos, packet_id, connection, time.monotonic())
