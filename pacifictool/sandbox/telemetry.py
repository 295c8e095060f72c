"""Stored telemetry and attributes.

Telemetry is keyed by entity, key and timestamp; a second write of the same timestamp overwrites. "Latest" is what was
written last, even if its timestamp is older. Ranges exclude both bounds, and a key that mixes longs and doubles is
aggregated over its longs only, as on a 1.x server with an SQL database
(docs/servers/1.x.md#telemetry-over-rest, rows 13, 16 and 18).
"""

from __future__ import annotations

from typing import Any

from pacifictool.sandbox.store import Store
from pacifictool.sandbox.values import JsonText, Value, Values, java_text

AGGREGATIONS = ("NONE", "AVG", "MIN", "MAX", "SUM", "COUNT")

_TYPE_LETTER: dict[type, str] = {int: "l", float: "d", str: "s", bool: "b", JsonText: "j"}


def stored_value(letter: str, stored: Any) -> Value:
    """A value as it was before it was stored under its type's letter."""
    if letter == "b":
        return bool(stored)
    if letter == "d":
        return float(stored)
    if letter == "j":
        return JsonText(stored)
    value: Value = stored
    return value


class TelemetryStore:
    """Time series of entities (`born` numbers, see entities). Rows are buffered until the next read or commit."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._readings: list[tuple[int, str, int, str, Value]] = []
        store.before_commit(self._write_out)

    def add(self, entity: int, timestamp: int, values: Values) -> None:
        """Adds one reading; `store.after_commit` calls back once it is stored."""
        readings = self._readings
        for key, value in values.items():
            readings.append((entity, key, timestamp, _TYPE_LETTER[type(value)], value))

    def _write_out(self) -> None:
        if not self._readings:
            return
        rows, self._readings = self._readings, []
        self._store.write_many("INSERT OR REPLACE INTO reading VALUES (?, ?, ?, ?, ?)", rows)
        self._keep_latest(rows)

    def _keep_latest(self, rows: list[tuple[int, str, int, str, Value]]) -> None:
        newest = {(row[0], row[1]): row for row in rows}
        self._store.write_many("INSERT OR REPLACE INTO latest VALUES (?, ?, ?, ?, ?)", newest.values())

    def forget(self, entity: int) -> None:
        """Drops rows of a deleted entity that are still buffered."""
        self._readings = [row for row in self._readings if row[0] != entity]

    def keys(self, entity: int) -> list[str]:
        self._write_out()
        return [row[0] for row in self._store.rows("SELECT key FROM latest WHERE entity = ? ORDER BY key", (entity,))]

    def latest(self, entity: int, key: str) -> tuple[int, str] | None:
        """Timestamp and printed value of what was written last."""
        self._write_out()
        row = self._store.row("SELECT ts, type, value FROM latest WHERE entity = ? AND key = ?", (entity, key))
        return None if row is None else (row[0], java_text(stored_value(row[1], row[2])))

    def range(self, entity: int, key: str, start: int, end: int, limit: int) -> list[tuple[int, str]]:
        """Raw values with start < ts < end, newest first."""
        self._write_out()
        rows = self._store.rows(
            "SELECT ts, type, value FROM reading WHERE entity = ? AND key = ? AND ts > ? AND ts < ?"
            " ORDER BY ts DESC LIMIT ?",
            (entity, key, start, end, limit),
        )
        return [(row[0], java_text(stored_value(row[1], row[2]))) for row in rows]

    def aggregate(
        self, entity: int, key: str, start: int, end: int, interval: int, aggregation: str
    ) -> list[tuple[int, str]]:
        """One value per bucket of `interval` ms that is not empty, at the middle of the bucket; oldest first.

        Every bucket excludes both its bounds, and the last one keeps its length even if it passes `end`.
        """
        self._write_out()
        end_of_last = min(start + -(-(end - start) // interval) * interval, 2**63 - 1)
        buckets: dict[int, list[tuple[str, Any]]] = {}
        for timestamp, letter, stored in self._store.rows(
            "SELECT ts, type, value FROM reading WHERE entity = ? AND key = ? AND ts > ? AND ts < ? ORDER BY ts",
            (entity, key, start, end_of_last),
        ):
            bucket, offset = divmod(timestamp - start, interval)
            if offset:
                buckets.setdefault(bucket, []).append((letter, stored))
        found = []
        for bucket, rows in buckets.items():
            text = _aggregate(rows, aggregation)
            if text is not None:
                found.append((start + bucket * interval + interval // 2, text))
        return found


def _aggregate(rows: list[tuple[str, Any]], aggregation: str) -> str | None:
    by_type: dict[str, list[Any]] = {}
    for letter, stored in rows:
        by_type.setdefault(letter, []).append(stored)
    for letter in ("l", "d", "b", "s"):
        values = by_type.get(letter)
        if not values:
            continue
        if aggregation == "COUNT":
            return str(len(values))
        if aggregation in ("MIN", "MAX"):
            extreme = min(values) if aggregation == "MIN" else max(values)
            return java_text(stored_value(letter, extreme))
        if letter in "sb":
            return None
        total = sum(values)
        if aggregation == "SUM":
            return java_text(stored_value(letter, total))
        # The mean of longs is truncated, like SQL's AVG of an integer column on that server.
        return str(int(total / len(values))) if letter == "l" else java_text(total / len(values))
    return None


class AttributeStore:
    """Attributes of entities by scope (CLIENT_SCOPE, SERVER_SCOPE, SHARED_SCOPE)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, entity: int, scope: str, values: Values, now_ms: int) -> None:
        self._store.write_many(
            "INSERT OR REPLACE INTO attribute VALUES (?, ?, ?, ?, ?, ?)",
            [(entity, scope, key, _TYPE_LETTER[type(value)], value, now_ms) for key, value in values.items()],
        )

    def delete(self, entity: int, scope: str, keys: list[str]) -> None:
        for key in keys:
            self._store.write("DELETE FROM attribute WHERE entity = ? AND scope = ? AND key = ?", (entity, scope, key))

    def get(self, entity: int, scope: str | None = None) -> list[tuple[str, Value, int]]:
        """(key, value, last update in ms) of one scope, or of all, sorted by key."""
        rows = self._store.rows(
            "SELECT key, type, value, updated FROM attribute WHERE entity = ? AND (? IS NULL OR scope = ?)"
            " ORDER BY key, scope",
            (entity, scope, scope),
        )
        return [(row[0], stored_value(row[1], row[2]), row[3]) for row in rows]

    def values(self, entity: int, scope: str) -> Values:
        """The attributes of one scope as a mapping."""
        return {key: value for key, value, _ in self.get(entity, scope)}
