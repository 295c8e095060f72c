"""Devices for the device API and the rule engine: found by token, with their attributes in memory."""

from __future__ import annotations

from typing import Any

from pacifictool.sandbox.entities import Entities, Entity
from pacifictool.sandbox.telemetry import AttributeStore
from pacifictool.sandbox.values import Values, json_value

CLIENT, SERVER, SHARED = "CLIENT_SCOPE", "SERVER_SCOPE", "SHARED_SCOPE"


class SandboxDevice:
    """A device with its attributes by scope."""

    __slots__ = ("attributes", "derived", "entity", "is_deleted", "token")

    def __init__(self, entity: Entity, attributes: dict[str, Values]) -> None:
        self.entity = entity
        self.attributes = attributes
        self.is_deleted = False
        self.token: str | None = None
        """The access token by which it was found; None if it was never looked up by token."""
        self.derived: Any = None
        """What a generation's rule engine derives from the attributes; None after they change."""

    def change(self, scope: str, values: Values, removed: list[str]) -> None:
        """Applies a change of the stored attributes."""
        known = self.attributes[scope]
        known.update(values)
        for key in removed:
            known.pop(key, None)
        self.derived = None


class SandboxDevices:
    """Finds devices by token or entity, and keeps one object for each."""

    def __init__(self, entities: Entities, attributes: AttributeStore) -> None:
        self._entities = entities
        self._attributes = attributes
        self._by_id: dict[str, SandboxDevice] = {}
        self._by_token: dict[str, SandboxDevice] = {}

    def by_token(self, token: str) -> SandboxDevice | None:
        device = self._by_token.get(token)
        if device is not None:
            return device
        entity = self._entities.device_by_token(token)
        if entity is None:
            return None
        device = self._by_token[token] = self.for_entity(entity)
        device.token = token
        return device

    def for_entity(self, entity: Entity) -> SandboxDevice:
        device = self._by_id.get(entity.id)
        if device is None:
            scopes = {scope: self._attributes.values(entity.born, scope) for scope in (CLIENT, SERVER, SHARED)}
            device = self._by_id[entity.id] = SandboxDevice(entity, scopes)
        return device

    def put_attributes(self, device: SandboxDevice, scope: str, values: Values, now_ms: int) -> None:
        """Stores attributes of a device; the next message sees them."""
        if not device.is_deleted:
            self._attributes.put(device.entity.born, scope, values, now_ms)
        device.change(scope, values, [])

    def delete_attributes(self, device: SandboxDevice, scope: str, keys: list[str]) -> None:
        self._attributes.delete(device.entity.born, scope, keys)
        device.change(scope, {}, keys)

    def entity_changed(self, entity: Entity) -> None:
        """Applies a changed name, type or additional info."""
        device = self._by_id.get(entity.id)
        if device is not None:
            device.entity = entity

    def forget(self, entity_id: str, *, deleted: bool = False) -> None:
        """Drops the cached state of a device whose token changed or that was deleted."""
        device = self._by_id.get(entity_id)
        if device is None:
            return
        if device.token is not None:
            self._by_token.pop(device.token, None)
            device.token = None
        if deleted:
            del self._by_id[entity_id]
            device.is_deleted = True


def requested_attributes(device: SandboxDevice, client_keys: Any, shared_keys: Any) -> dict[str, Any]:
    """The response to an attribute request: `{"client":{…},"shared":{…}}` with the requested keys that exist."""
    response: dict[str, Any] = {}
    for name, scope, keys in (("client", CLIENT, client_keys), ("shared", SHARED, shared_keys)):
        known = device.attributes[scope]
        wanted = known if keys is None and client_keys is None and shared_keys is None else str(keys or "").split(",")
        found = {key: json_value(known[key]) for key in wanted if key in known}
        if found:
            response[name] = found
    return response
