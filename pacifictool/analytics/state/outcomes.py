"""What the state store keeps of functions: the outcome of each window, and failures for people to look at."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pacifictool.functions import Alarm, EntityKind

NO_OUTCOME: Final = (None,) * 5
"""What a join gives for a window without an outcome."""
_RECENT: Final = 200
"""Outcomes that are read for the keys of an analytics."""

EntityValues = tuple[EntityKind, str, Mapping[str, float]]
"""Kind and name of an entity, and values by key."""


@dataclass(frozen=True, slots=True)
class KeptOutcome:
    """What became of the call of a function for one window of a group."""

    count: int
    """Number of records that it was called for."""
    own: Mapping[str, float] | None = None
    """Values for the entity of the group; None: none."""
    others: tuple[EntityValues, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    """With entity and kind."""
    failure: str | None = None
    """Why there are no results, in one sentence."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> KeptOutcome | None:
        """From the columns count, own, others, alarms and failure; None for `NO_OUTCOME`."""
        count, own, others, alarms, failure = row
        if count is None:
            return None
        return cls(
            count=count,
            own=None if own is None else json.loads(own),
            others=tuple((kind, name, values) for kind, name, values in json.loads(others)),
            alarms=alarms_from_json(alarms),
            failure=failure,
        )

    def as_row(self) -> tuple[Any, ...]:
        """The same columns. Raises ValueError or TypeError for what JSON cannot hold."""
        return (
            self.count,
            None if not self.own else encoded(self.own),
            encoded([[kind, name, dict(values)] for kind, name, values in self.others]),
            alarms_as_json(self.alarms),
            self.failure,
        )


@dataclass(frozen=True, slots=True)
class KeptFailure:
    """A call of a function that gave no results."""

    analytics: str
    group: str
    """See windows.join_group."""
    window_end_ms: int
    count: int
    """Number of records that it was called for."""
    at_ms: int
    """This machine's clock, in milliseconds since the epoch."""
    failure: str
    traceback: str | None


class OutcomeQueries(ABC):
    """What can be asked about functions."""

    @abstractmethod
    def _query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]: ...

    def outcome(self, analytics: str, group: str, window_end_ms: int) -> KeptOutcome | None:
        """What the function gave for a window; None when it was not called yet, or when it is forgotten."""
        rows = self._query(
            "SELECT count, own, others, alarms, failure FROM outcomes "
            "WHERE analytics = ? AND group_key = ? AND window_end = ?",
            (analytics, group, window_end_ms),
        )
        return KeptOutcome.from_row(rows[0]) if rows else None

    def function_keys(self, analytics: str) -> list[str]:
        """The keys of what the function gave for the entities of its groups lately, in alphabetical order."""
        rows = self._query(
            "SELECT DISTINCT key FROM (SELECT own FROM outcomes WHERE analytics = ? AND own IS NOT NULL "
            "ORDER BY window_end DESC LIMIT ?) AS recent, json_each(recent.own) ORDER BY key",
            (analytics, _RECENT),
        )
        return [str(key) for (key,) in rows]

    def function_failures(self, *, newest: int) -> list[KeptFailure]:
        """The newest failures of functions, newest first."""
        rows = self._query(
            "SELECT analytics, group_key, window_end, count, at, failure, traceback FROM function_failures "
            "ORDER BY number DESC LIMIT ?",
            (newest,),
        )
        return [KeptFailure(*row) for row in rows]

    def histories(
        self, windows: Iterable[tuple[str, str, int]], most: int
    ) -> dict[tuple[str, str, int], list[tuple[int, Mapping[str, float]]]]:
        """For each window, an analytics, a group and an end: window end and values of the last `most` results that the
        entity of the group got before it, oldest first."""
        found: dict[tuple[str, str, int], list[tuple[int, Mapping[str, float]]]] = {key: [] for key in windows}
        rows = self._query(
            "SELECT wanted.value ->> 0, wanted.value ->> 1, wanted.value ->> 2, o.window_end, o.own "
            "FROM json_each(?) AS wanted JOIN outcomes AS o ON o.analytics = wanted.value ->> 0 "
            "AND o.group_key = wanted.value ->> 1 AND o.window_end < wanted.value ->> 2 AND o.own IS NOT NULL "
            "AND o.window_end >= ifnull((SELECT window_end FROM outcomes WHERE analytics = wanted.value ->> 0 "
            "AND group_key = wanted.value ->> 1 AND window_end < wanted.value ->> 2 AND own IS NOT NULL "
            "ORDER BY window_end DESC LIMIT 1 OFFSET ?), -1) ORDER BY o.window_end",
            (json.dumps(list(found)), most - 1),
        )
        for analytics, group, end_ms, before_ms, own in rows:
            found[analytics, group, end_ms].append((before_ms, json.loads(own)))
        return found


def alarms_as_json(alarms: Iterable[Alarm]) -> str:
    """Raises ValueError or TypeError for details that JSON cannot hold."""
    return encoded([[each.type, each.severity, dict(each.details), each.kind, each.entity] for each in alarms])


def alarms_from_json(text: str) -> tuple[Alarm, ...]:
    """What `alarms_as_json` made."""
    if text == "[]":
        return ()
    return tuple(
        Alarm(kind_of_alarm, severity, details, entity=entity, kind=kind)
        for kind_of_alarm, severity, details, kind, entity in json.loads(text)
    )


def encoded(value: Any) -> str:
    """Compact JSON. Raises ValueError or TypeError for what it cannot hold."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
