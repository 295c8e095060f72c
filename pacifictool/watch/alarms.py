"""Polls the active alarms of the watched entities with a limited load on the server.

Servers from 3.3 on list the alarms of the tenant with one request (docs/servers/alarms.md#reading, row 7). Others are
asked for each entity: up to ENTITIES_PER_POLL in one poll, and in turn when there are more. Entities that have alarms
come more often than the others, so that a cleared alarm disappears soon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from pacifictool.errors import AuthenticationFailed, NotFound, PlatformError
from pacifictool.rest import AlarmInfo, EntityAlarm, EntityId, Platform
from pacifictool.rest.alarms import most_urgent_first
from pacifictool.watch.states import AlarmsState

ENTITIES_PER_POLL: Final = 50
POLL_SECONDS: Final = 1.0
"""Polls are at least this far apart, so that there are no more than ENTITIES_PER_POLL requests a second."""


class AlarmPoller:
    """Polls alarms. For one thread at a time; after a failure the next poll tries again."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._known: dict[EntityId, list[AlarmInfo]] = {}
        """By entity: its active alarms when it was last asked for."""
        self._asked: dict[EntityId, int] = {}
        """By entity: the number of the poll that asked for it last."""
        self._polls = 0

    def poll(self, entities: Mapping[EntityId, str]) -> AlarmsState:
        """The active alarms of these entities, which are given with their names. A failure is reported in `unknown`;
        only AuthenticationFailed is raised.
        """
        try:
            return self._poll(entities)
        except AuthenticationFailed:
            raise
        except PlatformError as error:
            return AlarmsState(unknown=error.message)

    def _poll(self, entities: Mapping[EntityId, str]) -> AlarmsState:
        found = self._platform.alarms.of_tenant(entities, active=True) if len(entities) > 1 else None
        if found is not None:
            return _state(found, entities)
        self._known = {entity: alarms for entity, alarms in self._known.items() if entity in entities}
        self._asked = {entity: poll for entity, poll in self._asked.items() if entity in entities}
        self._polls += 1
        for entity in self._next(list(entities)):
            self._asked[entity] = self._polls
            try:
                self._known[entity] = self._platform.alarms.active(entity)
            except NotFound:
                self._known[entity] = []
        alarms = [alarm for some in self._known.values() for alarm in some]
        asked, total = len(self._known), len(entities)
        notes, pending = [], None
        if asked < total:
            pending = f"{asked:,} of {total:,} devices and assets have been asked for their alarms so far."
        elif total > ENTITIES_PER_POLL:
            seconds = total / ENTITIES_PER_POLL * POLL_SECONDS
            notes.append(f"Alarms of {total:,} devices and assets are read within {seconds:.0f} s.")
        return replace(_state(alarms, entities), notes=tuple(notes), pending=pending)

    def _next(self, entities: Sequence[EntityId]) -> list[EntityId]:
        """Those to ask for now: all, or those with alarms and others, in turn, half of the requests for each."""
        if len(entities) <= ENTITIES_PER_POLL:
            return list(entities)
        noted = [entity for entity in entities if self._known.get(entity)]
        others = [entity for entity in entities if not self._known.get(entity)]
        first = self._oldest(noted, max(ENTITIES_PER_POLL // 2, ENTITIES_PER_POLL - len(others)))
        return first + self._oldest(others, ENTITIES_PER_POLL - len(first))

    def _oldest(self, entities: list[EntityId], count: int) -> list[EntityId]:
        """Those that were asked for the longest time ago."""
        return sorted(entities, key=lambda entity: self._asked.get(entity, 0))[:count]


def _state(alarms: Sequence[AlarmInfo], entities: Mapping[EntityId, str]) -> AlarmsState:
    return AlarmsState(tuple(EntityAlarm(alarm, entities[alarm.originator]) for alarm in most_urgent_first(alarms)))
