"""What can be asked of a state store, by the job that writes it and by everybody who looks at it."""

from __future__ import annotations

import json
import sqlite3
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pacifictool.analytics.state.alarms import AlarmQueries
from pacifictool.analytics.state.outcomes import KeptOutcome, OutcomeQueries
from pacifictool.analytics.state.schema import INVALID

_PAGE: Final = 1000
_LARGEST: Final = 2**63 - 1
_WINDOW: Final = (
    "SELECT w.analytics, w.group_key, w.window_end, w.count, w.state, w.delivered, "
    "o.count, o.own, o.others, o.alarms, o.failure "
)
_WITH_OUTCOME: Final = (
    "LEFT JOIN outcomes AS o ON w.evaluated IS NOT NULL AND o.analytics = w.analytics "
    "AND o.group_key = w.group_key AND o.window_end = w.window_end "
)
_DUE: Final = {
    "delivery": "ifnull(w.evaluated, w.count) <> w.delivered",
    "alarms": "w.alarmed <> ifnull(w.evaluated, w.count)",
}
"""Which windows are due for what; as in the conditions of the indices."""


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """Records of one partition, from offset `start` to before `end`."""

    partition: int
    start: int
    end: int

    @property
    def records(self) -> int:
        """How many it holds at most: offsets have gaps."""
        return self.end - self.start

    def parts(self, records: int) -> list[OffsetRange]:
        """The same in pieces of at most `records` records."""
        return [
            OffsetRange(self.partition, start, min(start + records, self.end))
            for start in range(self.start, self.end, records)
        ]


WindowPlace = tuple[str, int, int]
"""A window of an analytics in a partition: the analytics, the window's end in milliseconds, and the partition."""


@dataclass(slots=True)
class WindowState:
    """One window of one group as it stands in the store. Not frozen for the same reason as WindowResult."""

    analytics: str
    group: str
    """See windows.join_group."""
    window_end_ms: int
    count: int
    state: bytes
    """See engine.aggregates.StateLayout."""
    delivered: int
    """The version that was delivered last; 0: none."""
    outcome: KeptOutcome | None = None
    """Of the function that computes its results."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> WindowState:
        outcome = None if row[6] is None else KeptOutcome.from_row(row[6:])
        return cls(row[0], row[1], row[2], row[3], row[4], row[5], outcome)

    @property
    def version(self) -> int:
        """The count that its results stand for: a function was called before the newest records came."""
        return self.count if self.outcome is None else self.outcome.count

    @property
    def series(self) -> tuple[str, str]:
        """What its windows follow one another in: analytics and group."""
        return self.analytics, self.group


@dataclass(frozen=True, slots=True)
class InvalidRecord:
    """A record that was not counted."""

    topic: str
    partition: int
    offset: int
    reason: str
    timestamp_ms: int | None
    value: bytes | None
    replayed_ms: int | None = None
    """When it was sent to its topic again."""


@dataclass(frozen=True, slots=True)
class CountedBatch:
    """A batch that is counted."""

    number: int
    planned_ms: int
    """This machine's clock when the batch was planned, in milliseconds since the epoch."""
    done_ms: int
    records: int
    ranges: tuple[OffsetRange, ...]


class StateQueries(OutcomeQueries, AlarmQueries):
    """Reads a state store. Methods may raise StorageFull, or AggregationError when the file cannot be used."""

    @abstractmethod
    def _query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement; no lock on the file outlasts the call."""

    # --- the job -------------------------------------------------------------------------------------------------

    def state(self, name: str) -> str | None:
        """A text that the job has kept under `name`."""
        rows = self._query("SELECT value FROM state WHERE name = ?", (name,))
        return str(rows[0][0]) if rows and rows[0][0] is not None else None

    def identity_document(self) -> dict[str, Any]:
        """What the job noted of itself when it began; empty before that."""
        return dict(json.loads(self.state("identity") or "{}"))

    def starting_offsets(self) -> dict[int, int] | None:
        """By partition: the first offset that the job was to count; None before a job has begun."""
        kept = self.state("starting_offsets")
        return None if kept is None else {int(partition): int(at) for partition, at in json.loads(kept).items()}

    def counters(self) -> dict[str, int]:
        """All counters since the store was made: "valid", "batches", "posted", "corrections", "refused",
        "function_failures", "function_missing_records", "alarms_raised", "alarms_cleared", "alarms_refused",
        "invalid:<reason>"."""
        return {str(name): int(value) for name, value in self._query("SELECT name, value FROM counters")}

    @property
    def watermark_ms(self) -> int | None:
        """The newest event time counted so far."""
        return self._state_int("watermark_ms")

    @property
    def seen_at_ms(self) -> int | None:
        """This machine's clock when the watermark was seen."""
        return self._state_int("seen_at_ms")

    @property
    def arrival_ms(self) -> int | None:
        """This machine's clock when the last batch was planned."""
        return self._state_int("arrival_ms")

    def closed_until_ms(self) -> dict[str, int]:
        """By analytics: windows that end at or before this take no more records. It never falls, whatever the lateness
        is now."""
        return {str(name): int(value) for name, value in json.loads(self.state("closed_until_ms") or "{}").items()}

    # --- the topic -----------------------------------------------------------------------------------------------

    def next_offsets(self) -> dict[int, int]:
        """By partition: the offset after the last one that is counted (or known to be invalid)."""
        return {int(part): int(at) for part, at in self._query("SELECT partition, next_offset FROM partitions")}

    def newest_times(self) -> dict[int, int]:
        """By partition: the event time of its newest record counted, in milliseconds since the epoch."""
        rows = self._query("SELECT partition, newest FROM partitions WHERE newest IS NOT NULL")
        return {int(part): int(newest) for part, newest in rows}

    def batches(self) -> list[CountedBatch]:
        """The newest batches, oldest first."""
        rows = self._query("SELECT number, planned, done, records, ranges FROM batches ORDER BY number")
        return [
            CountedBatch(number, planned, done, records, tuple(_ranges(json.loads(ranges))))
            for number, planned, done, records, ranges in rows
        ]

    # --- windows -------------------------------------------------------------------------------------------------

    def due_windows(self) -> int:
        """How many (window, group) pairs are not delivered as they stand; those that a function is still to be called
        for are among them."""
        ((due,),) = self._query(
            "SELECT (SELECT count(*) FROM windows WHERE ifnull(evaluated, count) <> delivered) + "
            "(SELECT count(*) FROM windows WHERE evaluated <> count AND evaluated = delivered)"
        )
        return int(due)

    def due(
        self,
        until_ms: int | None,
        limit: int,
        after: WindowState | None = None,
        *,
        to: Literal["delivery", "alarms"] = "delivery",
    ) -> list[WindowState]:
        """Windows that end at or before `until_ms` (None: all) and whose results have not been delivered as they stand,
        or no alarms been derived from them; oldest first.

        At most `limit`, and only those after `after` in that order. Those that a function is still to be called for
        have no results.
        """
        rows = self._query(
            f"{_WINDOW} FROM windows AS w {_WITH_OUTCOME} WHERE {_DUE[to]} AND w.window_end <= ? "
            "AND (w.window_end, w.analytics, w.group_key) > (?, ?, ?) "
            "ORDER BY w.window_end, w.analytics, w.group_key LIMIT ?",
            (
                until_ms if until_ms is not None else _LARGEST,
                *((after.window_end_ms, *after.series) if after is not None else (-_LARGEST, "", "")),
                limit,
            ),
        )
        return [WindowState.from_row(row) for row in rows]

    def to_evaluate(self, analytics: str, until_ms: int | None, limit: int) -> list[WindowState]:
        """Windows that end at or before `until_ms` (None: all) and whose function has not been called for all of their
        records; the first `limit` by end and group."""
        rows = self._query(
            "SELECT analytics, group_key, window_end, count, state, delivered FROM windows "
            "WHERE evaluated <> count AND analytics = ? AND window_end <= ? ORDER BY window_end, group_key LIMIT ?",
            (analytics, until_ms if until_ms is not None else _LARGEST, limit),
        )
        return [WindowState(*row) for row in rows]

    def newest_delivered(self, before: Mapping[tuple[str, str], int | None]) -> dict[tuple[str, str], WindowState]:
        """Of each series, an analytics and a group, the newest window that has been delivered, as it stands now; of
        those that end before the given time (None: of all)."""
        wanted = [(*series, _LARGEST if end is None else end) for series, end in before.items()]
        rows = self._query(
            f"{_WINDOW} FROM json_each(?) AS wanted "
            "JOIN windows AS w ON w.analytics = wanted.value ->> 0 AND w.group_key = wanted.value ->> 1 "
            # SQLite would rather scan all windows of the analytics, as the primary key begins with it.
            "AND w.window_end = (SELECT max(window_end) FROM windows INDEXED BY windows_delivered "
            "WHERE analytics = wanted.value ->> 0 AND group_key = wanted.value ->> 1 AND delivered > 0 "
            f"AND window_end < wanted.value ->> 2) {_WITH_OUTCOME}",
            (json.dumps(wanted),),
        )
        return {found.series: found for found in map(WindowState.from_row, rows)}

    def window(self, analytics: str, group: str, window_end_ms: int) -> WindowState | None:
        """One window; None when nothing was counted into it, or when it is delivered and takes no more records."""
        rows = self._query(
            f"{_WINDOW} FROM windows AS w {_WITH_OUTCOME} "
            "WHERE w.analytics = ? AND w.window_end = ? AND w.group_key = ?",
            (analytics, window_end_ms, group),
        )
        return WindowState.from_row(rows[0]) if rows else None

    def window_offsets(self, analytics: str, window_end_ms: int) -> list[OffsetRange]:
        """Where in the topic the records of a window lie, of all its groups, so that they can be read again.

        Empty when nothing was counted into it, when it is forgotten, or when an earlier version counted it.
        """
        rows = self._query(
            "SELECT partition, first, next FROM window_offsets WHERE analytics = ? AND window_end = ? "
            "ORDER BY partition",
            (analytics, window_end_ms),
        )
        return [OffsetRange(*row) for row in rows]

    def refusal(self, analytics: str, group: str, window_end_ms: int) -> str | None:
        """Why the target will never take this window's results; None when it did not say so."""
        rows = self._query(
            "SELECT reason FROM refused WHERE analytics = ? AND window_end = ? AND group_key = ?",
            (analytics, window_end_ms, group),
        )
        return str(rows[0][0]) if rows else None

    # --- invalid records -----------------------------------------------------------------------------------------

    def invalid_counts(self) -> dict[str, int]:
        """How many records were invalid, by reason, the most frequent first."""
        counts = {
            name.removeprefix(INVALID): number
            for name, number in self.counters().items()
            if name.startswith(INVALID) and number
        }
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def invalid_at(self, topic: str, partition: int, offset: int) -> str | None:
        """Why the record at this place was not counted; None when it was, or has not been read yet."""
        rows = self._query(
            "SELECT reason FROM invalid_records WHERE topic = ? AND partition = ? AND offset = ?",
            (topic, partition, offset),
        )
        return str(rows[0][0]) if rows else None

    def invalid_offsets(self, topic: str, within: OffsetRange, *, ending: str) -> list[int]:
        """Offsets of the invalid records of a range whose reason ends so, in order."""
        rows = self._query(
            "SELECT offset FROM invalid_records WHERE topic = ? AND partition = ? AND offset >= ? AND offset < ? "
            "AND substr(reason, -length(?)) = ? ORDER BY offset",
            (topic, within.partition, within.start, within.end, ending, ending),
        )
        return [int(offset) for (offset,) in rows]

    def invalid_records(self, *, newest: int | None = None) -> Iterator[InvalidRecord]:
        """Invalid records in the order of topic, partition and offset; or the `newest` ones, newest first.

        They are read in pages, each by itself, so that a reader never holds up the job, however slow it is.
        """
        replayed = "NULL"
        if self._query("SELECT 1 FROM sqlite_master WHERE name = 'replays'"):  # an earlier version makes none
            replayed = (
                "(SELECT at FROM replays AS r WHERE r.topic = i.topic AND r.partition = i.partition "
                "AND r.offset = i.offset)"
            )
        columns = (
            f"SELECT topic, partition, offset, reason, timestamp, value, compressed, {replayed} "
            "FROM invalid_records AS i "
        )
        if newest is not None:
            rows = self._query(columns + "ORDER BY rowid DESC LIMIT ?", (newest,))
            yield from map(_invalid_record, rows)
            return
        after: tuple[object, ...] = ("", -1, -1)
        while rows := self._query(
            columns + "WHERE (topic, partition, offset) > (?, ?, ?) ORDER BY topic, partition, offset LIMIT ?",
            (*after, _PAGE),
        ):
            yield from map(_invalid_record, rows)
            after = rows[-1][:3]

    def _state_int(self, name: str) -> int | None:
        rows = self._query("SELECT value FROM state WHERE name = ?", (name,))
        return int(rows[0][0]) if rows else None


def _ranges(document: Mapping[str, Sequence[int]]) -> Iterator[OffsetRange]:
    for partition, (start, end) in document.items():
        yield OffsetRange(int(partition), int(start), int(end))


def _invalid_record(row: Sequence[Any]) -> InvalidRecord:
    topic, partition, offset, reason, timestamp, value, compressed, replayed = row
    value = zlib.decompress(value) if compressed else value
    return InvalidRecord(topic, partition, offset, reason, timestamp, value, replayed)


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another program holds a lock on the file, which passes."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
