"""Keeps the outcomes of functions."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from pacifictool.analytics.state.database import StateDatabase
from pacifictool.analytics.state.outcomes import KeptOutcome
from pacifictool.analytics.state.schema import KEPT_FAILURES


@dataclass(frozen=True, slots=True)
class WindowOutcome:
    """What a function gave for a window."""

    analytics: str
    group: str
    window_end_ms: int
    outcome: KeptOutcome
    traceback: str | None = None
    """When it raised."""


class OutcomeStore(StateDatabase):
    """The state store as far as functions are concerned."""

    def keep_outcomes(self, outcomes: Sequence[WindowOutcome], *, missing: int = 0) -> None:
        """Keeps what functions gave, in place of what they gave before: from now on it is to be delivered.

        `missing`: how many records did not reach them.

        Raises ValueError or TypeError, and keeps nothing, when something cannot be JSON.
        """
        rows = [((each.analytics, each.group, each.window_end_ms), each.outcome.as_row()) for each in outcomes]
        failed = [each for each in outcomes if each.outcome.failure is not None]
        at_ms = round(time.time() * 1000)
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [key + row for key, row in rows]
            )
            self._db.executemany(
                "UPDATE windows SET evaluated = ?4 WHERE analytics = ?1 AND group_key = ?2 AND window_end = ?3",
                [(*key, row[0]) for key, row in rows],
            )
            self._db.executemany(
                "INSERT INTO function_failures (analytics, group_key, window_end, count, at, failure, traceback) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (each.analytics, each.group, each.window_end_ms, each.outcome.count, at_ms, each.outcome.failure,
                     each.traceback)
                    for each in failed
                ],
            )  # fmt: skip
            if failed:
                self._db.execute(
                    "DELETE FROM function_failures WHERE number <= (SELECT max(number) FROM function_failures) - ?",
                    (KEPT_FAILURES,),
                )
            self._count("function_failures", len(failed))
            self._count("function_missing_records", missing)

    def _call_for_all(self, analytics: Iterable[str]) -> None:
        """Makes windows that an earlier version counted, or delivered without results, due for their functions."""
        for name in analytics:
            self._db.execute(
                "UPDATE windows SET evaluated = 0, delivered = 0 WHERE analytics = ? AND evaluated IS NULL", (name,)
            )

    def _forget_outcomes(self, analytics: str, groups: Collection[str], keep: int) -> None:
        """Drops the outcomes of windows that are forgotten, except the newest `keep` with results of each group."""
        self._db.execute(
            "DELETE FROM outcomes AS o WHERE analytics = ?1 AND group_key IN (SELECT value FROM json_each(?2)) "
            "AND NOT EXISTS (SELECT 1 FROM windows AS w WHERE w.analytics = o.analytics "
            "AND w.window_end = o.window_end AND w.group_key = o.group_key) AND (?3 = 0 OR o.own IS NULL OR "
            "o.window_end < (SELECT window_end FROM outcomes WHERE analytics = o.analytics "
            "AND group_key = o.group_key AND own IS NOT NULL ORDER BY window_end DESC LIMIT 1 OFFSET ?3 - 1))",
            (analytics, json.dumps(list(groups)), keep),
        )
