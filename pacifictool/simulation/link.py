"""One MQTT connection on the fleet's event loop, and the small pool of threads that opens connections.

A connection lives once: after its end a new `Link` is made, so that paho never resends anything on its own. Opening
blocks (host name, TCP, TLS handshake), therefore it happens in a few threads; from CONNACK on, the event loop owns it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from pacifictool.errors import MqttError
from pacifictool.mqtt.connection import abandon, build_client, connack_code, describe_end, open_connection, read_all
from pacifictool.settings import MqttEndpoint, Secret

CONNECTORS: Final = 8
"""Threads that open connections; on loopback they opened 10,000 in less than 3 s (measured, 2 cores)."""

_MAX_PACKET_ID_TRIES: Final = 65_535


class LinkOwner(Protocol):
    """Who is told what happens on a link. Must not use the link from within these calls: paho holds locks."""

    def link_answered(self, connack: int) -> None:
        """CONNACK came; `connack` is the MQTT 3.1.1 return code, 0 for yes."""

    def link_delivered(self, packet_id: int) -> None:
        """QoS 1: the PUBACK came. QoS 0: the packet is written."""

    def link_closed(self, reason: str) -> None:
        """The connection is gone, not by us; `reason` is the end of a sentence."""


class Link:
    """A connection of one device. All methods but the constructor belong to the event loop's thread."""

    __slots__ = ("_client", "_owner", "_wants_flush", "fileno")

    def __init__(self, client: Client) -> None:
        """Takes over a client on which `open_connection` succeeded."""
        self._client = client
        self._owner: LinkOwner | None = None
        self._wants_flush: Callable[[Link], None] | None = None
        sock = client.socket()
        self.fileno = -1 if sock is None else sock.fileno()
        """The file descriptor; it stays the same number after the end, so that a selector can forget it."""

    def adopt(self, owner: LinkOwner, wants_flush: Callable[[Link], None]) -> None:
        """From now on `owner` hears of everything, and `wants_flush` when `flush` has something to do."""
        self._owner = owner
        self._wants_flush = wants_flush
        client = self._client
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        client.on_socket_register_write = self._on_register_write
        if client.want_write():
            wants_flush(self)

    def publish(self, topic: str, payload: bytes, qos: int) -> int:
        """Queues a message; says its packet id (QoS 0: an id of our own side). `flush` writes it."""
        for _ in range(_MAX_PACKET_ID_TRIES):
            message = self._client.publish(topic, payload, qos)
            if message.rc != MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
                return message.mid
            # After 65,535 messages the ids begin anew; some may still wait for a PUBACK that never came.
        raise AssertionError("the limit of messages in flight is far below the number of packet ids")

    def read(self) -> None:
        """To be called when the socket is readable."""
        read_all(self._client)

    def flush(self) -> bool:
        """Writes what is queued; whether all of it could be written."""
        self._client.loop_write()
        return not self._client.want_write()

    def tick(self) -> None:
        """Keep-alive; to be called every few seconds."""
        self._client.loop_misc()

    def close(self, *, politely: bool) -> None:
        """Ends the connection, with DISCONNECT if `politely`. The owner hears nothing of it."""
        self._owner = self._wants_flush = None
        client = self._client
        if politely and client.socket() is not None:
            client.disconnect()
            client.loop_write()
        abandon(client)

    def _on_connect(
        self, _client: Client, _data: Any, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if self._owner is not None:
            self._owner.link_answered(connack_code(reason))

    def _on_publish(
        self, _client: Client, _data: Any, mid: int, _reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if self._owner is not None:
            self._owner.link_delivered(mid)

    def _on_disconnect(
        self, _client: Client, _data: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if self._owner is not None:
            self._owner.link_closed(describe_end(reason))

    def _on_register_write(self, _client: Client, _data: Any, _sock: object) -> None:
        if self._wants_flush is not None:
            self._wants_flush(self)


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
