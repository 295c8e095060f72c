"""Telemetry as 4.x stores it: "latest" is the newest timestamp; ranges include their start and exclude their end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pacifictool.sandbox.telemetry import TelemetryStore, stored_value
from pacifictool.sandbox.values import Value

Point = tuple[int, Value]


class TelemetryStore4(TelemetryStore):
    """Values keep their types until REST prints them."""

    def _keep_latest(self, rows: list[tuple[int, str, int, str, Value]]) -> None:
        self._store.write_many(
            "INSERT INTO latest VALUES (?, ?, ?, ?, ?) ON CONFLICT (entity, key) DO UPDATE"
            " SET ts = excluded.ts, type = excluded.type, value = excluded.value WHERE excluded.ts >= ts",
            rows,
        )

    def latest_value(self, entity: int, key: str) -> Point | None:
        """The value with the newest timestamp."""
        self._write_out()
        row = self._store.row("SELECT ts, type, value FROM latest WHERE entity = ? AND key = ?", (entity, key))
        return None if row is None else (row[0], stored_value(row[1], row[2]))

    def latest_of(self, entities: Sequence[int], key: str) -> dict[int, Point]:
        """The value with the newest timestamp of each entity that has one."""
        self._write_out()
        rows = self._store.rows(
            "SELECT entity, ts, type, value FROM latest WHERE key = ? AND entity IN (SELECT value FROM json_each(?))",
            (key, json.dumps(entities)),
        )
        return {row[0]: (row[1], stored_value(row[2], row[3])) for row in rows}

    def values(
        self, entity: int, key: str, start: int, end: int, limit: int | None, *, ascending: bool = False
    ) -> list[Point]:
        """Values with start <= ts < end."""
        self._write_out()
        order = "ASC" if ascending else "DESC"
        rows = self._store.rows(
            "SELECT ts, type, value FROM reading WHERE entity = ? AND key = ? AND ts >= ? AND ts < ?"  # noqa: S608 - constants
            f" ORDER BY ts {order} LIMIT ?",
            (entity, key, start, end, -1 if limit is None else limit),
        )
        return [(row[0], stored_value(row[1], row[2])) for row in rows]

    def buckets(self, entity: int, key: str, start: int, end: int, interval: int, aggregation: str) -> list[Point]:
        """One value per bucket of `interval` ms that is not empty, at the middle of the bucket; oldest first."""
        found: dict[int, list[Value]] = {}
        for timestamp, value in self.values(entity, key, start, end, None, ascending=True):
            found.setdefault((timestamp - start) // interval, []).append(value)
        points = []
        for bucket, values in found.items():
            aggregated = _aggregate(values, aggregation)
            if aggregated is not None:
                begin = start + bucket * interval
                points.append((begin + (min(begin + interval, end) - begin) // 2, aggregated))
        return points

    def delete_range(self, entity: int, key: str, start: int, end: int) -> None:
        """Removes values with start <= ts < end, and the latest one if it is among them."""
        self._write_out()
        for table in ("reading", "latest"):
            self._store.write(
                f"DELETE FROM {table} WHERE entity = ? AND key = ? AND ts >= ? AND ts < ?",  # noqa: S608 - two constants
                (entity, key, start, end),
            )

    def delete_key(self, entity: int, key: str) -> None:
        """Removes a key with all its values."""
        self._write_out()
        for table in ("reading", "latest"):
            self._store.write(f"DELETE FROM {table} WHERE entity = ? AND key = ?", (entity, key))  # noqa: S608 - two constants


def _aggregate(values: list[Value], aggregation: str) -> Value | None:
    if aggregation == "COUNT":
        return len(values)
    numbers: list[Any] = [value for value in values if type(value) in (int, float)]
    if aggregation in ("MIN", "MAX"):
        extreme = min if aggregation == "MIN" else max
        if numbers:
            chosen: Value = extreme(numbers)
            return chosen
        texts = [value for value in values if isinstance(value, str)]
        return extreme(texts) if texts else None
    if not numbers:
        return None
    total: Value = sum(numbers)
    return total if aggregation == "SUM" else total / len(numbers)  # type: ignore[operator]
