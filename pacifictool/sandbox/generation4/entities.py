"""Devices and assets of 4.x: the entities of the shared store, with label, version and profile."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pacifictool.sandbox.entities import ENTITY_COLUMNS, Entities, Entity, entity_of_row
from pacifictool.sandbox.generation4.documents import DETAILS, Document
from pacifictool.sandbox.generation4.http import PageLink
from pacifictool.sandbox.generation4.profiles import Profiles
from pacifictool.sandbox.ids import IdFactory
from pacifictool.sandbox.store import Store

_SORT_COLUMNS = {"createdTime": "e.born", "name": "e.name", "type": "e.type", "id": "e.id", "label": "e.name"}
_IS_ACTIVE = (
    "EXISTS (SELECT 1 FROM attribute WHERE entity = e.born AND scope = 'SERVER_SCOPE' AND key = 'active' AND value = 1)"
)
_DEVICE_DATA = {"configuration": {"type": "DEFAULT"}, "transportConfiguration": {"type": "DEFAULT"}}


@dataclass(slots=True)
class Details:
    """Fields of an entity that only later generations have."""

    version: int = 1
    label: Any = None

    def text(self) -> str:
        return json.dumps({"version": self.version, "label": self.label})


class Entities4(Entities):
    """Shared entities, with details that are stored under the same id."""

    def __init__(self, store: Store, ids: IdFactory, profiles: Profiles) -> None:
        super().__init__(store, ids)
        self._profiles = profiles

    def details(self, entity: Entity) -> Details:
        row = self._store.row("SELECT document FROM component WHERE id = ?", (entity.id,))
        return Details() if row is None else Details(**json.loads(row[0]))

    def save_details(self, entity: Entity, details: Details) -> None:
        self._store.write(
            "INSERT OR REPLACE INTO component VALUES (?, ?, ?, ?, ?)",
            (entity.born, entity.id, DETAILS, entity.tenant, details.text()),
        )

    def delete(self, entity: Entity) -> None:
        super().delete(entity)
        self._store.write("DELETE FROM component WHERE id = ?", (entity.id,))

    def count(self, kind: str, tenant: str) -> int:
        row = self._store.row("SELECT count(*) FROM entity WHERE tenant = ? AND kind = ?", (tenant, kind))
        assert row is not None
        return int(row[0])

    def document(self, entity: Entity, details: Details | None = None) -> Document:
        """The entity as REST shows it."""
        details = details or self.details(entity)
        profile = self._profiles.get_or_create(entity.kind, entity.tenant, entity.type)
        is_device = entity.kind == "DEVICE"
        document = entity.document()
        information = document.pop("additionalInfo")
        document["label"] = details.label
        document["deviceProfileId" if is_device else "assetProfileId"] = profile["id"]
        if is_device:
            document |= {"firmwareId": None, "softwareId": None}
        document |= {"externalId": None, "version": details.version, "additionalInfo": information}
        return document | ({"deviceData": _DEVICE_DATA} if is_device else {})

    def info(self, entity: Entity, *, is_active: bool = False) -> Document:
        """The entity with the names of what it refers to."""
        more: Document = {
            "customerTitle": None,
            "customerIsPublic": False,
            f"{entity.kind.lower()}ProfileName": entity.type,
        }
        return self.document(entity) | more | ({"active": is_active} if entity.kind == "DEVICE" else {})

    def numbered_page(
        self, kind: str, tenant: str, link: PageLink, *, type_: str | None = None, active: bool | None = None
    ) -> tuple[list[Entity], int]:
        """A page and the total number. Without an order, sorted by the text of the ids:
        docs/servers/4.x.md#pages, row 4."""
        conditions, parameters = ["e.tenant = ?", "e.kind = ?"], [tenant, kind]
        if type_ is not None:
            conditions.append("e.type = ?")
            parameters.append(type_)
        if link.search is not None:
            conditions.append("e.search_name LIKE ?")
            parameters.append(f"%{link.search.lower()}%")
        if active is not None:
            conditions.append(_IS_ACTIVE if active else f"NOT {_IS_ACTIVE}")
        where = " AND ".join(conditions)
        order = link.column(_SORT_COLUMNS, "e.id") + (" DESC" if link.is_descending else "")
        total = self._store.row(f"SELECT count(*) FROM entity e WHERE {where}", parameters)  # noqa: S608 - constants
        rows = self._store.rows(
            f"SELECT {ENTITY_COLUMNS} FROM entity e WHERE {where} ORDER BY {order}, e.id LIMIT ? OFFSET ?",  # noqa: S608 - constants
            (*parameters, link.size, min(link.offset, 2**62)),
        )
        assert total is not None
        return [entity_of_row(row) for row in rows], total[0]
