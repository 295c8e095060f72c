"""The platform's own notes on plugins, rules and rule chains: what happened to them last, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pacifictool.rest import Platform, Plugin, Rule, RuleChain
from pacifictool.rest.entities import EntityId, LifecycleEvent
from pacifictool.rest.forwarding.node_events import node_id
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
    """What went wrong last while the part was at work, in one line; None when nothing did since `since_ms` (1.x).

    Raises PlatformError.
    """
    return platform.events.last_error(part, since_ms, _EVENTS_READ)
