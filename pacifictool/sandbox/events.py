"""The event log of components: lifecycle (`LC_EVENT`) and run-time errors (`ERROR`)."""

from __future__ import annotations

import json
import time
from typing import Any

from pacifictool.sandbox.ids import IdFactory, uuid_time
from pacifictool.sandbox.store import Store

ERROR_EVERY_SECONDS = 3.0
"""A component that fails on every message writes one event in this time, as on the platform by default."""

KEEP_PER_COMPONENT = 1000


class EventLog:
    """Writes and pages events of plugins, rules and the like."""

    def __init__(self, store: Store, ids: IdFactory) -> None:
        self._store = store
        self._ids = ids
        self._last_error: dict[str, float] = {}
        self.server = "127.0.0.1:9001"

    def lifecycle(self, tenant: str, kind: str, entity: str, event: str, error: str | None = None) -> None:
        """Records that a component was e.g. ACTIVATED, and whether it is running."""
        body: dict[str, Any] = {"server": self.server, "event": event, "success": error is None}
        if error is not None:
            body["error"] = error
        self._add(tenant, kind, entity, "LC_EVENT", body)

    def error(self, tenant: str, kind: str, entity: str, method: str, error: str) -> None:
        """Records a failure at run time, at most one in ERROR_EVERY_SECONDS per component."""
        now = time.monotonic()
        if now - self._last_error.get(entity, -ERROR_EVERY_SECONDS) < ERROR_EVERY_SECONDS:
            return
        self._last_error[entity] = now
        self._add(tenant, kind, entity, "ERROR", {"server": self.server, "method": method, "error": error})

    def _add(self, tenant: str, kind: str, entity: str, type_: str, body: dict[str, Any]) -> None:
        self._store.write(
            "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)",
            (uuid_time(self._ids.new()), tenant, kind, entity, type_, json.dumps(body)),
        )
        self._store.write(
            "DELETE FROM event WHERE entity_id = ? AND born <="
            " (SELECT born FROM event WHERE entity_id = ? ORDER BY born DESC LIMIT 1 OFFSET ?)",
            (entity, entity, KEEP_PER_COMPONENT),
        )

    def forget(self, entity: str) -> None:
        """Removes the events of a deleted component."""
        self._last_error.pop(entity, None)
        self._store.write("DELETE FROM event WHERE entity_id = ?", (entity,))
