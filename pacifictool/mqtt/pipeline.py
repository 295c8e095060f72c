"""An MQTT session with many messages in flight, each of which is confirmed by its own number of PUBACKs.

A 1.x server sends one PUBACK for each device in a gateway's message, all with the message's packet id, and may
acknowledge messages out of order (docs/servers/1.x.md#gateway, row 3; docs/servers/1.x.md#mqtt, row 4).
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from pacifictool.errors import MqttError
from pacifictool.mqtt.connection import (
    CONNECT_TIMEOUT_SECONDS,
    KEEPALIVE_SECONDS,
    Failure,
    abandon,
    build_client,
    closed,
    connack_code,
    describe_end,
    move_bytes,
    no_response,
    on_every_puback,
    open_connection,
    refused,
)
from pacifictool.settings import MqttEndpoint, Secret

_MAX_AGE: Final = 65_000
"""Packet ids start over after 65,535 messages."""
_DISCONNECT_SECONDS: Final = 0.5
_SELECT_SECONDS: Final = 1.0


@dataclass(slots=True)
class _Waiting:
    """A message that is not confirmed yet."""

    missing: int
    number: int
    """Counted from the start of the session."""


class PipelinedSession:
    """One connection. Nothing runs in the background: `poll` sends, receives and keeps the connection alive.

    Not thread-safe.
    """

    def __init__(
        self,
        endpoint: MqttEndpoint,
        token: Secret,
        *,
        device: str,
        timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
        keepalive_seconds: int = KEEPALIVE_SECONDS,
    ) -> None:
        """Connects and waits for CONNACK, for up to `timeout_seconds` each. Raises MqttError.

        While there is nothing to publish, `poll` must be called several times in `keepalive_seconds`.
        """
        self._endpoint = endpoint
        self._device = device
        self._connack: int | None = None
        self._end: str | None = None
        self._waiting: dict[int, _Waiting] = {}
        self._confirmed: list[int] = []
        self._published = 0
        self.heard_at = time.monotonic()
        """When the last PUBACK came (monotonic seconds); at first, when the session was opened."""
        self._client = client = build_client(
            endpoint, token, connect_timeout_seconds=timeout_seconds, keepalive_seconds=keepalive_seconds
        )
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        on_every_puback(client, self._on_puback)
        self._selector = selectors.DefaultSelector()
        try:
            open_connection(client, endpoint)
            self._await_connack(timeout_seconds)
        except BaseException:
            self.close(politely=False)
            raise

    def publish(self, topic: str, payload: bytes, *, acknowledgements: int = 1) -> int:
        """Queues a message with QoS 1 and returns its packet id; `poll` sends it and reports when it is confirmed.

        Raises MqttError when the session has ended, or when a message has waited so long that ids would repeat.
        """
        if self._end is not None:
            raise self._ended()
        oldest = next(iter(self._waiting.values()), None)
        if oldest is not None and self._published - oldest.number >= _MAX_AGE:
            raise MqttError(
                f"The platform did not acknowledge a message of device {self._device!r} while it acknowledged "
                f"{_MAX_AGE} others.",
                failure=Failure.UNCONFIRMED,
                device=self._device,
            )
        message = self._client.publish(topic, payload, qos=1)
        if message.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise closed(self._endpoint, self._device, self._end or "a message could not be sent")
        self._published += 1
        self._waiting[message.mid] = _Waiting(acknowledgements, self._published)
        return message.mid

    def poll(self, seconds: float) -> list[int]:
        """Sends and receives until a message is confirmed, for up to `seconds`; 0: without waiting.

        Returns the packet ids that were confirmed since the last call. Raises MqttError when the session has ended
        and everything that was confirmed before has been returned.
        """
        self._drive(lambda: bool(self._confirmed), seconds)
        confirmed, self._confirmed = self._confirmed, []
        if self._end is not None and not confirmed:
            raise self._ended()
        return confirmed

    def close(self, *, politely: bool = True) -> None:
        """Ends the session, with a DISCONNECT if `politely`. Can be called twice."""
        if politely and self._end is None and self._client.socket() is not None:
            self._client.disconnect()
            self._drive(lambda: self._client.socket() is None, _DISCONNECT_SECONDS)
        self._end = self._end or "it was closed by this program"
        self._selector.close()
        abandon(self._client)

    def _await_connack(self, seconds: float) -> None:
        self._drive(lambda: self._connack is not None, seconds)
        if self._connack is None:
            raise self._ended() if self._end else no_response(self._endpoint)
        if self._connack != 0:
            raise refused(self._endpoint, self._connack, self._device)

    def _ended(self) -> MqttError:
        return closed(self._endpoint, self._device, self._end or "")

    def _drive(self, done: Callable[[], bool], seconds: float) -> None:
        """Sends and receives until `done()`, the end of the connection or the timeout; at least once."""
        deadline = time.monotonic() + seconds
        while self._end is None and self._client.socket() is not None:
            remaining = max(0.0, deadline - time.monotonic())
            move_bytes(self._client, self._selector, min(remaining, _SELECT_SECONDS))
            self._client.loop_misc()
            if done() or time.monotonic() >= deadline:
                return

    def _on_connect(
        self, _client: Client, _data: Any, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._connack = connack_code(reason)

    def _on_disconnect(
        self, _client: Client, _data: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._end = self._end or describe_end(reason)

    def _on_puback(self, packet_id: int) -> None:
        self.heard_at = time.monotonic()
        waiting = self._waiting.get(packet_id)
        if waiting is None:
            return
        waiting.missing -= 1
        if waiting.missing <= 0:
            del self._waiting[packet_id]
            self._confirmed.append(packet_id)
