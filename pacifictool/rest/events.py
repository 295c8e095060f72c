"""The event log of plugins, rules and rule nodes: the only place where a server says that one did not start.

The response to an activation is 200 in any case, and the state is ACTIVE (docs/servers/1.x.md#rules-and-plugins,
row 14); the response to saving a rule chain is 200 whatever its nodes are (docs/servers/4.x.md#rule-chains, rows 4
and 5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pacifictool.errors import UnexpectedAnswer
from pacifictool.rest.entities import RULE_CHAIN, RULE_NODE, AnyEntity, LifecycleEvent, Plugin, Rule, entity_id_of
from pacifictool.rest.http import Session, segment
from pacifictool.rest.paging import Paging

LIFECYCLE = "LC_EVENT"
DEFAULT_LIMIT = 100
EVENT_TIMEOUT_SECONDS = 15.0
"""How long a server may take to log how the start of a plugin, rule or node went; on 4.3.1 about a second
(docs/servers/4.x.md#rule-chains, row 5)."""

_STOPPED = "STOPPED"
"""Logged with success in the moment in which a start or an update fails, too, and then the newest event
(docs/servers/2.x-3.x.md#rule-chains, row 11): it does not say whether something runs."""


class Events:
    """Reads the event log of plugins, rules, rule chains and rule nodes."""

    def __init__(self, session: Session, paging: Callable[[], Paging]) -> None:
        self._session = session
        self._paging = paging

    def lifecycle(self, entity: AnyEntity, tenant_id: str, limit: int = DEFAULT_LIMIT) -> list[LifecycleEvent]:
        """The lifecycle events among the last `limit` events (of plugins and rules: of any kind), newest first, without
        those of a stop."""
        items = self._newest(entity, tenant_id, limit)
        found = [LifecycleEvent.from_json(item) for item in items if item.get("type", LIFECYCLE) == LIFECYCLE]
        # sorted() is stable: events of the same millisecond stay in the server's order, which is newest first.
        return sorted((each for each in found if each.event != _STOPPED), key=lambda event: -event.created_time)

    def last_error(self, part: Plugin | Rule, since_ms: int, limit: int = DEFAULT_LIMIT) -> str | None:
        """The first line of the newest error since `since_ms` among the last `limit` events; None when there is none.

        1.x notes failures of filters, templates and producers as events of the type ERROR
        (docs/servers/1.x.md#forwarding-to-kafka, row 14, saw it of a filter).
        """
        for item in self._newest(part, part.tenant_id, limit):
            if item.get("type") == "ERROR" and int(item.get("createdTime", 0)) >= since_ms:
                text = str((item.get("body") or {}).get("error") or "")
                return next((line.strip() for line in text.splitlines() if line.strip()), None)
        return None

    def _newest(self, entity: AnyEntity, tenant_id: str, limit: int) -> list[dict[str, Any]]:
        identifier = entity_id_of(entity)
        path = f"/api/events/{segment(identifier.entity_type)}/{segment(identifier.id)}"
        if identifier.entity_type in (RULE_CHAIN, RULE_NODE):
            path += f"/{LIFECYCLE}"
        params = {"tenantId": tenant_id, **self._paging().newest(limit)}
        items = self._session.request("GET", path, params=params, expect=dict).get("data")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise UnexpectedAnswer(f"The server lists the events of GET {path} in an unknown form.")
        return items
