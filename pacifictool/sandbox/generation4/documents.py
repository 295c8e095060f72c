"""Objects that are mostly a JSON document: rule chains, profiles, dashboards, API keys.

There are few of them, so all are kept in memory as well as in the database. `version` grows with every
save, and a save with an older one is refused, as on the platform.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from pacifictool.sandbox.generation4.refusals import not_found, stale
from pacifictool.sandbox.http import id_of
from pacifictool.sandbox.ids import IdFactory, created_ms, parse_uuid, uuid_time
from pacifictool.sandbox.refusals import bad_request
from pacifictool.sandbox.store import Store

Document = dict[str, Any]

RULE_CHAIN, DEVICE_PROFILE, ASSET_PROFILE, DASHBOARD, API_KEY = (
    "RULE_CHAIN",
    "DEVICE_PROFILE",
    "ASSET_PROFILE",
    "DASHBOARD",
    "API_KEY",
)

DETAILS = "DETAILS"
"""Rows of entities, see `entities`; no documents of their own."""


def reference(kind: str, identifier: str) -> Document:
    """A reference to another document."""
    return {"entityType": kind, "id": identifier}


class Documents:
    """Documents of all kinds, in order of creation. Methods return the stored objects: copy before changing."""

    def __init__(self, store: Store, ids: IdFactory) -> None:
        self._store = store
        self._ids = ids
        self._by_kind: dict[str, dict[str, Document]] = {}
        for kind, identifier, text in store.rows(
            "SELECT kind, id, document FROM component WHERE kind <> ? ORDER BY born", (DETAILS,)
        ):
            self._by_kind.setdefault(kind, {})[identifier] = json.loads(text)

    def all(self, kind: str, tenant: str) -> list[Document]:
        return [item for item in self._by_kind.get(kind, {}).values() if item["tenantId"]["id"] == tenant]

    def everything(self, kind: str) -> list[Document]:
        """Of all tenants."""
        return list(self._by_kind.get(kind, {}).values())

    def find(self, kind: str, identifier: str) -> Document | None:
        return self._by_kind.get(kind, {}).get(identifier)

    def require(self, kind: str, identifier: str, tenant: str) -> Document:
        """The document of an id in a path or body. Raises 400 and 404 refusals."""
        try:
            found = self.find(kind, str(parse_uuid(identifier)))
        except ValueError as error:
            raise bad_request(str(error)) from None
        if found is None or found["tenantId"]["id"] != tenant:
            raise not_found(kind, identifier)
        return found

    def referenced(self, kind: str, document: Document, tenant: str) -> Document | None:
        """The stored document that a body with an `id` changes; None for a new one. Raises 400 and 404 refusals."""
        return None if document.get("id") is None else self.require(kind, id_of(document["id"]), tenant)

    def find_by_name(self, kind: str, tenant: str, name: str, key: str = "name") -> Document | None:
        return next((item for item in self.all(kind, tenant) if item[key] == name), None)

    def create(self, kind: str, tenant: str, content: Document) -> Document:
        """Stores a new document with an id of its own and version 1."""
        identifier = self._ids.new()
        document = {
            "id": reference(kind, str(identifier)),
            "createdTime": created_ms(identifier),
            "tenantId": reference("TENANT", tenant),
            **copy.deepcopy(content),
            "version": 1,
        }
        self._by_kind.setdefault(kind, {})[str(identifier)] = document
        self._store.write(
            "INSERT INTO component VALUES (?, ?, ?, ?, ?)",
            (uuid_time(identifier), str(identifier), kind, tenant, json.dumps(document)),
        )
        return document

    def save(self, kind: str, tenant: str, old: Document | None, content: Document, version: Any) -> Document:
        """Creates a document, or changes `old`. Raises the 409 refusal as `change` does."""
        if old is None:
            return self.create(kind, tenant, content)
        return self.change(kind, old, content, version=version)

    def change(self, kind: str, old: Document, changes: Document, *, version: Any = None) -> Document:
        """Stores changes of a document. Raises the 409 refusal if `version` is given and is not the current one."""
        if version is not None and version != old["version"]:
            raise stale(kind)
        identifier = old["id"]["id"]
        document: Document = {**old, **copy.deepcopy(changes), "version": old["version"] + 1}
        self._by_kind[kind][identifier] = document
        self._store.write("UPDATE component SET document = ? WHERE id = ?", (json.dumps(document), identifier))
        return document

    def delete(self, kind: str, document: Document) -> None:
        identifier = document["id"]["id"]
        del self._by_kind[kind][identifier]
        self._store.write("DELETE FROM component WHERE id = ?", (identifier,))
