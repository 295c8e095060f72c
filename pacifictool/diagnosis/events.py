"""The platform's own notes on plugins, rules and rule chains: what happened to them last, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pacifictool.errors import UnexpectedAnswer
from pacifictool.rest import Platform, Plugin, Rule, RuleChain
from pacifictool.rest.entities import EntityId, LifecycleEvent
from pacifictool.rest.forwarding.node_events import node_id
from pacifictool.rest.session import segment
from pacifictool.tools.times import utc_time

_EVENTS_READ = 20


def last_event(platform: Platform, part: Plugin | Rule | RuleChain) -> str:
    """The newest lifecycle event in words; empty when there is none. Raises PlatformError."""
    newest = _newest(platform, part.entity_id, part.tenant_id)
    return "" if newest is None else _told(newest)


def last_node_event(platform: Platform, nodes: Iterable[Mapping[str, Any]], tenant_id: str) -> str:
    """The newest lifecycle event of all nodes of a rule chain, in words; empty when there is none.

    Raises PlatformError.
    """
    found = [
        (newest, str(node.get("name")))
        for node in nodes
        if (newest := _newest(platform, EntityId.rule_node(node_id(node)), tenant_id)) is not None
    ]
    if not found:
        return ""
    newest, name = max(found, key=lambda pair: pair[0].created_time)
    return f"{name!r} {_told(newest)}"


def _newest(platform: Platform, entity: EntityId, tenant_id: str) -> LifecycleEvent | None:
    return next(iter(platform.events.lifecycle(entity, tenant_id, _EVENTS_READ)), None)


def _told(event: LifecycleEvent) -> str:
    outcome = "succeeded" if event.success else f"failed ({event.reason})"
    return f"{event.event} {outcome}, {utc_time(event.created_time):%Y-%m-%d %H:%M:%S} UTC"


def last_error(platform: Platform, part: Plugin | Rule, since_ms: int) -> str | None:
    """What went wrong last while the part was at work, in one line; None when nothing did since `since_ms`.

    The platform notes failures of filters, templates and producers as events of the type ERROR (1.x).
    Raises PlatformError.
    """
    path = f"/api/events/{segment(part.entity_type)}/{segment(part.id)}"
    params: dict[str, str | int] = {"tenantId": part.tenant_id, "limit": _EVENTS_READ}
    page = platform.session.request("GET", path, params=params, expect=dict)
    items = page.get("data")
    if not isinstance(items, list):
        raise UnexpectedAnswer(f"The server lists the events of GET {path} in an unknown form.")
    for item in items:
        if isinstance(item, dict) and item.get("type") == "ERROR" and int(item.get("createdTime", 0)) >= since_ms:
            text = str((item.get("body") or {}).get("error") or "")
            return next((line.strip() for line in text.splitlines() if line.strip()), None)
    return None
