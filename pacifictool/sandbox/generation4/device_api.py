"""How 4.x handles messages of its devices, over MQTT and HTTP.

A PUBACK means that a message is in the queue, not that it is stored or forwarded. A device has one session;
a second one ends the first (docs/servers/4.x.md#mqtt, rows 4 and 5).
"""

from __future__ import annotations

import asyncio
from typing import Any

from pacifictool.sandbox.devices import SERVER, SandboxDevice, SandboxDevices, requested_attributes
from pacifictool.sandbox.entities import Entity
from pacifictool.sandbox.faults import Faults, RateLimiter
from pacifictool.sandbox.generation4.engine import RuleEngine4
from pacifictool.sandbox.generation4.entities import Details, Entities4
from pacifictool.sandbox.generation4.messages import POST_ATTRIBUTES, POST_TELEMETRY
from pacifictool.sandbox.generation4.profiles import Profiles
from pacifictool.sandbox.generation4.readings import message_data, parse_json, parse_telemetry, parse_values
from pacifictool.sandbox.ids import now_ms
from pacifictool.sandbox.mqtt.server import ACCEPTED, BAD_CLIENT_ID, NOT_AUTHORISED, DeviceSession, Dialect
from pacifictool.sandbox.mqtt.wire import MQTT_3_1, Connect, ProtocolError
from pacifictool.sandbox.store import Store
from pacifictool.sandbox.values import InvalidJson, PayloadRefused, Values, json_bytes

_ME = "v1/devices/me"
TELEMETRY, ATTRIBUTES = f"{_ME}/telemetry", f"{_ME}/attributes"
_ATTRIBUTES_REQUEST, _ATTRIBUTES_RESPONSE = f"{_ME}/attributes/request/", f"{_ME}/attributes/response/"
_GATEWAY = "v1/gateway/"
_SUBSCRIBABLE = frozenset(
    {
        ATTRIBUTES, f"{_ATTRIBUTES_RESPONSE}+", f"{_ME}/rpc/request/+", f"{_ME}/rpc/response/+",
        f"{_GATEWAY}attributes", f"{_GATEWAY}attributes/response", f"{_GATEWAY}rpc",
    }
)  # fmt: skip
_PAYLOAD_FORMAT_INVALID = 0x99
"""The reason code of MQTT 5 for an invalid payload; with older versions the connection is closed."""


class NothingToDo(PayloadRefused):
    """`[]`: the message is not acknowledged, and the session stays open."""


class _SessionState4:
    """The device of a session, and whether it was a gateway when it connected."""

    __slots__ = ("device", "has_published", "is_gateway")

    def __init__(self, device: SandboxDevice) -> None:
        self.device = device
        self.is_gateway = device.entity.is_gateway
        self.has_published = False


class DeviceApi4:
    """The device API; also keeps track of live sessions by device."""

    dialect = Dialect(
        puback=0x40,
        suback=0x90,
        unsuback=0xB0,
        session_present=lambda connect, code: int(code == ACCEPTED and not connect.is_clean),
        supports_5=True,
        requires_connect=False,
    )

    def __init__(
        self,
        store: Store,
        entities: Entities4,
        profiles: Profiles,
        devices: SandboxDevices,
        engine: RuleEngine4,
        faults: Faults,
    ) -> None:
        self._store = store
        self._entities = entities
        self._profiles = profiles
        self._devices = devices
        self._engine = engine
        self._limiter = RateLimiter(faults.device_rate)
        self._queue_seconds = faults.queue_seconds
        self._sessions: dict[str, DeviceSession] = {}

    def on_connect(self, session: DeviceSession, connect: Connect) -> int:
        if connect.level == MQTT_3_1 and not connect.client_id:
            raise ProtocolError("MQTT 3.1 needs a client id")  # docs/servers/4.x.md#mqtt, row 3
        if connect.username is None:
            return BAD_CLIENT_ID if connect.client_id else NOT_AUTHORISED
        device = self._devices.by_token(connect.username)
        if device is None:
            return NOT_AUTHORISED
        session.context = _SessionState4(device)
        previous = self._sessions.get(device.entity.id)
        self._sessions[device.entity.id] = session
        if previous is not None:
            previous.close()
        self._note(device, {"active": True, "lastConnectTime": now_ms()})
        return ACCEPTED

    def on_close(self, session: DeviceSession) -> None:
        device: SandboxDevice = session.context.device
        if self._sessions.get(device.entity.id) is session:
            del self._sessions[device.entity.id]
            if not device.is_deleted:
                self._note(device, {"lastDisconnectTime": now_ms()})

    def _note(self, device: SandboxDevice, values: Values) -> None:
        """Stores server attributes such as `active`, which every device has after its first connection."""
        self._devices.put_attributes(device, SERVER, values, now_ms())
        self._store.commit_later()

    def on_subscribe(self, session: DeviceSession, topic: str, qos: int) -> int:
        return min(qos, 1) if topic in _SUBSCRIBABLE else 0x80

    def close_sessions(self, device_id: str) -> None:
        """Ends the live session of a device whose credentials changed or that was deleted."""
        session = self._sessions.get(device_id)
        if session is not None:
            session.close()

    def shared_attributes_changed(self, device_id: str, document: dict[str, Any]) -> None:
        """Notifies a subscribed device of changed or deleted shared attributes."""
        session = self._sessions.get(device_id)
        if session is not None:
            session.publish(ATTRIBUTES, json_bytes(document))

    def on_publish(self, session: DeviceSession, topic: str, payload: bytes, qos: int, packet_id: int) -> None:
        context: _SessionState4 = session.context
        if not self.admits(context.device):
            session.close()
            return
        if not context.has_published:
            context.has_published = True
            self._note(context.device, {"lastActivityTime": now_ms()})
        try:
            if topic in (TELEMETRY, ATTRIBUTES):
                self.take(context.device, topic, payload)
            elif topic.startswith(_GATEWAY):
                if not context.is_gateway:
                    return
                self._on_gateway(context.device, topic.removeprefix(_GATEWAY), payload)
            elif topic.startswith(_ATTRIBUTES_REQUEST):
                self._on_attributes_request(session, context.device, topic, payload)
        except NothingToDo:
            return
        except PayloadRefused:
            if not session.is_5:
                session.close()
            elif qos:
                session.refuse(packet_id, _PAYLOAD_FORMAT_INVALID)
            return
        if qos:
            session.puback(packet_id)

    def admits(self, device: SandboxDevice) -> bool:
        """Counts a message of a device; False if it exceeds the device's rate."""
        return self._limiter.admits(device.entity.id)

    def take(self, device: SandboxDevice, topic: str, payload: bytes) -> None:
        """Reads a payload and runs it through the rule chains. Raises PayloadRefused."""
        document = parse_json(payload)
        if topic == ATTRIBUTES:
            self._post_attributes(device, document)
        else:
            if document == []:
                raise NothingToDo("nothing at all")
            self._post_telemetry(device, document)

    def _post_telemetry(self, device: SandboxDevice, document: Any) -> None:
        metadata = _metadata(device)
        for timestamp, values in parse_telemetry(document, now_ms(), accepts_null=True):
            if values:
                data = message_data(values)
                self._enqueue(device, POST_TELEMETRY, data, metadata | {"ts": str(timestamp)})

    def _post_attributes(self, device: SandboxDevice, document: Any) -> None:
        values = parse_values(document, accepts_null=True)
        self._enqueue(device, POST_ATTRIBUTES, message_data(values), _metadata(device))

    def _enqueue(self, device: SandboxDevice, type_: str, data: Any, metadata: dict[str, str]) -> None:
        if self._queue_seconds:
            # Equal delays keep the order.
            asyncio.get_running_loop().call_later(
                self._queue_seconds, self._engine.process, device, type_, data, metadata
            )
        else:
            self._engine.process(device, type_, data, metadata)

    def _on_attributes_request(self, session: DeviceSession, device: SandboxDevice, topic: str, payload: bytes) -> None:
        document = parse_json(payload)
        if not isinstance(document, dict):
            raise InvalidJson("an object is needed")
        response = requested_attributes(device, document.get("clientKeys"), document.get("sharedKeys"))
        number = topic.removeprefix(_ATTRIBUTES_REQUEST)
        session.publish(f"{_ATTRIBUTES_RESPONSE}{number}", json_bytes(response), pattern=f"{_ATTRIBUTES_RESPONSE}+")

    def _on_gateway(self, gateway: SandboxDevice, topic: str, payload: bytes) -> None:
        """Gateway messages. What a malformed message did before its error is kept."""
        document = parse_json(payload)
        if not isinstance(document, dict):
            raise InvalidJson("an object is needed")
        if topic in ("connect", "disconnect"):
            name, type_ = document.get("device"), document.get("type")
            if not isinstance(name, str) or not name:
                raise InvalidJson("a device is needed")
            if topic == "connect":
                self._device_behind(gateway, name, type_ if isinstance(type_, str) else "")
        elif topic == "telemetry":
            for name, content in document.items():
                if isinstance(content, dict):
                    continue  # acknowledged (docs/servers/4.x.md#gateway, row 3); nobody looked at what becomes of it
                if not isinstance(content, list):
                    raise InvalidJson("an array is needed")
                self._post_telemetry(self._device_behind(gateway, name, ""), content)
        elif topic == "attributes":
            for name, content in document.items():
                self._post_attributes(self._device_behind(gateway, name, ""), content)
        self._store.commit_later()

    def _device_behind(self, gateway: SandboxDevice, name: str, type_: str) -> SandboxDevice:
        tenant = gateway.entity.tenant
        entity = self._entities.find_by_name("DEVICE", tenant, name)
        if entity is None:
            entity = self._create_behind(gateway, name, type_ or "default")
        return self._devices.for_entity(entity)

    def _create_behind(self, gateway: SandboxDevice, name: str, type_: str) -> Entity:
        owner = gateway.entity
        self._profiles.get_or_create("DEVICE", owner.tenant, type_)
        entity = self._entities.create(
            "DEVICE",
            owner.tenant,
            name,
            type_,
            customer=owner.customer,
            additional_info={"lastConnectedGateway": owner.id},
        )
        self._entities.save_details(entity, Details())
        self._entities.relate(owner, entity, "Created")
        self._note(self._devices.for_entity(entity), {"active": True})
        return entity


def _metadata(device: SandboxDevice) -> dict[str, str]:
    return {"deviceType": device.entity.type, "deviceName": device.entity.name}
