"""Tools for tests of devices and clients: a device that gives access to every byte, and a tenant's REST session."""

from __future__ import annotations

import select
import socket
import struct
import time
from types import TracebackType
from typing import Any, Self

import requests

from pacifictool.sandbox.mqtt import wire

TELEMETRY = "v1/devices/me/telemetry"
ATTRIBUTES = "v1/devices/me/attributes"
_TIMEOUT_SECONDS = 30.0
_LOGIN_SECONDS = 300
KAFKA_PLUGIN = "org.thingsboard.server.extensions.kafka.plugin.KafkaPlugin"
KAFKA_ACTION = "org.thingsboard.server.extensions.kafka.action.KafkaPluginAction"
_FILTERS = "org.thingsboard.server.extensions.core.filter"
STRING_SERIALIZER = "org.apache.kafka.common.serialization.StringSerializer"
TEMPLATE = '{"geoZone":"$cs.get(\'geoZone\')", "windSpeed":$windSpeed.valueAsString}'
STATION_FILTER = (
    "typeof cs.deviceType !== 'undefined' && cs.deviceType === 'WeatherStation' && typeof cs.geoZone !== 'undefined'"
)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack(">H", len(encoded)) + encoded


def connect_packet(
    username: str | None,
    *,
    level: int = 4,
    client_id: str = "",
    keep_alive_seconds: int = 60,
    is_clean: bool = True,
) -> bytes:
    """A CONNECT packet of any protocol level (3, 4; 5 for MQTT 5)."""
    flags = (0x02 if is_clean else 0) | (0x80 if username is not None else 0)
    body = _text("MQIsdp" if level == 3 else "MQTT") + struct.pack(">BBH", level, flags, keep_alive_seconds)
    body += (b"\x00" if level == 5 else b"") + _text(client_id)
    if username is not None:
        body += _text(username)
    return bytes((wire.CONNECT, len(body))) + body


def subscribe_packet(packet_id: int, *topics: tuple[str, int]) -> bytes:
    """A SUBSCRIBE packet of (topic, QoS) pairs."""
    body = struct.pack(">H", packet_id) + b"".join(_text(topic) + bytes((qos,)) for topic, qos in topics)
    return bytes((wire.SUBSCRIBE | 0x02, len(body))) + body


class RawDevice:
    """A blocking MQTT connection to the loopback interface that interprets nothing."""

    def __init__(self, port: int, token: str | None = None) -> None:
        """Connects; with a `token` also sends CONNECT and expects to be accepted."""
        self._socket = socket.create_connection(("127.0.0.1", port), _TIMEOUT_SECONDS)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if token is not None:
                self.send(connect_packet(token))
                self.expect(b"\x20\x02\x01\x00")
        except BaseException:
            self._socket.close()
            raise

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def publish(self, payload: str | bytes, *, topic: str = TELEMETRY, qos: int = 1, packet_id: int = 1) -> None:
        """Sends a PUBLISH without waiting for the PUBACK."""
        data = payload.encode() if isinstance(payload, str) else payload
        self.send(wire.publish_packet(topic, data, qos, packet_id))

    def read(self, size: int, timeout_seconds: float = _TIMEOUT_SECONDS) -> bytes:
        """Up to `size` bytes: fewer when the server closes the connection or sends no more in time."""
        data = b""
        deadline = time.monotonic() + timeout_seconds
        while len(data) < size:
            if not self._is_readable(max(0.0, deadline - time.monotonic())):
                break
            try:
                piece = self._socket.recv(size - len(data))
            except ConnectionResetError:
                break
            if not piece:
                break
            data += piece
        return data

    def expect(self, data: bytes) -> None:
        """Reads exactly these bytes. Raises AssertionError."""
        found = self.read(len(data))
        if found != data:
            raise AssertionError(f"expected {data.hex(' ')}, got {found.hex(' ')}")

    def acknowledged(self, payload: str | bytes, *, topic: str = TELEMETRY, packet_id: int = 1) -> None:
        """Publishes at QoS 1 and expects the PUBACK of 1.x (docs/servers/1.x.md#mqtt, row 3). AssertionError."""
        self.publish(payload, topic=topic, packet_id=packet_id)
        self.expect(struct.pack(">BBH", 0x42, 2, packet_id))

    def is_silent(self, seconds: float = 0.3) -> bool:
        """Whether the server sends nothing for a while and keeps the connection open."""
        return not self._is_readable(seconds)

    def is_closed(self, timeout_seconds: float = _TIMEOUT_SECONDS) -> bool:
        """Whether the server closes the connection without another byte."""
        if not self._is_readable(timeout_seconds):
            return False
        try:
            return self._socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _is_readable(self, seconds: float) -> bool:
        # select() refuses descriptors from 1024 on, which a test of a thousand connections reaches.
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Tenant:
    """A logged-in REST session with shortcuts. Paths begin with a slash."""

    def __init__(self, url: str, username: str = "tenant@thingsboard.org", password: str = "tenant") -> None:
        self.url = url
        self._session = requests.Session()
        self._account = {"username": username, "password": password}
        self._login()

    def _login(self) -> None:
        self._session.headers.pop("X-Authorization", None)
        self._logged_in_at = time.monotonic()
        response = self._good(self._session.post(f"{self.url}/api/auth/login", json=self._account, timeout=30))
        self._session.headers["X-Authorization"] = f"Bearer {response.json()['token']}"

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        """Any request; `body` is sent as JSON. A login that would soon expire is renewed first."""
        if time.monotonic() - self._logged_in_at > _LOGIN_SECONDS:
            self._login()
        if body is not None:
            options["json"] = body
        return self._session.request(method, self.url + path, timeout=30, **options)

    def get(self, path: str) -> Any:
        """The JSON of a GET. Raises AssertionError for an error status."""
        return self._good(self.call("GET", path)).json()

    def post(self, path: str, body: Any = None) -> Any:
        """The JSON of a POST, None for an empty body. Raises AssertionError for an error status."""
        response = self._good(self.call("POST", path, body))
        return response.json() if response.content else None

    def delete(self, path: str) -> None:
        self._good(self.call("DELETE", path))

    @staticmethod
    def _good(response: requests.Response) -> requests.Response:
        if response.status_code != 200:
            raise AssertionError(f"{response.request.method} {response.url}: {response.status_code} {response.text}")
        return response

    def device(self, name: str, type_: str = "WeatherStation", **more: Any) -> tuple[str, str]:
        """Creates a device; its id and token."""
        identifier: str = self.post("/api/device", {"name": name, "type": type_, **more})["id"]["id"]
        token: str = self.get(f"/api/device/{identifier}/credentials")["credentialsId"]
        return identifier, token

    def latest(self, identifier: str, *keys: str, kind: str = "DEVICE") -> dict[str, Any]:
        """The latest values by key."""
        found = self.get(f"/api/plugins/telemetry/{kind}/{identifier}/values/timeseries?keys={','.join(keys)}")
        return {key: points[0]["value"] for key, points in found.items()}

    def events(self, kind: str, identifier: str) -> list[dict[str, Any]]:
        """The newest events of a plugin or rule, newest first."""
        tenant = self.get("/api/auth/user")["tenantId"]["id"]
        found: list[dict[str, Any]] = self.get(f"/api/events/{kind}/{identifier}?tenantId={tenant}&limit=10")["data"]
        return found


def plugin_document(token: str, bootstrap: str, **configuration: Any) -> dict[str, Any]:
    """A Kafka plugin as the tutorial describes it."""
    return {
        "apiToken": token,
        "name": "Kafka Plugin for Spark Streaming Sample",
        "clazz": KAFKA_PLUGIN,
        "publicAccess": False,
        "configuration": {
            "bootstrapServers": bootstrap,
            "batchSize": 16384,
            "bufferMemory": 33554432,
            "acks": -1,
            "retries": 0,
            "linger": 0,
            "keySerializer": STRING_SERIALIZER,
            "valueSerializer": STRING_SERIALIZER,
            "otherProperties": [],
            **configuration,
        },
    }


def rule_document(
    token: str,
    topic: str,
    *,
    name: str = "WindSpeed Telemetry Rule",
    station_filter: str | None = STATION_FILTER,
    template: str = TEMPLATE,
    sync: bool = True,
) -> dict[str, Any]:
    """A rule as the tutorial describes it; `station_filter` None leaves the attributes filter out."""
    filters: list[dict[str, Any]] = [
        {"clazz": f"{_FILTERS}.MsgTypeFilter", "name": "type", "configuration": {"messageTypes": ["POST_TELEMETRY"]}}
    ]
    if station_filter is not None:
        filters.append(
            {
                "clazz": f"{_FILTERS}.DeviceAttributesFilter",
                "name": "station",
                "configuration": {"filter": station_filter},
            }
        )
    filters.append(
        {
            "clazz": f"{_FILTERS}.DeviceTelemetryFilter",
            "name": "wind",
            "configuration": {"filter": "typeof windSpeed !== 'undefined'"},
        }
    )
    return {
        "name": name,
        "weight": 0,
        "pluginToken": token,
        "filters": filters,
        "processor": None,
        "action": {
            "clazz": KAFKA_ACTION,
            "name": "WindSpeed",
            "configuration": {"sync": sync, "topic": topic, "template": template},
        },
    }
