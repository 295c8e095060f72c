"""Lifecycle events: the only place where a server says that a plugin or rule did not start.

Activation answers 200 in any case (platform-1x, section 2), and the state is ACTIVE.
"""

from __future__ import annotations

from pacifictool.errors import UnexpectedAnswer
from pacifictool.rest.entities import AnyEntity, LifecycleEvent, entity_id_of
from pacifictool.rest.session import Session, segment

LIFECYCLE = "LC_EVENT"
DEFAULT_LIMIT = 100


class Events:
    """Reads the event log of plugins and rules."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def lifecycle(self, entity: AnyEntity, tenant_id: str, limit: int = DEFAULT_LIMIT) -> list[LifecycleEvent]:
        """The lifecycle events among the last `limit` events of any kind, newest first."""
        identifier = entity_id_of(entity)
        path = f"/api/events/{segment(identifier.entity_type)}/{segment(identifier.id)}"
        page = self._session.request("GET", path, params={"tenantId": tenant_id, "limit": limit}, expect=dict)
        items = page.get("data")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise UnexpectedAnswer(f"The server lists the events of GET {path} in an unknown form.")
        found = [LifecycleEvent.from_json(item) for item in items if item.get("type") == LIFECYCLE]
        # sorted() is stable: events of the same millisecond stay in the server's order, which is newest first.
        return sorted(found, key=lambda event: -event.created_time)
