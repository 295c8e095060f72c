"""MQTT sessions on asyncio, one small protocol object per connection.

No broker library fits: on this platform a PUBACK is the result of the rule engine and may come late, never, out of
order or several times with one id; client ids are ignored; a malformed payload closes the connection. The
`DeviceApi` of a server generation handles the topics.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pacifictool.sandbox.mqtt import wire

AdmitsPeer = Callable[[tuple[str, int], tuple[str, int]], bool]
"""Whether a connection from the first address (host and port) to the second, the server's own, is accepted."""

CONNECT_TIMEOUT_SECONDS = 10.0
SWEEP_SECONDS = 1.0
MAX_PACKET_BYTES = 65_536
"""The server's own default (mqtt.netty.max_payload_size)."""
ACCEPTED, BAD_CLIENT_ID, BAD_USERNAME, NOT_AUTHORISED = 0, 2, 4, 5

REASONS_OF_5 = {ACCEPTED: 0, BAD_CLIENT_ID: 0x85, BAD_USERNAME: 0x86, NOT_AUTHORISED: 0x86}
"""The reason codes of MQTT 5 for these codes; 4.3.1 reports an unknown token as a bad user name
(docs/servers/4.x.md#mqtt, row 2)."""

_log = logging.getLogger("pacifictool.sandbox.mqtt")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the generations differ on the wire: first bytes of PUBACK, SUBACK and UNSUBACK, and how sessions start."""

    puback: int
    suback: int
    unsuback: int
    session_present: Callable[[wire.Connect, int], int]
    """The session-present flag of a CONNACK, given the CONNECT and the return code."""
    supports_5: bool = False
    """Whether MQTT 5 is supported; if not, such a CONNECT closes the connection."""
    requires_connect: bool = True
    """Whether a packet before CONNECT closes the connection; else it is ignored."""


class DeviceSession:
    """One connection of a device. `context` is the device API's own."""

    __slots__ = (
        "_acks",
        "_dialect",
        "_next_id",
        "_sessions",
        "_transport",
        "context",
        "is_5",
        "is_closed",
        "subscriptions",
    )

    def __init__(self, transport: asyncio.Transport, dialect: Dialect, sessions: MqttServer) -> None:
        self._transport = transport
        self._dialect = dialect
        self._sessions = sessions
        self._acks = bytearray()
        self._next_id = 0
        self.context: Any = None
        self.subscriptions: dict[str, int] = {}
        self.is_closed = False
        self.is_5 = False
        """Whether the device speaks MQTT 5."""

    def puback(self, packet_id: int) -> None:
        """Acknowledges a PUBLISH; acknowledgements of one turn of the event loop are sent together."""
        if self.is_closed:
            return
        if not self._acks:
            self._sessions.flush_later(self)
        self._acks += bytes((self._dialect.puback, 2, packet_id >> 8, packet_id & 0xFF))

    def refuse(self, packet_id: int, reason: int) -> None:
        """MQTT 5: rejects a PUBLISH with a reason code; the session stays open."""
        self.flush()
        self._transport.write(bytes((self._dialect.puback, 4, packet_id >> 8, packet_id & 0xFF, reason, 0)))

    def flush(self) -> None:
        if self._acks and not self.is_closed:
            self._transport.write(bytes(self._acks))
        self._acks.clear()

    def publish(self, topic: str, payload: bytes, *, pattern: str | None = None) -> None:
        """Sends a message if the device has subscribed to `pattern` (default: the topic itself)."""
        qos = self.subscriptions.get(pattern or topic)
        if qos is None or self.is_closed:
            return
        self._next_id = self._next_id % 0xFFFF + 1
        self._transport.write(wire.publish_packet(topic, payload, qos, self._next_id, is_5=self.is_5))

    def close(self, *, with_disconnect: bool = False) -> None:
        """Closes the connection; `with_disconnect` sends a DISCONNECT first, as 1.x does when a token changes."""
        if self.is_closed:
            return
        self.flush()
        if with_disconnect:
            self._transport.write(wire.DISCONNECT_PACKET)
        self.is_closed = True
        self._transport.close()


class DeviceApi(Protocol):
    """How a server generation handles messages of devices. Called in the event loop; must not block."""

    dialect: Dialect

    def on_connect(self, session: DeviceSession, connect: wire.Connect) -> int:
        """The CONNACK code: ACCEPTED or the reason for the refusal."""

    def on_publish(self, session: DeviceSession, topic: str, payload: bytes, qos: int, packet_id: int) -> None:
        """Handles a message: `session.puback` when it is done, `session.close` if it is malformed."""

    def on_subscribe(self, session: DeviceSession, topic: str, qos: int) -> int:
        """The QoS granted, or 0x80."""

    def on_close(self, session: DeviceSession) -> None:
        """The connection is gone."""


class _Connection(asyncio.Protocol):
    """The bytes of one session."""

    def __init__(self, server: MqttServer, api: DeviceApi) -> None:
        self._server = server
        self._api = api
        self._rest = b""
        self._connected = False
        self.keep_alive_seconds = 0.0
        self.last_packet = time.monotonic()
        self.session: DeviceSession
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.session = DeviceSession(transport, self._api.dialect, self._server)
        if not self._server.admits(transport):
            # Nothing is read from it.
            transport.abort()
            return
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.session.is_closed = True
        self._server.connections.discard(self)
        if self._connected:
            self._api.on_close(self.session)

    def pause_writing(self) -> None:
        # Nothing more is read from a device that does not read its acknowledgements.
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        try:
            packets, self._rest = wire.split(self._rest + data if self._rest else data, MAX_PACKET_BYTES)
            for first, body in packets:
                if self.session.is_closed:
                    return
                self._handle(first, body)
            if self._rest and not self._connected and self._rest[0] != wire.CONNECT:
                self._no_connect()
        except wire.ProtocolError as error:
            _log.debug("Connection closed: %s.", error)
            self.session.close()
            return
        if packets:
            self.last_packet = time.monotonic()

    def _handle(self, first: int, body: bytes) -> None:
        kind = first & 0xF0
        if not self._connected:
            if kind != wire.CONNECT:
                self._no_connect()
                return
            self._connect(wire.parse_connect(body, supports_5=self._api.dialect.supports_5))
        elif kind == wire.PUBLISH:
            self._api.on_publish(self.session, *wire.parse_publish(first, body, is_5=self.session.is_5))
        elif kind == wire.PINGREQ:
            self._transport.write(wire.PINGRESP_PACKET)
        elif kind == wire.SUBSCRIBE:
            self._subscribe(first, body)
        elif kind == wire.UNSUBSCRIBE:
            self._unsubscribe(first, body)
        elif kind == wire.DISCONNECT:
            self.session.close()
        elif kind != wire.PUBACK:
            raise wire.ProtocolError(f"unexpected packet type {kind >> 4}")

    def _no_connect(self) -> None:
        if self._api.dialect.requires_connect:
            raise wire.ProtocolError("the first packet is not a CONNECT")

    def _connect(self, connect: wire.Connect) -> None:
        self.session.is_5 = connect.level == wire.MQTT_5
        code = self._api.on_connect(self.session, connect)
        present = self._api.dialect.session_present(connect, code)
        if self.session.is_5:
            reason = REASONS_OF_5[code]
            self._transport.write(bytes((wire.CONNACK, 3, present, reason, 0)))
            if code != ACCEPTED:
                self._transport.write(bytes((wire.DISCONNECT, 2, reason, 0)))
        else:
            self._transport.write(bytes((wire.CONNACK, 2, present, code)))
        if code != ACCEPTED:
            self.session.close()
            return
        self._connected = True
        self.keep_alive_seconds = connect.keep_alive_seconds * 1.5

    def _subscribe(self, first: int, body: bytes) -> None:
        is_5 = self.session.is_5
        packet_id, filters = wire.parse_subscribe(first, body, is_5=is_5)
        codes = bytearray()
        for topic, qos in filters:
            granted = self._api.on_subscribe(self.session, topic, qos)
            if granted < 0x80:
                self.session.subscriptions[topic] = granted
            codes.append(granted)
        properties = wire.NO_PROPERTIES if is_5 else b""
        self._transport.write(wire.acknowledgement(self._api.dialect.suback, packet_id, properties + bytes(codes)))

    def _unsubscribe(self, first: int, body: bytes) -> None:
        is_5 = self.session.is_5
        packet_id, filters = wire.parse_unsubscribe(first, body, is_5=is_5)
        for topic in filters:
            self.session.subscriptions.pop(topic, None)
        codes = wire.NO_PROPERTIES + bytes(len(filters)) if is_5 else b""
        self._transport.write(wire.acknowledgement(self._api.dialect.unsuback, packet_id, codes))

    def is_overdue(self, now: float) -> bool:
        """Whether the device has been silent for longer than its keep-alive allows."""
        limit = self.keep_alive_seconds if self._connected else CONNECT_TIMEOUT_SECONDS
        return bool(limit) and now - self.last_packet > limit


class MqttServer:
    """Listens on a socket that is bound already. `start`, then `close`."""

    def __init__(self, api: DeviceApi, admits: AdmitsPeer | None = None) -> None:
        """`admits` decides which connections are accepted; None: all."""
        self._api = api
        self._admits = admits
        self.connections: set[_Connection] = set()
        self._unflushed: list[DeviceSession] = []
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self, self._api), sock=listener, backlog=1024)
        self._sweeper = loop.call_later(SWEEP_SECONDS, self._sweep)

    def admits(self, transport: asyncio.Transport) -> bool:
        """Whether a new connection is accepted."""
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        return self._admits is None or (bool(peer and own) and self._admits(peer[:2], own[:2]))

    def flush_later(self, session: DeviceSession) -> None:
        """Sends a session's acknowledgements at the end of this turn of the event loop."""
        if not self._unflushed:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unflushed.append(session)

    def _flush(self) -> None:
        sessions, self._unflushed = self._unflushed, []
        for session in sessions:
            session.flush()

    def _sweep(self) -> None:
        now = time.monotonic()
        for connection in [connection for connection in self.connections if connection.is_overdue(now)]:
            connection.session.close()
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    async def close(self) -> None:
        """Stops listening and closes every connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.session.close()
