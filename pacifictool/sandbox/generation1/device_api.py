"""How 1.x handles messages of its devices, over MQTT and HTTP.

docs/servers/1.x.md#mqtt, docs/servers/1.x.md#gateway, docs/servers/1.x.md#http-device-api.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from pacifictool.sandbox.devices import SandboxDevice, SandboxDevices, requested_attributes
from pacifictool.sandbox.entities import Entities
from pacifictool.sandbox.generation1.engine import POST_ATTRIBUTES, POST_TELEMETRY, Done, RuleEngine, RuleMessage
from pacifictool.sandbox.ids import now_ms
from pacifictool.sandbox.mqtt.server import ACCEPTED, BAD_USERNAME, NOT_AUTHORISED, DeviceSession, Dialect
from pacifictool.sandbox.mqtt.wire import Connect
from pacifictool.sandbox.store import Store
from pacifictool.sandbox.values import (
    PayloadRefused,
    json_bytes,
    parse_json,
    parse_reading,
    parse_telemetry,
    parse_values,
)

_ME = "v1/devices/me"
TELEMETRY, ATTRIBUTES = f"{_ME}/telemetry", f"{_ME}/attributes"
_ATTRIBUTES_REQUEST, _ATTRIBUTES_RESPONSE = f"{_ME}/attributes/request/", f"{_ME}/attributes/response/"
_GATEWAY = "v1/gateway/"
_RPC_REQUEST, _RPC_RESPONSE = f"{_ME}/rpc/request/", f"{_ME}/rpc/response/"
_SUBSCRIBABLE = frozenset(
    {
        ATTRIBUTES, f"{_ATTRIBUTES_RESPONSE}+", f"{_RPC_REQUEST}+", f"{_RPC_RESPONSE}+",
        f"{_GATEWAY}attributes", f"{_GATEWAY}attributes/response", f"{_GATEWAY}rpc",
    }
)  # fmt: skip


class _SessionState1:
    """The device of a session, and whether it was a gateway when it connected."""

    __slots__ = ("device", "is_gateway")

    def __init__(self, device: SandboxDevice) -> None:
        self.device = device
        self.is_gateway = device.entity.is_gateway


class DeviceApi1:
    """The device API of 1.x; also keeps track of live sessions by device."""

    dialect = Dialect(puback=0x42, suback=0x92, unsuback=0xB2, session_present=lambda _connect, _code: 1)

    def __init__(self, store: Store, entities: Entities, devices: SandboxDevices, engine: RuleEngine) -> None:
        self._store = store
        self._entities = entities
        self._devices = devices
        self._engine = engine
        self._sessions: dict[str, set[DeviceSession]] = {}

    def on_connect(self, session: DeviceSession, connect: Connect) -> int:
        if not connect.username:
            return BAD_USERNAME
        device = self._devices.by_token(connect.username)
        if device is None:
            return NOT_AUTHORISED
        session.context = _SessionState1(device)
        self._sessions.setdefault(device.entity.id, set()).add(session)
        return ACCEPTED

    def on_close(self, session: DeviceSession) -> None:
        identifier = session.context.device.entity.id
        sessions = self._sessions.get(identifier, set())
        sessions.discard(session)
        if not sessions:
            self._sessions.pop(identifier, None)

    def on_subscribe(self, session: DeviceSession, topic: str, qos: int) -> int:
        return min(qos, 1) if topic in _SUBSCRIBABLE else 0x80

    def token_changed(self, device_id: str) -> None:
        """Ends the live sessions of a device with a DISCONNECT."""
        self._devices.forget(device_id)
        for session in list(self._sessions.get(device_id, ())):
            session.close(with_disconnect=True)

    def shared_attributes_changed(self, device_id: str, document: dict[str, Any]) -> None:
        """Notifies subscribed devices of changed or deleted shared attributes."""
        payload = json_bytes(document)
        for session in list(self._sessions.get(device_id, ())):
            session.publish(ATTRIBUTES, payload)

    def on_publish(self, session: DeviceSession, topic: str, payload: bytes, qos: int, packet_id: int) -> None:
        context: _SessionState1 = session.context
        if topic in (TELEMETRY, ATTRIBUTES):
            try:
                message = parse_message(topic, payload)
            except PayloadRefused:
                session.close()
                return
            self._engine.process(context.device, message, now_ms(), self._acknowledge(session, qos, packet_id))
        elif topic.startswith(_GATEWAY):
            if context.is_gateway:
                self._on_gateway(session, context.device, topic.removeprefix(_GATEWAY), payload, qos, packet_id)
        elif topic.startswith(_ATTRIBUTES_REQUEST):
            self._on_attributes_request(session, context.device, topic, payload, qos, packet_id)
        elif topic.startswith((_RPC_REQUEST, _RPC_RESPONSE)):
            if qos:
                session.puback(packet_id)
        else:
            session.close()

    @staticmethod
    def _acknowledge(session: DeviceSession, qos: int, packet_id: int) -> Done:
        def done(error: str | None) -> None:
            if qos and error is None:
                session.puback(packet_id)

        return done

    def _on_attributes_request(
        self, session: DeviceSession, device: SandboxDevice, topic: str, payload: bytes, qos: int, packet_id: int
    ) -> None:
        try:
            document = parse_json(payload)
        except PayloadRefused:
            session.close()
            return
        if not isinstance(document, dict):
            session.close()
            return
        response = json_bytes(requested_attributes(device, document.get("clientKeys"), document.get("sharedKeys")))
        number = topic.removeprefix(_ATTRIBUTES_REQUEST)
        session.publish(f"{_ATTRIBUTES_RESPONSE}{number}", response, pattern=f"{_ATTRIBUTES_RESPONSE}+")
        if qos:
            session.puback(packet_id)

    def _on_gateway(
        self, session: DeviceSession, gateway: SandboxDevice, topic: str, payload: bytes, qos: int, packet_id: int
    ) -> None:
        """Gateway messages: one PUBACK for each device in it; an invalid one gets none, and what it created stays."""
        done = self._acknowledge(session, qos, packet_id)
        try:
            document = parse_json(payload)
            if not isinstance(document, dict):
                return
            if topic in ("connect", "disconnect"):
                name, type_ = document.get("device"), document.get("type")
                if not isinstance(name, str) or not name:
                    return
                if topic == "connect":
                    self._device_of_gateway(gateway, name, type_ if isinstance(type_, str) and type_ else "default")
                self._store.after_commit(partial(done, None))
            elif topic in ("telemetry", "attributes"):
                now = now_ms()
                for name, content in document.items():
                    device = self._device_of_gateway(gateway, name, "default")
                    self._engine.process(device, _gateway_message(topic, content), now, done)
        except PayloadRefused:
            return
        finally:
            self._store.commit_later()

    def _device_of_gateway(self, gateway: SandboxDevice, name: str, type_: str) -> SandboxDevice:
        tenant = gateway.entity.tenant
        entity = self._entities.find_by_name("DEVICE", tenant, name)
        if entity is None:
            entity = self._entities.create("DEVICE", tenant, name, type_, customer=gateway.entity.customer)
            self._entities.relate(gateway.entity, entity, "Created")
        return self._devices.for_entity(entity)


def parse_message(topic: str, payload: bytes) -> RuleMessage:
    """Reads what a device published to its telemetry or attributes topic. Raises PayloadRefused."""
    if topic == TELEMETRY:
        return RuleMessage(POST_TELEMETRY, parse_telemetry(parse_json(payload), now_ms()), {})
    return RuleMessage(POST_ATTRIBUTES, [], parse_values(parse_json(payload)))


def _gateway_message(topic: str, content: Any) -> RuleMessage:
    if topic == "attributes":
        return RuleMessage(POST_ATTRIBUTES, [], parse_values(content))
    if not isinstance(content, list):
        raise PayloadRefused("Gateway telemetry must be an array.")
    for element in content:
        if not isinstance(element, dict) or "ts" not in element or "values" not in element:
            raise PayloadRefused("Gateway telemetry needs ts and values.")
    return RuleMessage(POST_TELEMETRY, [parse_reading(element, 0) for element in content], {})
