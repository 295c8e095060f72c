"""What the platform keeps, as typed values: devices, assets, plugins, rules, rule chains, credentials, users, events.

Every `from_json` checks what it reads and raises UnexpectedAnswer when a field that we rely on is missing or of
another type. Unknown fields stay in `raw`, so that a change never loses them.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeAlias

from pacifictool.errors import InvalidRequest, UnexpectedAnswer
from pacifictool.rest.http import segment
from pacifictool.settings import Secret

SYSTEM_TENANT_ID = "13814000-1dd2-11b2-8080-808080808080"
"""Owner of what every tenant sees, such as the telemetry plugin; also stands for "no customer"."""

_LONGEST_REASON = 400

RULE_CHAIN = "RULE_CHAIN"
RULE_NODE = "RULE_NODE"

ACTIVE = "ACTIVE"
SUSPENDED = "SUSPENDED"


@dataclass(frozen=True, slots=True)
class EntityId:
    """The kind and UUID of anything that has telemetry, attributes or events."""

    entity_type: str
    id: str

    @classmethod
    def device(cls, identifier: str) -> EntityId:
        return cls("DEVICE", identifier)

    @classmethod
    def asset(cls, identifier: str) -> EntityId:
        return cls("ASSET", identifier)

    @classmethod
    def rule_node(cls, identifier: str) -> EntityId:
        return cls(RULE_NODE, identifier)

    def as_json(self) -> dict[str, str]:
        """As the platform writes it."""
        return {"entityType": self.entity_type, "id": self.id}


@dataclass(frozen=True, slots=True)
class _Named:
    """What devices, assets, plugins and rules have in common."""

    id: str
    """A UUID."""
    name: str
    created_time: int
    """ms since the epoch, by the server's clock."""
    tenant_id: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    """The whole JSON object as the server sent it."""

    entity_type: ClassVar[str]
    noun: ClassVar[str]

    @property
    def entity_id(self) -> EntityId:
        return EntityId(self.entity_type, self.id)

    @property
    def is_system(self) -> bool:
        """Whether it belongs to the installation instead of a tenant."""
        return self.tenant_id == SYSTEM_TENANT_ID


@dataclass(frozen=True, slots=True)
class _Typed(_Named):
    """What devices and assets have in common."""

    type: str
    additional_info: Mapping[str, Any] | None = field(default=None, compare=False)
    """None where the server keeps a JSON text or nothing at all."""

    @classmethod
    def from_json(cls, document: Any) -> Self:
        reader = Reader(document, cls.noun)
        info = reader.document.get("additionalInfo")
        return cls(
            **reader.common_fields(cls.entity_type),
            type=reader.text("type"),
            additional_info=info if isinstance(info, dict) else None,
        )


class Device(_Typed):
    """Something that sends telemetry."""

    __slots__ = ()
    entity_type = "DEVICE"
    noun = "device"

    @property
    def is_gateway(self) -> bool:
        """Whether it may publish for other devices."""
        return bool((self.additional_info or {}).get("gateway"))


class Asset(_Typed):
    """Something that devices belong to, such as a zone."""

    __slots__ = ()
    entity_type = "ASSET"
    noun = "asset"


@dataclass(frozen=True, slots=True)
class Plugin(_Named):
    """1.x: a connection to another system, such as a Kafka broker."""

    api_token: str
    clazz: str
    state: str
    """ACTIVE or SUSPENDED. ACTIVE does not mean that it runs: see the lifecycle events."""
    configuration: Mapping[str, Any] | None = field(default=None, compare=False)
    """None for a system plugin: a tenant may not see it."""

    entity_type: ClassVar[str] = "PLUGIN"
    noun: ClassVar[str] = "plugin"

    @classmethod
    def from_json(cls, document: Any) -> Self:
        reader = Reader(document, cls.noun)
        return cls(
            **reader.common_fields(cls.entity_type),
            api_token=reader.text("apiToken"),
            clazz=reader.text("clazz"),
            state=reader.text("state"),
            configuration=reader.optional_object("configuration"),
        )


@dataclass(frozen=True, slots=True)
class Rule(_Named):
    """1.x: which messages go to which plugin, and how they are written there."""

    plugin_token: str | None
    state: str

    entity_type: ClassVar[str] = "RULE"
    noun: ClassVar[str] = "rule"

    @classmethod
    def from_json(cls, document: Any) -> Self:
        reader = Reader(document, cls.noun)
        return cls(
            **reader.common_fields(cls.entity_type),
            plugin_token=reader.optional_text("pluginToken"),
            state=reader.text("state"),
        )


@dataclass(frozen=True, slots=True)
class RuleChain(_Named):
    """2.0 and later: nodes that messages pass through. Its nodes and connections are its metadata."""

    root: bool
    """Whether it is the one that every message enters first."""
    type: str | None
    """CORE or EDGE; None before 3.3."""

    entity_type: ClassVar[str] = RULE_CHAIN
    noun: ClassVar[str] = "rule chain"

    @classmethod
    def from_json(cls, document: Any) -> Self:
        reader = Reader(document, cls.noun)
        return cls(
            **reader.common_fields(cls.entity_type),
            root=document.get("root") is True,
            type=reader.optional_text("type"),
        )

    @property
    def is_for_edges(self) -> bool:
        """Whether it is a template for edge installations, through which no message of this server passes."""
        return self.type == "EDGE"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a device identifies itself with."""

    device_id: str
    credentials_type: str
    """ACCESS_TOKEN or X509_CERTIFICATE."""
    secret: Secret = field(repr=False)
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, document: Any) -> Self:
        reader = Reader(document, "set of device credentials")
        return cls(
            device_id=reader.identifier("deviceId"),
            credentials_type=reader.text("credentialsType"),
            secret=Secret(reader.text("credentialsId")),
            raw=reader.document,
        )

    @property
    def token(self) -> Secret:
        """The access token. Raises InvalidRequest for a device with other credentials."""
        if self.credentials_type != "ACCESS_TOKEN":
            raise InvalidRequest(
                f"Device {self.device_id} identifies itself by {self.credentials_type}, not by an access token.",
                hint="Give it access-token credentials on the platform.",
            )
        return self.secret


@dataclass(frozen=True, slots=True)
class User:
    """Who is logged in."""

    id: str
    email: str
    authority: str
    """SYS_ADMIN, TENANT_ADMIN or CUSTOMER_USER."""
    tenant_id: str

    @classmethod
    def from_json(cls, document: Any) -> Self:
        reader = Reader(document, "user")
        return cls(
            id=reader.identifier("id"),
            email=reader.text("email"),
            authority=reader.text("authority"),
            tenant_id=reader.identifier("tenantId"),
        )


@dataclass(frozen=True, slots=True)
class LifecycleEvent:
    """Something that happened to a plugin or rule (1.x) or rule node (2.0+), and whether it worked."""

    id: str
    created_time: int
    """ms since the epoch, by the server's clock."""
    event: str
    """CREATED, ACTIVATED, UPDATED, SUSPENDED, STARTED …"""
    success: bool
    error: str | None
    """The server's stack trace, when it did not work."""

    @classmethod
    def from_json(cls, document: Any) -> Self:
        reader = Reader(document, "lifecycle event")
        body = Reader(reader.document.get("body"), "lifecycle event's body")
        return cls(
            id=reader.identifier("id"),
            created_time=reader.integer("createdTime"),
            event=body.text("event"),
            success=body.boolean("success"),
            error=body.optional_text("error"),
        )

    @property
    def reason(self) -> str:
        """The failure in one line: the innermost cause of the stack trace."""
        lines = [line.strip() for line in (self.error or "").splitlines() if line.strip()]
        if not lines:
            return "the server gives no reason"
        causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
        reason = lines[0] if not causes or causes[-1] in lines[0] else f"{lines[0]}; {causes[-1]}"
        return reason if len(reason) <= _LONGEST_REASON else reason[:_LONGEST_REASON] + "…"


AnyEntity: TypeAlias = EntityId | Device | Asset | Plugin | Rule | RuleChain
"""Whatever telemetry, attributes and events are asked for."""


def entity_id_of(entity: AnyEntity) -> EntityId:
    """The kind and UUID of `entity`."""
    return entity if isinstance(entity, EntityId) else entity.entity_id


def telemetry_path(entity: AnyEntity) -> str:
    """Where the platform has the telemetry and attributes of `entity`."""
    identifier = entity_id_of(entity)
    return f"/api/plugins/telemetry/{segment(identifier.entity_type)}/{segment(identifier.id)}"


class Reader:
    """Takes fields out of a JSON object. Raises UnexpectedAnswer for a field that is missing or of another type."""

    def __init__(self, document: Any, noun: str) -> None:
        self._noun = noun
        if not isinstance(document, dict):
            raise UnexpectedAnswer(f"The server describes a {noun} as a JSON {type(document).__name__}.")
        self.document: dict[str, Any] = document

    def text(self, key: str) -> str:
        value = self.document.get(key)
        if not isinstance(value, str):
            raise self._fault(key, "text", value)
        return value

    def optional_text(self, key: str) -> str | None:
        return None if self.document.get(key) is None else self.text(key)

    def integer(self, key: str) -> int:
        value = self.document.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._fault(key, "whole number", value)
        return value

    def boolean(self, key: str) -> bool:
        value = self.document.get(key)
        if not isinstance(value, bool):
            raise self._fault(key, "true or false", value)
        return value

    def optional_object(self, key: str) -> dict[str, Any] | None:
        value = self.document.get(key)
        if value is not None and not isinstance(value, dict):
            raise self._fault(key, "object", value)
        return value

    def identifier(self, key: str) -> str:
        """The UUID inside an id object, {"entityType": …, "id": …}."""
        value = self.document.get(key)
        inner = value.get("id") if isinstance(value, dict) else None
        try:
            # Ids become parts of paths, so that anything but a UUID is refused here.
            return str(uuid.UUID(inner))
        except (ValueError, TypeError, AttributeError):
            raise self._fault(key, "id with a UUID", value) from None

    def common_fields(self, entity_type: str) -> dict[str, Any]:
        """The fields of `_Named`."""
        reference = self.document.get("id")
        if isinstance(reference, dict) and reference.get("entityType", entity_type) != entity_type:
            raise self._fault("id", f"id of a {entity_type}", reference)
        return {
            "id": self.identifier("id"),
            "name": self.text("name"),
            "created_time": self.integer("createdTime"),
            "tenant_id": self.identifier("tenantId"),
            "raw": self.document,
        }

    def _fault(self, key: str, wanted: str, value: Any) -> UnexpectedAnswer:
        found = "nothing" if key not in self.document else f"a JSON {type(value).__name__}"
        return UnexpectedAnswer(
            f"The server describes a {self._noun} with {found} where {key!r} should be a {wanted}.",
            hint="Check that the server is of a generation that pacifictool supports.",
        )
