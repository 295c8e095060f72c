"""A blocking MQTT session: connect, publish and wait for the PUBACK, disconnect.

It needs no thread and no queue, only a socket: cheap enough to open one per device while a set-up sends the client
attributes of thousands of devices from a bounded number of threads. paho opens the session; the packets after the
login are sent and received on its socket directly, in less than half of the processor time.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Sequence
from typing import Any, Final, Self

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from pacifictool.errors import MqttError
from pacifictool.mqtt.connection import (
    CLOSED_BY_PLATFORM,
    KEEPALIVE_SECONDS,
    NOT_ALLOWED_BY_MQTT,
    Failure,
    abandon,
    build_client,
    closed,
    closed_before_login,
    connack_code,
    describe_end,
    move_bytes,
    no_response,
    open_connection,
    refused,
    take_socket,
)
from pacifictool.mqtt.packets import DISCONNECT, MAX_PACKET_ID, PINGREQ, AckParser, PublishEncoder
from pacifictool.settings import MqttEndpoint, Secret

_DISCONNECT_SECONDS: Final = 0.5
_READ_BYTES: Final = 4096


def publish_and_confirm(
    endpoint: MqttEndpoint, token: Secret, topic: str, payload: bytes, *, timeout_seconds: float = 10.0, device: str
) -> None:
    """Connects as `device`, publishes one message with QoS 1, waits for its PUBACK and disconnects.

    `timeout_seconds` is for everything together. On a 1.x server the PUBACK means that every rule has responded
    (docs/servers/1.x.md#mqtt, row 5). Raises MqttError: token refused, no connection, closed by the platform
    (which is how it refuses a payload), or no acknowledgement in time.
    """
    with MqttSession(endpoint, token, device=device, timeout_seconds=timeout_seconds) as session:
        session.publish(topic, payload)


class MqttSession:
    """One session of one device, as a context manager; its timeout is for everything until the context ends."""

    def __init__(self, endpoint: MqttEndpoint, token: Secret, *, device: str, timeout_seconds: float = 10.0) -> None:
        self._endpoint = endpoint
        self._device = device
        self._timeout_seconds = timeout_seconds
        self._deadline = 0.0
        self._connack: int | None = None
        self._end: str | None = None
        self._packet_id = 0
        self._acks = AckParser()
        self._sock: socket.socket | None = None  # taken over from paho at the CONNACK
        self._client = client = build_client(endpoint, token, connect_timeout_seconds=timeout_seconds)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect

    def __enter__(self) -> Self:
        self._deadline = time.monotonic() + self._timeout_seconds
        try:
            open_connection(self._client, self._endpoint)
            self._log_in()
            if self._connack is None:
                if self._end is None:
                    raise no_response(self._endpoint)
                raise closed_before_login(self._endpoint, self._device, self._end)
            if self._connack != 0:
                raise refused(self._endpoint, self._connack, self._device)
            if self._end is not None:
                raise closed(self._endpoint, self._device, self._end)
        except BaseException:
            abandon(self._client)
            raise
        self._sock = take_socket(self._client)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        sock, self._sock = self._sock, None
        if sock is None:
            return
        if kind is None:
            # A peer that does not read gets no DISCONNECT.
            with contextlib.suppress(OSError):
                sock.settimeout(_DISCONNECT_SECONDS)
                sock.sendall(DISCONNECT)
        sock.close()

    def publish(self, topic: str, payload: bytes) -> None:
        """Publishes with QoS 1 and waits for the PUBACK. Raises MqttError."""
        self._packet_id = self._packet_id % MAX_PACKET_ID + 1
        try:
            self._send(PublishEncoder(topic, 1).encode(self._packet_id, payload))
            while self._packet_id not in self._acknowledged():
                pass
        except TimeoutError:
            raise MqttError(
                f"The platform did not acknowledge a message of device {self._device!r} on {topic} "
                f"within {self._timeout_seconds:g} s.",
                hint="The cause may be a rule that fails, or a Kafka broker that the platform cannot reach: "
                "see the events of the rules and plugins.",
                failure=Failure.UNCONFIRMED,
                device=self._device,
            ) from None
        except OSError as error:
            raise closed(self._endpoint, self._device, CLOSED_BY_PLATFORM) from error

    def _log_in(self) -> None:
        """Lets paho send and receive until the CONNACK, the end of the connection or the deadline."""
        with selectors.DefaultSelector() as selector:
            while self._connack is None and self._end is None and self._client.socket() is not None:
                remaining = self._deadline - time.monotonic()
                if remaining <= 0:
                    return
                move_bytes(self._client, selector, remaining)

    def _send(self, packet: bytes) -> None:
        self._socket_for(self._deadline - time.monotonic()).sendall(packet)

    def _acknowledged(self) -> Sequence[int]:
        """The packet ids of the next PUBACKs. Raises TimeoutError at the deadline, MqttError when the session ended."""
        while True:
            remaining = self._deadline - time.monotonic()
            try:
                data = self._socket_for(min(remaining, KEEPALIVE_SECONDS / 2)).recv(_READ_BYTES)
            except TimeoutError:
                if remaining <= KEEPALIVE_SECONDS / 2:
                    raise
                self._send(PINGREQ)
                continue
            if not data:
                raise closed(self._endpoint, self._device, CLOSED_BY_PLATFORM)
            packet_ids = self._acks.feed(data)
            if self._acks.broken and self._packet_id not in packet_ids:
                raise closed(self._endpoint, self._device, NOT_ALLOWED_BY_MQTT)
            return packet_ids

    def _socket_for(self, seconds: float) -> socket.socket:
        """The socket, with a timeout of `seconds`. Raises TimeoutError when they are over."""
        assert self._sock is not None
        if seconds <= 0:
            raise TimeoutError
        self._sock.settimeout(seconds)
        return self._sock

    def _on_connect(
        self, _client: Client, _userdata: Any, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._connack = connack_code(reason)

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: Any,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._end = describe_end(reason)
