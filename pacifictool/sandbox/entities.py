"""Devices and assets with their credentials and relations."""

from __future__ import annotations

import json
import secrets
import sqlite3
import string
import uuid
from dataclasses import dataclass
from typing import Any

from pacifictool.sandbox.auth import Users
from pacifictool.sandbox.ids import NULL_UUID, IdFactory, created_ms, uuid_time
from pacifictool.sandbox.store import Store

TOKEN_LENGTH = 20
_TOKEN_ALPHABET = string.ascii_letters + string.digits
DEMO_DEVICES = (
    ("Test Device A1", "A1_TEST_TOKEN", "A"),
    ("Test Device A2", "A2_TEST_TOKEN", "A"),
    ("Test Device A3", "A3_TEST_TOKEN", "A"),
    ("Test Device B1", "B1_TEST_TOKEN", "B"),
    ("Test Device C1", "C1_TEST_TOKEN", "C"),
    ("DHT11 Demo Device", "DHT11_DEMO_TOKEN", ""),
    ("Raspberry Pi Demo Device", "RASPBERRY_PI_DEMO_TOKEN", ""),
)
"""Name, access token and customer of the published demo devices."""
ENTITY_COLUMNS = "id, born, kind, tenant, customer, name, type, additional_info"


class NameTaken(Exception):
    """The tenant has an entity of this kind and name already."""


class TokenTaken(Exception):
    """Another device has this access token."""


@dataclass(slots=True)
class Entity:
    """A device (`kind` DEVICE) or an asset (ASSET). `born` is the creation order and the key of its telemetry."""

    id: str
    born: int
    kind: str
    tenant: str
    customer: str
    name: str
    type: str
    additional_info: Any

    def document(self) -> dict[str, Any]:
        """The entity as REST shows it."""
        return {
            "id": {"entityType": self.kind, "id": self.id},
            "createdTime": created_ms(uuid.UUID(self.id)),
            "additionalInfo": self.additional_info,
            "tenantId": {"entityType": "TENANT", "id": self.tenant},
            "customerId": {"entityType": "CUSTOMER", "id": self.customer},
            "name": self.name,
            "type": self.type,
        }

    @property
    def is_gateway(self) -> bool:
        return isinstance(self.additional_info, dict) and self.additional_info.get("gateway") is True


@dataclass(slots=True)
class DeviceCredentials:
    """How a device identifies itself."""

    id: str
    device: str
    type: str
    token: str
    value: str | None

    def document(self) -> dict[str, Any]:
        return {
            "id": {"id": self.id},
            "createdTime": created_ms(uuid.UUID(self.id)),
            "deviceId": {"entityType": "DEVICE", "id": self.device},
            "credentialsType": self.type,
            "credentialsId": self.token,
            "credentialsValue": self.value,
        }


def entity_of_row(row: tuple[Any, ...]) -> Entity:
    """An entity from its columns, in the order of ENTITY_COLUMNS."""
    identifier, born, kind, tenant, customer, name, type_, additional_info = row
    return Entity(identifier, born, kind, tenant, customer, name, type_, json.loads(additional_info))


class Entities:
    """Create, change, find and page entities. Names are unique per tenant and kind, exactly as written."""

    def __init__(self, store: Store, ids: IdFactory) -> None:
        self._store = store
        self._ids = ids

    def create(
        self,
        kind: str,
        tenant: str,
        name: str,
        type_: str,
        *,
        customer: str = NULL_UUID,
        additional_info: Any = None,
        token: str | None = None,
    ) -> Entity:
        """Creates an entity, and the credentials of a device. Raises NameTaken, TokenTaken."""
        identifier = self._ids.new()
        entity = Entity(str(identifier), uuid_time(identifier), kind, tenant, customer, name, type_, additional_info)
        try:
            self._store.write(
                f"INSERT INTO entity ({ENTITY_COLUMNS}, search_name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constant columns
                (
                    entity.id,
                    entity.born,
                    kind,
                    tenant,
                    customer,
                    name,
                    type_,
                    json.dumps(additional_info),
                    name.lower(),
                ),
            )
        except sqlite3.IntegrityError:
            raise NameTaken(name) from None
        if kind == "DEVICE":
            self._create_credentials(entity, token or new_token())
        return entity

    def _create_credentials(self, device: Entity, token: str) -> None:
        identifier = self._ids.new()
        try:
            self._store.write(
                "INSERT INTO credentials VALUES (?, ?, ?, 'ACCESS_TOKEN', ?, NULL)",
                (uuid_time(identifier), str(identifier), device.id, token),
            )
        except sqlite3.IntegrityError:
            raise TokenTaken(token) from None

    def update(self, entity: Entity) -> None:
        """Stores a changed entity. Raises NameTaken."""
        try:
            self._store.write(
                "UPDATE entity SET customer = ?, name = ?, search_name = ?, type = ?, additional_info = ? WHERE id = ?",
                (
                    entity.customer,
                    entity.name,
                    entity.name.lower(),
                    entity.type,
                    json.dumps(entity.additional_info),
                    entity.id,
                ),
            )
        except sqlite3.IntegrityError:
            raise NameTaken(entity.name) from None

    def delete(self, entity: Entity) -> None:
        """Removes an entity with its credentials, relations, telemetry and attributes."""
        self._store.write("DELETE FROM entity WHERE id = ?", (entity.id,))
        self._store.write("DELETE FROM credentials WHERE device = ?", (entity.id,))
        self._store.write("DELETE FROM relation WHERE from_id = ? OR to_id = ?", (entity.id, entity.id))
        for table in ("attribute", "reading", "latest"):
            self._store.write(f"DELETE FROM {table} WHERE entity = ?", (entity.born,))  # noqa: S608 - names from above

    def find(self, kind: str, identifier: str) -> Entity | None:
        row = self._store.row(f"SELECT {ENTITY_COLUMNS} FROM entity WHERE id = ? AND kind = ?", (identifier, kind))  # noqa: S608 - constant columns
        return None if row is None else entity_of_row(row)

    def find_by_name(self, kind: str, tenant: str, name: str) -> Entity | None:
        row = self._store.row(
            f"SELECT {ENTITY_COLUMNS} FROM entity WHERE tenant = ? AND kind = ? AND name = ?",  # noqa: S608 - constant columns
            (tenant, kind, name),
        )
        return None if row is None else entity_of_row(row)

    def page(
        self,
        kind: str,
        tenant: str,
        limit: int,
        *,
        after: int = 0,
        type_: str | None = None,
        prefix: str | None = None,
        customer: str | None = None,
    ) -> list[Entity]:
        """Up to `limit` entities in order of creation, after the one born at `after`; `prefix` ignores case."""
        conditions, parameters = ["tenant = ?", "kind = ?", "born > ?"], [tenant, kind, after]
        for column, value in (("type", type_), ("customer", customer)):
            if value is not None:
                conditions.append(f"{column} = ?")
                parameters.append(value)
        if prefix:
            conditions.append("substr(search_name, 1, ?) = ?")
            parameters += [len(prefix), prefix.lower()]
        rows = self._store.rows(
            f"SELECT {ENTITY_COLUMNS} FROM entity WHERE {' AND '.join(conditions)} ORDER BY born LIMIT ?",  # noqa: S608 - constant conditions
            (*parameters, limit),
        )
        return [entity_of_row(row) for row in rows]

    def types(self, kind: str, tenant: str) -> list[str]:
        """The types in use, sorted."""
        rows = self._store.rows(
            "SELECT DISTINCT type FROM entity WHERE tenant = ? AND kind = ? ORDER BY type", (tenant, kind)
        )
        return [row[0] for row in rows]

    def credentials(self, device_id: str) -> DeviceCredentials | None:
        row = self._store.row("SELECT id, device, type, token, value FROM credentials WHERE device = ?", (device_id,))
        return None if row is None else DeviceCredentials(*row)

    def device_by_token(self, token: str) -> Entity | None:
        row = self._store.row("SELECT device FROM credentials WHERE token = ?", (token,))
        return None if row is None else self.find("DEVICE", row[0])

    def change_token(self, device_id: str, token: str, value: str | None) -> None:
        """Gives a device another access token. Raises TokenTaken."""
        try:
            self._store.write("UPDATE credentials SET token = ?, value = ? WHERE device = ?", (token, value, device_id))
        except sqlite3.IntegrityError:
            raise TokenTaken(token) from None

    def relate(self, from_: Entity, to: Entity, type_: str) -> None:
        """Stores a relation such as gateway -"Created"-> device."""
        self._store.write(
            "INSERT OR IGNORE INTO relation VALUES (?, ?, ?, ?, ?)", (from_.kind, from_.id, to.kind, to.id, type_)
        )

    def relations(self, column: str, identifier: str, type_: str | None) -> list[dict[str, Any]]:
        """Relations whose `from_id` or `to_id` is `identifier`, as REST shows them."""
        rows = self._store.rows(
            f"SELECT * FROM relation WHERE {column} = ? AND (? IS NULL OR type = ?)",  # noqa: S608 - constant columns
            (identifier, type_, type_),
        )
        return [
            {
                "from": {"entityType": row[0], "id": row[1]},
                "to": {"entityType": row[2], "id": row[3]},
                "type": row[4],
                "typeGroup": "COMMON",
                "additionalInfo": None,
            }
            for row in rows
        ]


def new_token() -> str:
    """An access token like the platform's: 20 letters and digits."""
    return "".join(secrets.choice(_TOKEN_ALPHABET) for _ in range(TOKEN_LENGTH))


def install_demo(store: Store, users: Users, entities: Entities, ids: IdFactory) -> bool:
    """Creates the published demo devices in a new database; returns False if it has them already."""
    if store.meta("installed") is not None:
        return False
    customers = {"A": users.customer, "B": str(ids.new()), "C": str(ids.new()), "": NULL_UUID}
    for name, token, customer in DEMO_DEVICES:
        entities.create("DEVICE", users.tenant, name, "default", customer=customers[customer], token=token)
    store.set_meta("installed", "1")
    return True
