"""The state store: what has been counted and what has been delivered, in one SQLite file of the job's folder.

It is the only truth about both. Whatever survives a power cut is a state in which the job once was: the offsets to go
on from, the sums of everything before them, and what the target has acknowledged.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any

from pacifictool.analytics.state.alarm_store import AlarmStore
from pacifictool.analytics.state.invalid_store import InvalidStore
from pacifictool.analytics.state.outcome_store import OutcomeStore
from pacifictool.analytics.state.queries import InvalidRecord, OffsetRange, WindowPlace, WindowState
from pacifictool.analytics.state.schema import KEPT_BATCHES, KEPT_REFUSALS
from pacifictool.analytics.windows import PartialAggregate
from pacifictool.errors import AggregationError


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """Everything that applying one batch changes."""

    ranges: Sequence[OffsetRange]
    """What was read, a partition once."""
    partials: Sequence[PartialAggregate]
    valid: int
    """Number of records without any fault."""
    invalid: Sequence[InvalidRecord] = ()
    spans: Mapping[WindowPlace, OffsetRange] = field(default_factory=dict)
    """By window and partition: where its records lie."""
    newest_ms: Mapping[int, int] = field(default_factory=dict)
    """By partition: the newest event time among its records that were counted."""
    watermark_ms: int | None = None
    """The newest event time of the batch."""
    closed_until_ms: Mapping[str, int] = field(default_factory=dict)
    """By analytics: windows that end at or before this take no more records from now on."""
    planned_ms: int = 0
    """This machine's clock when the batch was planned."""
    done_ms: int = 0

    @property
    def records(self) -> int:
        """How many records the batch held."""
        return self.valid + len(self.invalid)


class StateStore(OutcomeStore, AlarmStore, InvalidStore):
    """Opened once per job, by the holder of the folder's lock. Thread-safe; see StateDatabase."""

    _delivered_until_ms: Mapping[str, int] | None = None

    # --- what the job keeps --------------------------------------------------------------------------------------

    def set_identity(self, identity: Mapping[str, Any]) -> None:
        """Keeps what the job is, for its later runs to compare with."""
        with self._transaction():
            self._set("identity", json.dumps(identity, sort_keys=True))

    def set_starting_offsets(self, offsets: Mapping[int, int]) -> None:
        """Keeps where the job begins, so that a start that comes to nothing does not move it."""
        with self._transaction():
            self._set("starting_offsets", json.dumps({str(part): at for part, at in sorted(offsets.items())}))

    def begin(self) -> None:
        """Prepares the windows that are there for what is computed now: functions and alarms."""
        rules = self._rules
        with self._transaction():
            self._call_for_all(each.name for each in rules.functions)
            self._derive_for_all({each.name: rules.may_raise(each) for each in rules.analytics})

    # --- counting ------------------------------------------------------------------------------------------------

    def apply(self, batch: BatchOutcome) -> int:
        """Counts a batch, in one transaction. Returns its number.

        Raises AggregationError when it does not begin where the store ends: counting it would lose or double records.
        """
        with self._transaction():
            at = self.next_offsets()
            gaps = [each for each in batch.ranges if at.get(each.partition, each.start) != each.start]
            if gaps:
                raise AggregationError(
                    f"A batch from offset {gaps[0].start} of partition {gaps[0].partition} does not follow what is "
                    f"counted (up to {at[gaps[0].partition]}).",
                    hint="Start the job again; it goes on from its state store.",
                )
            number = self._state_int("last_batch") or 0
            number += 1
            self._set("last_batch", number)
            self._db.executemany(
                "INSERT INTO partitions VALUES (?, ?, ?) ON CONFLICT (partition) DO UPDATE "
                "SET next_offset = excluded.next_offset, "
                "newest = max(ifnull(newest, 0), ifnull(excluded.newest, newest))",
                [(each.partition, each.end, batch.newest_ms.get(each.partition)) for each in batch.ranges],
            )
            self._add_partials(batch.partials)
            self._db.executemany(
                "INSERT INTO window_offsets VALUES (?, ?, ?, ?, ?) ON CONFLICT (analytics, window_end, partition) "
                "DO UPDATE SET first = min(first, excluded.first), next = max(next, excluded.next)",
                [(*place, span.start, span.end) for place, span in batch.spans.items()],
            )
            self._add_invalid(batch.invalid, batch.done_ms)
            self._note_batch(number, batch)
            self._note_time(batch)
            self._count("batches", 1)
            self._count("valid", batch.valid)
        return number

    def _add_partials(self, partials: Sequence[PartialAggregate]) -> None:
        rules = self._rules
        # 0: neither has its function been called, nor have alarms been derived from it.
        evaluated = dict.fromkeys((each.name for each in rules.functions), "0")
        alarmed = {each.name: "0" for each in rules.analytics if rules.may_raise(each)}
        for analytics, some in groupby(partials, key=attrgetter("analytics")):
            self._db.executemany(
                "INSERT INTO windows (analytics, group_key, window_end, count, state, evaluated, alarmed) "
                f"VALUES (?, ?, ?, ?, ?, {evaluated.get(analytics, 'NULL')}, {alarmed.get(analytics, 'NULL')}) "
                "ON CONFLICT (analytics, window_end, group_key) DO UPDATE "
                "SET count = count + excluded.count, state = merged(analytics, state, excluded.state)",
                some,
            )

    def _note_batch(self, number: int, batch: BatchOutcome) -> None:
        ranges = json.dumps({str(each.partition): [each.start, each.end] for each in batch.ranges})
        self._db.execute(
            "INSERT INTO batches VALUES (?, ?, ?, ?, ?)",
            (number, batch.planned_ms, batch.done_ms, batch.records, ranges),
        )
        self._db.execute("DELETE FROM batches WHERE number <= ?", (number - KEPT_BATCHES,))

    def _note_time(self, batch: BatchOutcome) -> None:
        self._set("arrival_ms", max(batch.planned_ms, self.arrival_ms or 0))
        newest = batch.watermark_ms
        if newest is not None and newest > (self.watermark_ms or -1):
            self._set("watermark_ms", newest)
            self._set("seen_at_ms", batch.planned_ms)
        closed = self.closed_until_ms()
        self._set(
            "closed_until_ms",
            json.dumps(
                closed | {name: max(until, closed.get(name, 0)) for name, until in batch.closed_until_ms.items()}
            ),
        )

    # --- delivering ----------------------------------------------------------------------------------------------

    def mark_delivered(self, delivered: Sequence[WindowState], *, posted: bool = True) -> None:
        """The target has acknowledged these windows, as they stood when they were read; or, unless `posted`, there was
        nothing to post of them."""
        with self._transaction():
            self._update_delivered(delivered)
            if posted:
                self._count("posted", len(delivered))
                self._count("corrections", sum(window.delivered > 0 for window in delivered))

    def mark_refused(self, refused: Sequence[WindowState], reason: str) -> None:
        """The target will never take these windows, for this reason."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?, ?)",
                [(each.analytics, each.window_end_ms, each.group, each.version, reason) for each in refused],
            )
            self._db.execute(
                "DELETE FROM refused WHERE window_end < "
                "(SELECT window_end FROM refused ORDER BY window_end DESC LIMIT 1 OFFSET ?)",
                (KEPT_REFUSALS,),
            )
            self._update_delivered(refused)
            self._count("refused", len(refused))

    def delivered_until_ms(self) -> Mapping[str, int]:
        """By analytics: the end of the newest window that was delivered and is not forgotten, or a later time."""
        with self._lock:
            if self._delivered_until_ms is None:
                self._delivered_until_ms = dict(
                    self._query("SELECT analytics, max(window_end) FROM windows WHERE delivered > 0 GROUP BY analytics")
                )
            return self._delivered_until_ms

    def _update_delivered(self, windows: Sequence[WindowState]) -> None:
        closed, until = self.closed_until_ms(), dict(self.delivered_until_ms())
        by_end: dict[tuple[int, str], list[WindowState]] = defaultdict(list)
        for window in windows:
            by_end[window.window_end_ms, window.analytics].append(window)
        for (end_ms, analytics), some in sorted(by_end.items()):
            if end_ms <= closed.get(analytics, 0) and self._forget_delivered(analytics, end_ms, some):
                continue
            self._db.executemany(
                "UPDATE windows SET delivered = ? WHERE analytics = ? AND window_end = ? AND group_key = ?",
                [(window.version, analytics, end_ms, window.group) for window in some],
            )
            until[analytics] = max(end_ms, until.get(analytics, 0))
        self._delivered_until_ms = until

    def _forget_delivered(self, analytics: str, end_ms: int, windows: Sequence[WindowState]) -> bool:
        """Drops windows that have just been delivered, take no more records and are not needed any more: nothing older
        is left to deliver, after which they would be posted again. Writing them would cost four times as much, row by
        row. Returns False, having done nothing, when that is not so, or when others are between them; `forget_closed`
        drops them later."""
        older_is_due = self._query(
            "SELECT 1 FROM windows WHERE ifnull(evaluated, count) <> delivered AND analytics = ? AND window_end < ? "
            "LIMIT 1",
            (analytics, end_ms),
        )
        if older_is_due:
            return False
        groups = [window.group for window in windows]
        them = (
            "FROM windows WHERE analytics = ? AND window_end = ? AND group_key BETWEEN ? AND ? "
            "AND evaluated IS NULL AND alarmed IS NULL"
        )
        values = analytics, end_ms, min(groups), max(groups)
        # Counts only grow: with the same total, each is as it was delivered.
        if self._query(f"SELECT count(*), sum(count) {them}", values) != [
            (len(windows), sum(window.count for window in windows))
        ]:
            return False
        self._db.execute(f"DELETE {them}", values)
        return True

    def forget_closed(self) -> int:
        """Drops windows that are closed and delivered, and that alarms are derived from. Returns how many.

        Those of a group with something left to deliver stay: after an older window its newest one is posted again. So
        do the last outcomes of a function that needs them for later windows.
        """
        dropped = 0
        history = {each.name: each.history for each in self._rules.functions}
        with self._transaction():
            for name, until_ms in self.closed_until_ms().items():
                closed = (name, until_ms)
                groups = self._db.execute(
                    "DELETE FROM windows WHERE analytics = ?1 AND count = delivered AND ifnull(alarmed, count) = count "
                    "AND window_end <= ?2 AND group_key NOT IN (SELECT group_key FROM windows "
                    "WHERE analytics = ?1 AND count <> delivered AND window_end <= ?2) RETURNING group_key",
                    closed,
                ).fetchall()
                dropped += len(groups)
                self._db.execute(
                    "DELETE FROM window_offsets AS o WHERE analytics = ?1 AND window_end <= ?2 AND NOT EXISTS "
                    "(SELECT 1 FROM windows AS w WHERE w.analytics = ?1 AND w.window_end = o.window_end)",
                    closed,
                )
                if name in history and groups:
                    self._forget_outcomes(name, {group for (group,) in groups}, history[name])
        return dropped
