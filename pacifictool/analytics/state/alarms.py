"""What the state store keeps of alarms: the windows that they are derived from, and what the platform has of them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pacifictool.analytics.alarms import ActiveAlarm, AlarmPlace, AlarmSource, AlarmWindow, united
from pacifictool.analytics.state.outcomes import alarms_as_json, alarms_from_json, encoded

UNKNOWN: Final = "?"
"""Instead of a severity: the alarm was raised, changed or cleared, and nothing is known of the outcome."""
CLEARED: Final = "CLEARED"
"""Instead of a severity: the platform refuses to clear the alarm."""

Series = tuple[str, str]
"""Names of an analytics and of a group; see windows.join_group."""

_SOURCE: Final = "s.kind, s.entity, s.type, s.origin, s.severity, s.start, s.until, s.details"


@dataclass(frozen=True, slots=True)
class DueAlarm:
    """An alarm that the platform does not have as it is wanted."""

    place: AlarmPlace
    wanted: AlarmSource | None
    """None: it is to be cleared."""
    acknowledged: str | None
    """Its severity on the platform; None: it is not active; UNKNOWN."""
    id: str | None
    """On the platform."""


@dataclass(frozen=True, slots=True)
class AlarmCounts:
    """Alarms of a job at present."""

    active: int = 0
    """Those that are wanted."""
    waiting: int = 0
    """Those that the platform does not have as they are wanted."""
    refused: int = 0
    """Those that it will never take."""


class AlarmQueries(ABC):
    """What can be asked about alarms."""

    @abstractmethod
    def _query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]: ...

    def alarm_counts(self) -> AlarmCounts:
        """How many alarms there are."""
        ((active, waiting, refused),) = self._query(
            "SELECT count(desired), (SELECT count(*) FROM alarms WHERE desired IS NOT acknowledged "
            "AND ifnull(desired, 'CLEARED') IS NOT refused), count(refused) FROM alarms"
        )
        return AlarmCounts(active, waiting, refused)

    def refused_alarms(self) -> dict[AlarmPlace, str]:
        """The alarms that the platform refuses as they are wanted, with its reason."""
        rows = self._query("SELECT kind, entity, type, reason FROM alarms WHERE refused IS NOT NULL")
        return {(kind, entity, kind_of_alarm): reason for kind, entity, kind_of_alarm, reason in rows}

    def due_alarms(self, limit: int, after: tuple[str, str, str] = ("", "", "")) -> list[DueAlarm]:
        """Alarms that the platform does not have as they are wanted, by their places; at most `limit` after `after`."""
        rows = self._query(
            "SELECT kind, entity, type, desired, acknowledged, id FROM alarms WHERE desired IS NOT acknowledged "
            "AND ifnull(desired, 'CLEARED') IS NOT refused AND (kind, entity, type) > (?, ?, ?) "
            "ORDER BY kind, entity, type LIMIT ?",
            (*after, limit),
        )
        sources = self._sources_at(row[:3] for row in rows if row[3] is not None)
        return [
            DueAlarm(row[:3], united(found) if (found := sources.get(row[:3])) else None, row[4], row[5])
            for row in rows
        ]

    def _sources_at(self, places: Iterable[AlarmPlace]) -> dict[AlarmPlace, list[AlarmSource]]:
        """What raises alarms at these places."""
        found: dict[AlarmPlace, list[AlarmSource]] = defaultdict(list)
        for row in self._query(
            f"SELECT {_SOURCE} FROM json_each(?) AS wanted JOIN alarm_sources AS s ON s.kind = wanted.value ->> 0 "
            "AND s.entity = wanted.value ->> 1 AND s.type = wanted.value ->> 2",
            (json.dumps(list(places)),),
        ):
            found[row[:3]].append(source_of(row))
        return found

    def alarm_groups(self, analytics: str) -> list[str]:
        """The groups of an analytics that windows are kept of."""
        rows = self._query("SELECT DISTINCT group_key FROM alarm_windows WHERE analytics = ?", (analytics,))
        return [str(group) for (group,) in rows]

    def alarm_windows(self, first_ms: Mapping[Series, int], span_ms: int) -> dict[Series, list[AlarmWindow]]:
        """The windows that alarms of each series are derived from, from the window that ends at `first_ms` on: those
        that end less than `span_ms` before it, at least one before it, and all behind it, by their ends.

        Those before it have no results: only conditions and alarms are read.
        """
        found: dict[Series, list[AlarmWindow]] = {series: [] for series in first_ms}
        rows = self._query(
            "SELECT a.analytics, a.group_key, a.window_end, a.met, a.active, "
            "CASE WHEN a.window_end >= wanted.value ->> 2 THEN a.own END, "
            "CASE WHEN a.window_end >= wanted.value ->> 2 THEN a.raised END "
            "FROM json_each(?1) AS wanted JOIN alarm_windows AS a ON a.analytics = wanted.value ->> 0 "
            "AND a.group_key = wanted.value ->> 1 AND a.window_end >= min((wanted.value ->> 2) - ?2 + 1, "
            "ifnull((SELECT max(window_end) FROM alarm_windows WHERE analytics = wanted.value ->> 0 "
            "AND group_key = wanted.value ->> 1 AND window_end < wanted.value ->> 2), wanted.value ->> 2)) "
            "ORDER BY a.window_end",
            (json.dumps([[*series, end_ms] for series, end_ms in first_ms.items()]), span_ms),
        )
        for analytics, group, end_ms, met, active, own, raised in rows:
            found[analytics, group].append(
                AlarmWindow(
                    end_ms,
                    None if own is None else json.loads(own),
                    () if met == "[]" else tuple(json.loads(met)),
                    None if raised is None else alarms_from_json(raised),
                    () if active == "[]" else tuple(ActiveAlarm(*each) for each in json.loads(active)),
                )
            )
        return found


def window_row(window: AlarmWindow) -> tuple[Any, ...]:
    """A window as columns own, met, raised and active."""
    return (
        None if window.own is None else encoded(dict(window.own)),
        encoded(window.met),
        None if window.raised is None else alarms_as_json(window.raised),
        encoded(
            [
                [each.origin, each.kind, each.entity, each.type, each.severity, each.since_ms, each.decided_ms,
                 each.condition]
                for each in window.active
            ]
        ),
    )  # fmt: skip


def source_of(row: Sequence[Any]) -> AlarmSource:
    """A source from the columns kind, entity, type, origin, severity, start, until and details."""
    kind, entity, kind_of_alarm, origin, severity, start_ms, until_ms, details = row
    return AlarmSource(kind, entity, kind_of_alarm, origin, severity, start_ms, until_ms, json.loads(details))
