"""One MQTT connection on the fleet's event loop, and the small pool of threads that opens connections.

A connection is used once: after its end a new `DeviceConnection` is made, so that no message is resent without the
device's knowledge. Opening blocks (host name, TCP, TLS handshake) and is therefore done by a few threads, with paho, up
to the CONNECT. Then the connection takes over paho's socket, and sends and receives the few packets of a publishing
device itself (`mqtt.packets`) on the event loop, which is many times as fast and needs a hundredth of the memory.
"""

from __future__ import annotations

import itertools
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from pacifictool.errors import MqttError
from pacifictool.mqtt.connection import (
    CLOSED_BY_PLATFORM,
    NOT_ALLOWED_BY_MQTT,
    WENT_SILENT,
    Failure,
    build_client,
    open_connection,
    take_socket,
)
from pacifictool.mqtt.packets import CONNACK_BYTES, CONNACK_HEADER, DISCONNECT, PINGREQ, AckParser
from pacifictool.settings import MqttEndpoint, Secret

CONNECTORS: Final = 8
"""Threads that open connections; on loopback they opened 10,000 in less than 3 s (measured on 2 cores)."""

_READ_BYTES: Final = 4096
"""A thousand PUBACKs; the rest is read in the next round."""


class ConnectionListener(Protocol):
    """Gets the events of a connection."""

    def on_connack(self, connack: int) -> None:
        """CONNACK came; `connack` is the MQTT 3.1.1 return code, 0 for accepted."""

    def on_pubacks(self, packet_ids: Sequence[int]) -> None:
        """PUBACKs came, in this order; unknown and repeated packet ids are included."""

    def on_written(self, count: int) -> None:
        """The `count` oldest packets given to `send` were handed to the operating system."""

    def on_closed(self, reason: str) -> None:
        """The connection has ended, but not by `close`; `reason` is the end of a sentence."""


class DeviceConnection:
    """A connection of one device. All methods but the constructor must be called in the event loop's thread."""

    __slots__ = (
        "_acks",
        "_connack",
        "_last_in",
        "_last_out",
        "_listener",
        "_lone_ping",
        "_ping_sent",
        "_request_flush",
        "_sock",
        "_unwritten",
        "fileno",
        "watched",
    )  # fmt: skip

    def __init__(self, sock: socket.socket) -> None:
        """Takes over a socket on which CONNECT was sent."""
        sock.settimeout(0)
        self._sock: socket.socket | None = sock
        self._listener: ConnectionListener | None = None
        self._request_flush: Callable[[DeviceConnection], None] | None = None
        self._connack: bytes | None = b""  # what came of it; None: all
        self._acks = AckParser()
        self._unwritten: list[bytes] = []  # the first one may be the rest of a packet
        self._last_in = self._last_out = 0.0
        self._ping_sent: float | None = None
        self._lone_ping = False  # whether the first of `_unwritten` is PINGREQ
        self.fileno = sock.fileno()
        """The file descriptor; kept after the end, so that a selector can unregister it."""
        self.watched = 0
        """The events that the loop waits for; maintained by the loop."""

    def attach(self, listener: ConnectionListener, request_flush: Callable[[DeviceConnection], None]) -> None:
        """From now on `listener` gets all events, and `request_flush` is called when `flush` has something to write."""
        self._listener = listener
        self._request_flush = request_flush

    def send(self, packets: Sequence[bytes]) -> None:
        """Queues PUBLISH packets; `flush` writes them."""
        self._unwritten += packets
        if self._request_flush is not None:
            self._request_flush(self)

    def read(self, now: float) -> None:
        """Must be called when the socket is readable."""
        while self._sock is not None:  # else it was closed by an event of the same round
            try:
                data = self._sock.recv(_READ_BYTES)
            except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:
                data = b""
            if not data:
                self._fail(CLOSED_BY_PLATFORM)
                return
            self._last_in = now
            if self._connack is not None:
                data = self._take_connack(data, now)
            packet_ids = self._acks.feed(data)
            if self._ping_sent is not None and self._acks.pings:
                self._acks.pings = 0
                self._ping_sent = None
            if packet_ids and self._listener is not None:
                self._listener.on_pubacks(packet_ids)
            if self._acks.broken:
                self._fail(NOT_ALLOWED_BY_MQTT)
                return
            # TLS decrypts whole records; the selector does not report bytes that are left in one.
            if not (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending()):
                return

    def flush(self, now: float) -> bool:
        """Writes queued packets; returns whether all of them could be written."""
        packets = self._unwritten
        if self._sock is None or not packets:
            return True
        # TLS requires that a write that failed is retried with the same bytes, or more of them.
        data = packets[0] if len(packets) == 1 else b"".join(packets)
        try:
            written = self._sock.send(data)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            self._fail(CLOSED_BY_PLATFORM)
            return True
        self._last_out = now
        if written == len(data):
            self._unwritten = []
            self._report_written(len(packets))
            return True
        whole = 0
        while written >= len(packets[whole]):
            written -= len(packets[whole])
            whole += 1
        self._unwritten = [packets[whole][written:], *packets[whole + 1 :]]
        self._report_written(whole)
        return False

    def tick(self, now: float, keepalive_seconds: float) -> None:
        """Keep-alive; must be called several times in `keepalive_seconds`.

        After half of that time without input or output a PINGREQ is sent, so that the server hears from the client in
        time; when the PINGRESP takes longer than that time, the connection is dead.
        """
        if self._ping_sent is None:
            if now - min(self._last_in, self._last_out) >= keepalive_seconds / 2:
                self._ping_sent = now
                self._ping()
        elif now - max(self._ping_sent, self._last_in) >= keepalive_seconds:
            self._fail(WENT_SILENT)

    def close(self, *, politely: bool) -> None:
        """Ends the connection, with a DISCONNECT if `politely`. The listener gets no event for it."""
        self._listener = self._request_flush = None
        if self._sock is not None:
            if politely and self._connack is None:
                # A packet that is written only in part must be completed first; a peer that does not read gets none.
                self._unwritten.append(DISCONNECT)
                self.flush(self._last_out)
            if self._sock is not None:
                self._sock.close()
                self._sock = None

    def _take_connack(self, data: bytes, now: float) -> bytes:
        """Takes (a part of) the CONNACK from the start of `data`; returns what follows it."""
        head = (self._connack or b"") + data
        if len(head) < CONNACK_BYTES:
            self._connack = head
            return b""
        self._connack = None
        if not head.startswith(CONNACK_HEADER):
            self._fail(NOT_ALLOWED_BY_MQTT)
            return b""
        self._last_out = now
        code = head[CONNACK_BYTES - 1]
        if self._listener is not None:
            self._listener.on_connack(code)
        if code:
            self._fail(CLOSED_BY_PLATFORM)
            return b""
        return head[CONNACK_BYTES:]

    def _fail(self, reason: str) -> None:
        listener = self._listener
        if listener is not None:
            listener.on_closed(reason)  # first, so that the loop unregisters the descriptor before it is reused
        self._unwritten = []
        self.close(politely=False)

    def _ping(self) -> None:
        # PINGREQ was not given to `send`: it is appended to the last packet, or sent alone, and never reported.
        if self._unwritten:
            self._unwritten[-1] += PINGREQ
        else:
            self._lone_ping = True
            self.send((PINGREQ,))

    def _report_written(self, count: int) -> None:
        if count and self._lone_ping:
            self._lone_ping = False
            count -= 1
        if count and self._listener is not None:
            self._listener.on_written(count)


class Connector:
    """Opens connections on a few daemon threads.

    `deliver(ticket, result)` is called on one of these threads with an open `DeviceConnection`, or with the MqttError
    that says why there is none.
    """

    def __init__(
        self,
        endpoint: MqttEndpoint,
        deliver: Callable[[Any, DeviceConnection | MqttError], None],
        *,
        connect_timeout_seconds: float,
        keepalive_seconds: int,
        source_addresses: Sequence[str] = (),
        threads: int = CONNECTORS,
    ) -> None:
        self._endpoint = endpoint
        self._deliver = deliver
        self._connect_timeout_seconds = connect_timeout_seconds
        self._keepalive_seconds = keepalive_seconds
        self._source_addresses = itertools.cycle(source_addresses or ("",))
        self._requests: queue.SimpleQueue[tuple[Any, Secret] | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        # Daemons: a connection attempt to a host that does not respond must not delay the end of the process.
        self._threads = [
            threading.Thread(target=self._work, name=f"fleet-connector-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def open(self, ticket: Any, token: Secret) -> None:
        """Requests a connection; `ticket` is returned with the result."""
        self._requests.put((ticket, token))

    def close(self) -> None:
        """Stops; connections that are being opened are closed as soon as they are open."""
        self._closed.set()
        for _ in self._threads:
            self._requests.put(None)
        for thread in self._threads:
            thread.join(timeout=0.1)

    def _work(self) -> None:
        while (request := self._requests.get()) is not None:
            if self._closed.is_set():
                continue
            ticket, token = request
            result: DeviceConnection | MqttError
            try:
                client = build_client(
                    self._endpoint,
                    token,
                    connect_timeout_seconds=self._connect_timeout_seconds,
                    keepalive_seconds=self._keepalive_seconds,
                    source_address=next(self._source_addresses),
                )
                open_connection(client, self._endpoint)
                if client.socket() is None or client.want_write():  # CONNECT could not be sent
                    raise MqttError(
                        f"{self._endpoint} closed a connection before the login.",
                        hint="Is this a device port of the platform?",
                        failure=Failure.CLOSED,
                    )
                result = DeviceConnection(take_socket(client))
            except MqttError as error:
                result = error
            if not self._closed.is_set():
                self._deliver(ticket, result)
            elif isinstance(result, DeviceConnection):
                result.close(politely=False)
