"""Keeps what alarms are derived from, which are wanted, and which the platform has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pacifictool.analytics.alarms import AlarmPlace, AlarmSource, AlarmWindow, united
from pacifictool.analytics.state.alarms import CLEARED, UNKNOWN, DueAlarm, Series, window_row
from pacifictool.analytics.state.database import StateDatabase
from pacifictool.analytics.state.outcomes import encoded
from pacifictool.analytics.state.queries import WindowState

_RULES: Final = "alarm_rules"
_AT: Final = "WHERE kind = ? AND entity = ? AND type = ?"


@dataclass(frozen=True, slots=True)
class SeriesAlarms:
    """What has become of the alarms of one group of an analytics."""

    series: Series
    windows: Sequence[AlarmWindow]
    """Those that are new or have changed."""
    sources: Sequence[AlarmSource]
    """The alarms that it raises now."""


class AlarmStore(StateDatabase):
    """The state store as far as alarms are concerned."""

    # --- which alarms are wanted ---------------------------------------------------------------------------------

    def alarm_rules(self) -> dict[str, Any]:
        """By analytics: what its alarms were derived by; see AlarmRules.signature."""
        return dict(json.loads(self.state(_RULES) or "{}"))

    def keep_alarms(self, found: Iterable[SeriesAlarms], done: Sequence[WindowState] = ()) -> None:
        """Keeps the alarms of these groups. `done`: the windows that they are derived from, as they stood when they
        were read."""
        with self._transaction():
            places: set[AlarmPlace] = set()
            for each in found:
                self._db.executemany(
                    "INSERT OR REPLACE INTO alarm_windows VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [(*each.series, window.end_ms, *window_row(window)) for window in each.windows],
                )
                places |= self._replace_sources(each.series, each.sources)
            self._want(places)
            self._db.executemany(
                "UPDATE windows SET alarmed = ? WHERE analytics = ? AND window_end = ? AND group_key = ?",
                [(window.version, window.analytics, window.window_end_ms, window.group) for window in done],
            )

    def keep_alarm_rules(self, rules: Mapping[str, Any]) -> None:
        """Alarms are derived by these from now on; of analytics that are not named, as before."""
        with self._transaction():
            self._set(_RULES, json.dumps(self.alarm_rules() | dict(rules)))

    def drop_alarms(self, analytics: str) -> None:
        """The analytics raises no alarm any more."""
        with self._transaction():
            self._db.execute("DELETE FROM alarm_windows WHERE analytics = ?", (analytics,))
            places = set(self._query("SELECT kind, entity, type FROM alarm_sources WHERE analytics = ?", (analytics,)))
            self._db.execute("DELETE FROM alarm_sources WHERE analytics = ?", (analytics,))
            self._want(places)

    def forget_alarm_windows(self, analytics: str, span_ms: int) -> None:
        """Drops windows that no alarm depends on any more: those that no window looks back to whose results may change.
        Of a group that raises alarms the newest one stays."""
        closed_ms = self.closed_until_ms().get(analytics)
        if closed_ms is None:
            return
        with self._transaction():
            for pending in ("evaluated <> count", "alarmed <> ifnull(evaluated, count)"):
                ((first_ms,),) = self._db.execute(
                    f"SELECT min(window_end) FROM windows WHERE {pending} AND analytics = ?", (analytics,)
                )
                closed_ms = closed_ms if first_ms is None else min(closed_ms, first_ms - 1)
            self._db.execute(
                "DELETE FROM alarm_windows AS a WHERE analytics = ?1 AND window_end <= ?2 - ?3 AND (active = '[]' "
                "OR EXISTS (SELECT 1 FROM alarm_windows AS n WHERE n.analytics = a.analytics "
                "AND n.group_key = a.group_key AND n.window_end > a.window_end AND n.window_end <= ?2))",
                (analytics, closed_ms, span_ms),
            )

    def _replace_sources(self, series: Series, sources: Sequence[AlarmSource]) -> set[AlarmPlace]:
        """Returns the places where something may have changed."""
        known = {
            tuple(place): details
            for *place, details in self._db.execute(
                "SELECT kind, entity, type, origin, details FROM alarm_sources WHERE analytics = ? AND group_key = ?",
                series,
            )
        }
        self._db.execute("DELETE FROM alarm_sources WHERE analytics = ? AND group_key = ?", series)
        self._db.executemany(
            "INSERT INTO alarm_sources VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (*each.place, *series, each.origin, each.severity, each.start_ms, each.until_ms,
                 encoded(dict(each.details)) if each.details is not None
                 else known.get((*each.place, each.origin), "{}"))
                for each in sources
            ],
        )  # fmt: skip
        return {place[:3] for place in known} | {each.place for each in sources}

    def _want(self, places: Iterable[AlarmPlace]) -> None:
        """Decides which alarms are wanted at these places."""
        sources = self._sources_at(places)
        for place in places:
            severity = united(found).severity if (found := sources.get(place)) else None
            self._db.execute(
                "INSERT INTO alarms (kind, entity, type, desired) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (kind, entity, type) DO UPDATE SET desired = excluded.desired, "
                # What was refused is tried again once something else is wanted.
                "refused = CASE WHEN ifnull(excluded.desired, 'CLEARED') IS refused THEN refused END",
                (*place, severity),
            )
        self._forget_settled(places)

    def _forget_settled(self, places: Iterable[AlarmPlace]) -> None:
        self._db.executemany(
            f"DELETE FROM alarms {_AT} AND desired IS NULL AND acknowledged IS NULL AND refused IS NULL", list(places)
        )

    def _derive_for_all(self, analytics: Mapping[str, bool]) -> None:
        """By analytics, whether its windows may raise alarms; those that were counted before are due, or no more."""
        for name, may_raise in analytics.items():
            self._db.execute(
                "UPDATE windows SET alarmed = 0 WHERE analytics = ? AND alarmed IS NULL"
                if may_raise
                else "UPDATE windows SET alarmed = NULL WHERE analytics = ? AND alarmed IS NOT NULL",
                (name,),
            )

    # --- which the platform has ----------------------------------------------------------------------------------

    def mark_sending(self, places: Iterable[AlarmPlace]) -> None:
        """These alarms are about to be raised, changed or cleared: until the response, nothing is known about them."""
        with self._transaction():
            self._db.executemany(f"UPDATE alarms SET acknowledged = '{UNKNOWN}' {_AT}", list(places))

    def mark_raised(self, raised: Mapping[AlarmPlace, tuple[str, str]], *, new: int) -> None:
        """The platform has these alarms, with this severity and id. `new`: how many were not active before."""
        with self._transaction():
            self._db.executemany(
                f"UPDATE alarms SET acknowledged = ?, id = ?, refused = NULL, reason = NULL {_AT}",
                [(severity, identifier, *place) for place, (severity, identifier) in raised.items()],
            )
            self._forget_settled(raised)
            self._count("alarms_raised", new)

    def mark_cleared(self, cleared: Sequence[AlarmPlace]) -> None:
        """These alarms are not active on the platform."""
        with self._transaction():
            self._db.executemany(
                f"UPDATE alarms SET acknowledged = NULL, id = NULL, refused = NULL, reason = NULL {_AT}", cleared
            )
            self._forget_settled(cleared)
            self._count("alarms_cleared", len(cleared))

    def mark_alarm_refused(self, alarm: DueAlarm, reason: str) -> None:
        """The platform will never take the alarm as it is wanted; what it has of it is as before."""
        with self._transaction():
            self._db.execute(
                f"UPDATE alarms SET acknowledged = ?, refused = ?, reason = ? {_AT}",
                (alarm.acknowledged, CLEARED if alarm.wanted is None else alarm.wanted.severity, reason, *alarm.place),
            )
            self._count("alarms_refused", 1)
