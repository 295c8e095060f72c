"""One MQTT connection on the fleet's event loop, and the small pool of threads that opens connections.

A connection lives once: after its end a new `Link` is made, so that nothing is ever resent behind the device's back.
Opening blocks (host name, TCP, TLS handshake), therefore it happens in a few threads. The event loop owns the rest:
paho speaks up to the answer to the login, then the link takes its socket over and speaks the few packets of a
publishing device itself (`mqtt.packets`), which is many times as fast and needs a hundredth of the memory.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from pacifictool.errors import MqttError
from pacifictool.mqtt.connection import (
    CLOSED_BY_PLATFORM,
    NOT_ALLOWED_BY_MQTT,
    WENT_SILENT,
    abandon,
    build_client,
    connack_code,
    describe_end,
    open_connection,
    take_socket,
)
from pacifictool.mqtt.packets import DISCONNECT, PINGREQ, Answers
from pacifictool.settings import MqttEndpoint, Secret

CONNECTORS: Final = 8
"""Threads that open connections; on loopback they opened 10,000 in less than 3 s (measured, 2 cores)."""

_READ_BYTES: Final = 4096
"""A thousand PUBACKs; what is left is read in the next round."""


class LinkOwner(Protocol):
    """Who is told what happens on a link."""

    def link_answered(self, connack: int) -> None:
        """CONNACK came; `connack` is the MQTT 3.1.1 return code, 0 for yes."""

    def link_acknowledged(self, packet_ids: Sequence[int]) -> None:
        """PUBACKs came, in this order; unknown and doubled ones are the owner's to sort out."""

    def link_written(self, count: int) -> None:
        """So many of the packets given to `send`, the oldest ones, are with the operating system."""

    def link_closed(self, reason: str) -> None:
        """The connection is gone, not by us; `reason` is the end of a sentence."""


class Link:
    """A connection of one device. All methods but the constructor belong to the event loop's thread."""

    __slots__ = (
        "_answers", "_client", "_connack", "_end", "_last_in", "_last_out", "_lone_ping", "_owner", "_ping_sent",
        "_sock", "_unwritten", "_wants_flush", "fileno", "watched",
    )  # fmt: skip

    def __init__(self, client: Client) -> None:
        """Takes over a client on which `open_connection` succeeded."""
        self._client: Client | None = client
        self._sock: socket.socket | None = None  # ours from the CONNACK on
        self._owner: LinkOwner | None = None
        self._wants_flush: Callable[[Link], None] | None = None
        self._connack: int | None = None
        self._end: str | None = None
        self._answers = Answers()
        self._unwritten: list[bytes] = []  # the first one may be the rest of a packet
        self._last_in = self._last_out = 0.0
        self._ping_sent: float | None = None
        self._lone_ping = False  # whether the first of `_unwritten` is PINGREQ
        sock = client.socket()
        self.fileno = -1 if sock is None else sock.fileno()
        """The file descriptor; it stays the same number after the end, so that a selector can forget it."""
        self.watched = 0
        """The events that the loop waits for; kept by the loop."""

    def adopt(self, owner: LinkOwner, wants_flush: Callable[[Link], None]) -> None:
        """From now on `owner` hears of everything, and `wants_flush` when `flush` has something to do."""
        self._owner = owner
        self._wants_flush = wants_flush
        client = self._client
        assert client is not None
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        if client.want_write():
            wants_flush(self)

    def send(self, packets: Sequence[bytes]) -> None:
        """Queues PUBLISH packets; `flush` writes them."""
        self._unwritten += packets
        if self._wants_flush is not None:
            self._wants_flush(self)

    def read(self, now: float) -> None:
        """To be called when the socket is readable."""
        if self._sock is None:
            self._read_login(now)
            return
        while True:
            try:
                data = self._sock.recv(_READ_BYTES)
            except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:
                data = b""
            if not data:
                self._broken(CLOSED_BY_PLATFORM)
                return
            self._last_in = now
            packet_ids = self._answers.feed(data)
            if self._ping_sent is not None and self._answers.pings:
                self._answers.pings = 0
                self._ping_sent = None
            if packet_ids and self._owner is not None:
                self._owner.link_acknowledged(packet_ids)
            if self._answers.broken:
                self._broken(NOT_ALLOWED_BY_MQTT)
                return
            # TLS hands over whole records; the selector does not tell of what is left of them.
            if not (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending()):
                return

    def flush(self, now: float) -> bool:
        """Writes what is queued; whether all of it could be written."""
        if self._client is not None:
            self._client.loop_write()
            if self._end is not None:
                self._broken(self._end)
                return True
            return not self._client.want_write()
        packets = self._unwritten
        if self._sock is None or not packets:
            return True
        # TLS demands that a write that did not go through is tried again with the same bytes, or more of them.
        data = packets[0] if len(packets) == 1 else b"".join(packets)
        try:
            written = self._sock.send(data)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            self._broken(CLOSED_BY_PLATFORM)
            return True
        self._last_out = now
        if written == len(data):
            self._unwritten = []
            self._tell_written(len(packets))
            return True
        whole = 0
        while written >= len(packets[whole]):
            written -= len(packets[whole])
            whole += 1
        self._unwritten = [packets[whole][written:], *packets[whole + 1 :]]
        self._tell_written(whole)
        return False

    def tick(self, now: float, keepalive_seconds: float) -> None:
        """Keep-alive; to be called several times in `keepalive_seconds`.

        After half of that time without input or output PINGREQ is sent, so that the server hears of us in time; when
        the answer takes longer than that time, the connection is dead.
        """
        if self._sock is None:
            return
        if self._ping_sent is None:
            if now - min(self._last_in, self._last_out) >= keepalive_seconds / 2:
                self._ping_sent = now
                self._ping()
        elif now - max(self._ping_sent, self._last_in) >= keepalive_seconds:
            self._broken(WENT_SILENT)

    def close(self, *, politely: bool) -> None:
        """Ends the connection, with DISCONNECT if `politely`. The owner hears nothing of it."""
        self._owner = self._wants_flush = None
        if self._client is not None:
            abandon(self._client)
            self._client = None
        if self._sock is not None:
            if politely:
                # What is written only in part must be completed first; a peer that takes nothing gets no good-bye.
                self._unwritten.append(DISCONNECT)
                self.flush(self._last_out)
            if self._sock is not None:
                self._sock.close()
                self._sock = None

    def _read_login(self, now: float) -> None:
        client = self._client
        if client is None:
            return
        client.loop_read()
        while self._connack is None and self._end is None and _has_pending(client):
            client.loop_read()
        owner = self._owner
        if self._connack == 0 and self._end is None:
            self._sock = take_socket(client)
            self._sock.settimeout(0)
            self._client = None
            self._last_in = self._last_out = now
            if owner is not None:
                owner.link_answered(0)
            return
        if self._connack is not None and owner is not None:
            owner.link_answered(self._connack)
        if self._end is not None or self._connack is not None:
            self._broken(self._end or CLOSED_BY_PLATFORM)

    def _broken(self, reason: str) -> None:
        owner = self._owner
        if owner is not None:
            owner.link_closed(reason)  # first, so that the loop forgets the descriptor before it is somebody else's
        self._unwritten = []
        self.close(politely=False)

    def _ping(self) -> None:
        # PINGREQ is no packet of the owner's: it travels with the last one, or alone, and is not told as written.
        if self._unwritten:
            self._unwritten[-1] += PINGREQ
        else:
            self._lone_ping = True
            self.send((PINGREQ,))

    def _tell_written(self, count: int) -> None:
        if count and self._lone_ping:
            self._lone_ping = False
            count -= 1
        if count and self._owner is not None:
            self._owner.link_written(count)

    # paho holds locks while it calls these, so they only take notes.

    def _on_connect(
        self, _client: Client, _data: Any, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._connack = connack_code(reason)

    def _on_disconnect(
        self, _client: Client, _data: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._end = describe_end(reason)


def _has_pending(client: Client) -> bool:
    sock = client.socket()
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0


class Connector:
    """Opens connections in a few daemon threads and hands the results over.

    `deliver(ticket, result)` is called in one of these threads with an open `Link` or the MqttError that explains why
    there is none.
    """

    def __init__(
        self,
        endpoint: MqttEndpoint,
        deliver: Callable[[Any, Link | MqttError], None],
        *,
        connect_timeout_seconds: float,
        keepalive_seconds: int,
        threads: int = CONNECTORS,
    ) -> None:
        self._endpoint = endpoint
        self._deliver = deliver
        self._connect_timeout_seconds = connect_timeout_seconds
        self._keepalive_seconds = keepalive_seconds
        self._wishes: queue.SimpleQueue[tuple[Any, Secret] | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        # Daemons: a connection attempt to a silent host must not hold up the end of the process.
        self._threads = [
            threading.Thread(target=self._work, name=f"fleet-connector-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def open(self, ticket: Any, token: Secret) -> None:
        """Asks for a connection; `ticket` comes back with the result."""
        self._wishes.put((ticket, token))

    def close(self) -> None:
        """Stops; connections that are being opened are closed as soon as they stand."""
        self._closed.set()
        for _ in self._threads:
            self._wishes.put(None)
        for thread in self._threads:
            thread.join(timeout=0.1)

    def _work(self) -> None:
        while (wish := self._wishes.get()) is not None:
            if self._closed.is_set():
                continue
            ticket, token = wish
            result: Link | MqttError
            try:
                client = build_client(
                    self._endpoint,
                    token,
                    connect_timeout_seconds=self._connect_timeout_seconds,
                    keepalive_seconds=self._keepalive_seconds,
                )
                open_connection(client, self._endpoint)
                result = Link(client)
            except MqttError as error:
                result = error
            if not self._closed.is_set():
                self._deliver(ticket, result)
            elif isinstance(result, Link):
                result.close(politely=False)
