"""Whether the nodes of a rule chain run, by their event logs: the response to saving is 200 in any case.

An unknown class, a script that cannot be parsed or a Kafka server that cannot be found show only as a lifecycle event
with `success` false, about a second after saving (docs/servers/4.x.md#rule-chains, rows 4 and 5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any

from pacifictool.errors import ForwardingFailed, UnexpectedAnswer
from pacifictool.rest.entities import EntityId, LifecycleEvent
from pacifictool.rest.events import EVENT_TIMEOUT_SECONDS, Events
from pacifictool.rest.http import Session

_POLL_SECONDS = 0.2
_EVENTS_READ = 10


class NodeEvents:
    """Reads the lifecycle events of rule nodes."""

    def __init__(
        self, session: Session, events: Events, *, event_timeout_seconds: float = EVENT_TIMEOUT_SECONDS
    ) -> None:
        self._session = session
        self._events = events
        self._timeout_seconds = event_timeout_seconds

    def last_failure(self, node: Mapping[str, Any], tenant_id: str) -> str | None:
        """Why the node does not run, in one line; None when its last start succeeded or left no trace."""
        newest = next(iter(self._lifecycle(node, tenant_id)), None)
        return newest.reason if newest is not None and not newest.success else None

    def remember(self, nodes: Iterable[Mapping[str, Any]], tenant_id: str) -> set[str]:
        """The events so far of nodes that the server has already, by id: what comes after them is new."""
        return {event.id for node in nodes for event in self._lifecycle(node, tenant_id)}

    def check(self, nodes: Iterable[Mapping[str, Any]], tenant_id: str, before: set[str]) -> None:
        """Waits until every node has logged that it started. Raises ForwardingFailed with the reason of a failed one.

        Warns about nodes that log nothing in time.
        """
        waiting = list(nodes)
        deadline = monotonic() + self._timeout_seconds
        while True:
            waiting = [node for node in waiting if not self._has_started(node, tenant_id, before)]
            if not waiting:
                return
            if monotonic() >= deadline or self._session.stop.wait(_POLL_SECONDS):
                break
        names = ", ".join(repr(node.get("name")) for node in waiting)
        self._session.reporter.warning(
            f"The server did not say within {self._timeout_seconds:g} s whether these rule nodes have started: {names}."
        )

    def _has_started(self, node: Mapping[str, Any], tenant_id: str, before: set[str]) -> bool:
        for event in self._lifecycle(node, tenant_id):
            if event.id in before:
                continue
            if event.success:
                return True
            raise ForwardingFailed(
                f"The rule node {node.get('name')!r} was saved, but does not run: {event.reason}.",
                hint="Correct its configuration (for Kafka: the bootstrap servers as the platform reaches them,"
                " --platform-kafka) and run the command again.",
                id=node_id(node),
            )
        return False

    def _lifecycle(self, node: Mapping[str, Any], tenant_id: str) -> list[LifecycleEvent]:
        return self._events.lifecycle(EntityId.rule_node(node_id(node)), tenant_id, _EVENTS_READ)


def node_id(node: Mapping[str, Any]) -> str:
    """The UUID of a node that a server has sent. Raises UnexpectedAnswer."""
    reference = node.get("id")
    identifier = reference.get("id") if isinstance(reference, dict) else None
    if not isinstance(identifier, str):
        raise UnexpectedAnswer(f"The server describes the rule node {node.get('name')!r} without an id.")
    return identifier
