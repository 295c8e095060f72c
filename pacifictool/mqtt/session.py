"""A blocking MQTT session driven by the thread that uses it: connect, publish and wait for the PUBACK, disconnect.

No thread, no queue, one file descriptor and an epoll: cheap enough to open one per device while a set-up sends the
client attributes of thousands of devices from a bounded pool of threads.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from typing import Any, Final, Self

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from pacifictool.errors import MqttError
from pacifictool.mqtt.connection import (
    Failure,
    abandon,
    build_client,
    closed,
    closed_before_login,
    connack_code,
    describe_end,
    no_answer,
    open_connection,
    read_all,
    refused,
)
from pacifictool.settings import MqttEndpoint, Secret

_DISCONNECT_SECONDS: Final = 0.5


def publish_and_confirm(
    endpoint: MqttEndpoint, token: Secret, topic: str, payload: bytes, *, timeout_seconds: float = 10.0, device: str
) -> None:
    """Connects as `device`, publishes one message with QoS 1, waits for its PUBACK and disconnects.

    `timeout_seconds` is for all of it. On a 1.x server the PUBACK means that every rule has answered (facts,
    platform-1x section 6). Raises MqttError: token refused, no connection, closed by the platform (which is how it
    refuses a payload), or no acknowledgement in time.
    """
    with MqttSession(endpoint, token, device=device, timeout_seconds=timeout_seconds) as session:
        session.publish(topic, payload)


class MqttSession:
    """One session of one device, as a context manager; its time-out is for everything up to leaving the context."""

    def __init__(self, endpoint: MqttEndpoint, token: Secret, *, device: str, timeout_seconds: float = 10.0) -> None:
        self._endpoint = endpoint
        self._device = device
        self._timeout_seconds = timeout_seconds
        self._deadline = 0.0
        self._connack: int | None = None
        self._confirmed: set[int] = set()
        self._end: str | None = None
        self._selector: selectors.BaseSelector | None = None
        self._client = client = build_client(endpoint, token, connect_timeout_seconds=timeout_seconds)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect

    def __enter__(self) -> Self:
        self._deadline = time.monotonic() + self._timeout_seconds
        try:
            open_connection(self._client, self._endpoint)
            self._selector = selectors.DefaultSelector()
            self._drive(lambda: self._connack is not None)
            if self._connack is None:
                if self._end is None:
                    raise no_answer(self._endpoint)
                raise closed_before_login(self._endpoint, self._device, self._end)
            if self._connack != 0:
                raise refused(self._endpoint, self._connack, self._device)
        except BaseException:
            self._close(politely=False)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._close(politely=kind is None)

    def publish(self, topic: str, payload: bytes) -> None:
        """Publishes with QoS 1 and waits for the PUBACK. Raises MqttError."""
        message = self._client.publish(topic, payload, qos=1)
        self._drive(lambda: message.mid in self._confirmed)
        if message.mid in self._confirmed:
            return
        if self._end:
            raise self._ended()
        raise MqttError(
            f"The platform did not acknowledge a message of device {self._device!r} on {topic} "
            f"within {self._timeout_seconds:g} s.",
            hint="A rule that fails, or a Kafka broker that the platform cannot reach, looks like this: "
            "see the events of the rules and plugins.",
            failure=Failure.UNCONFIRMED,
            device=self._device,
        )

    def _ended(self) -> MqttError:
        return closed(self._endpoint, self._device, self._end or "")

    def _drive(self, done: Callable[[], bool]) -> None:
        """Moves bytes until `done()`, the end of the connection or the deadline."""
        while not done() and self._end is None:
            sock = self._client.socket()
            remaining = self._deadline - time.monotonic()
            if sock is None or remaining <= 0 or self._selector is None:
                return
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._client.want_write() else 0)
            self._selector.register(sock.fileno(), wanted)
            try:
                ready = self._selector.select(min(remaining, 1.0))
            finally:
                self._selector.unregister(sock.fileno())
            for _, events in ready:
                if events & selectors.EVENT_WRITE:
                    self._client.loop_write()
                if events & selectors.EVENT_READ:
                    read_all(self._client)
            if not ready:
                self._client.loop_misc()

    def _close(self, *, politely: bool) -> None:
        if politely and self._client.socket() is not None:
            self._deadline = time.monotonic() + _DISCONNECT_SECONDS
            self._client.disconnect()
            self._drive(lambda: self._client.socket() is None)
        if self._selector is not None:
            self._selector.close()
            self._selector = None
        abandon(self._client)

    def _on_connect(
        self, _client: Client, _userdata: Any, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._connack = connack_code(reason)

    def _on_publish(
        self, _client: Client, _userdata: Any, mid: int, _reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._confirmed.add(mid)

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: Any,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._end = describe_end(reason)
