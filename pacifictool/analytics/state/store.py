"""The state store: what has been counted and what has been delivered, in one SQLite file of the job's folder.

It is the only truth about both. Whatever survives a power cut is a state in which the job once was: the offsets to go
on from, the sums of everything before them, and what the target has acknowledged.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from pacifictool.analytics.engine.aggregates import StateLayout
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.state import migration
from pacifictool.analytics.state.queries import (
    InvalidRecord,
    OffsetRange,
    StateQueries,
    WindowPlace,
    WindowState,
    is_locked,
)
from pacifictool.analytics.state.schema import INVALID, KEPT_BATCHES, TABLES, VERSION
from pacifictool.analytics.windows import PartialAggregate
from pacifictool.errors import AggregationError, StorageFull
from pacifictool.progress import SILENT, Reporter
from pacifictool.runtime.cache import FULL

COMPRESS_BEYOND: Final = 1024
"""Values of invalid records longer than this many bytes are kept compressed."""
_LOCK_SECONDS: Final = 0.5
_PROBE_BYTES: Final = 65_536

Found = TypeVar("Found")


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


class StateStore(StateQueries):
    """Opened once per job, by the holder of the folder's lock. Thread-safe.

    Every method may raise StorageFull, or AggregationError when the file cannot be used. While another program holds a
    lock on the file, they wait, and say so once.
    """

    def __init__(
        self,
        path: Path,
        rules: RecordRules,
        *,
        gives_up: Callable[[], bool] = lambda: False,
        reporter: Reporter = SILENT,
    ) -> None:
        """Creates the file when missing. Waits for locks end with AggregationError once `gives_up` returns True."""
        self.path = path
        self._rules = rules
        self._layouts = {each.name: StateLayout(each) for each in rules.analytics}
        self._gives_up = gives_up
        self._reporter = reporter
        self._lock = threading.RLock()
        # SQLite gives its files next to the store the same access.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        with self._translated():
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=_LOCK_SECONDS)
            self._while_locked(self._open)

    def _open(self) -> None:
        # With a write-ahead log, readers do not hold up the job, nor it them. FULL: a transaction that has ended is on
        # the disk.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.create_function("merged", 3, self._merged, deterministic=True)
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 2:
            with self._transaction():
                migration.upgrade(self._db, self._rules)
        elif version == 0:
            with self._transaction():
                for statement in TABLES.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {VERSION}")
        elif version != VERSION:
            raise AggregationError(
                f"{self.path} was written by another version of pacifictool (format {version}, not {VERSION}).",
                hint="Go on with that version, or start again with another --checkpoint folder.",
            )
        sync_folder(self.path.parent)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # --- what the job keeps --------------------------------------------------------------------------------------

    def set_identity(self, identity: Mapping[str, Any]) -> None:
        """Keeps what the job is, for its later runs to compare with."""
        with self._transaction():
            self._set("identity", json.dumps(identity, sort_keys=True))

    def set_starting_offsets(self, offsets: Mapping[int, int]) -> None:
        """Keeps where the job begins, so that a start that comes to nothing does not move it."""
        with self._transaction():
            self._set("starting_offsets", json.dumps({str(part): at for part, at in sorted(offsets.items())}))

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
            self._add_invalid(batch.invalid)
            self._note_batch(number, batch)
            self._note_time(batch)
            self._count("batches", 1)
            self._count("valid", batch.valid)
        return number

    def _add_partials(self, partials: Sequence[PartialAggregate]) -> None:
        self._db.executemany(
            "INSERT INTO windows (analytics, window_end, group_key, count, state) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (analytics, window_end, group_key) DO UPDATE "
            "SET count = count + excluded.count, state = merged(analytics, state, excluded.state)",
            [(part.analytics, part.window_end_ms, part.group, part.count, part.state) for part in partials],
        )

    def _merged(self, analytics: str, one: bytes, other: bytes) -> bytes:
        return self._layouts[analytics].merge(one, other)

    def _add_invalid(self, records: Sequence[InvalidRecord]) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO invalid_records VALUES (?, ?, ?, ?, ?, ?, ?, ?)", map(_invalid_row, records)
        )
        for reason, number in Counter(record.reason for record in records).items():
            self._count(f"{INVALID}{reason}", number)

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
            if not posted:
                self._update_delivered(delivered)
                return
            keys = [(window.analytics, window.window_end_ms, window.group) for window in delivered]
            ((corrections,),) = self._db.execute(
                "SELECT count(*) FROM json_each(?) AS done JOIN windows ON analytics = done.value ->> 0 "
                "AND window_end = done.value ->> 1 AND group_key = done.value ->> 2 WHERE delivered > 0",
                (json.dumps(keys),),
            )
            self._update_delivered(delivered)
            self._count("posted", len(delivered))
            self._count("corrections", corrections)

    def mark_refused(self, refused: Sequence[WindowState], reason: str) -> None:
        """The target will never take these windows, for this reason."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?, ?)",
                [(each.analytics, each.window_end_ms, each.group, each.count, reason) for each in refused],
            )
            self._update_delivered(refused)
            self._count("refused", len(refused))

    def _update_delivered(self, windows: Sequence[WindowState]) -> None:
        self._db.executemany(
            "UPDATE windows SET delivered = ? WHERE analytics = ? AND window_end = ? AND group_key = ?",
            [(window.count, window.analytics, window.window_end_ms, window.group) for window in windows],
        )

    def forget_closed(self) -> int:
        """Drops windows that are delivered and closed. Returns how many.

        Those of a group with something left to deliver stay: after an older window its newest one is posted again.
        """
        dropped = 0
        with self._transaction():
            for closed in self.closed_until_ms().items():  # the name of an analytics, and until when
                dropped += self._db.execute(
                    "DELETE FROM windows WHERE analytics = ?1 AND count = delivered AND window_end <= ?2 AND group_key "
                    "NOT IN (SELECT group_key FROM windows WHERE analytics = ?1 AND count <> delivered "
                    "AND window_end <= ?2)",
                    closed,
                ).rowcount
                self._db.execute(
                    "DELETE FROM window_offsets AS o WHERE analytics = ?1 AND window_end <= ?2 AND NOT EXISTS "
                    "(SELECT 1 FROM windows AS w WHERE w.analytics = ?1 AND w.window_end = o.window_end)",
                    closed,
                )
        return dropped

    # --- inside --------------------------------------------------------------------------------------------------

    def _set(self, name: str, value: str | int) -> None:
        self._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))

    def _count(self, name: str, number: int) -> None:
        if number:
            self._db.execute(
                "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                (name, number),
            )

    def _query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._lock, self._translated():
            return self._while_locked(lambda: self._db.execute(sql, parameters).fetchall())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, self._translated():
            self._while_locked(lambda: self._db.execute("BEGIN IMMEDIATE"))
            try:
                yield
                self._while_locked(lambda: self._db.execute("COMMIT"))
            except BaseException:
                # A full disk may have ended the transaction already.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _while_locked(self, attempt: Callable[[], Found]) -> Found:
        """What `attempt` returns, as soon as nobody else holds the lock that it needs."""
        since = time.monotonic()
        reported = False
        while True:
            try:
                found = attempt()
            except sqlite3.OperationalError as error:
                if not is_locked(error) or self._gives_up():
                    raise
                if not reported:
                    reported = True
                    self._reporter.warning(f"Another program has locked {self.path}. Waiting for it to let go.")
                continue
            if reported:
                self._reporter.info(f"{self.path} is free again after {time.monotonic() - since:.0f} s.")
            return found

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise unusable(self.path, error) from error


def unusable(path: Path, error: sqlite3.Error) -> AggregationError | StorageFull:
    """The error for a state store that SQLite cannot work with."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or _takes_no_more(path):
        return StorageFull(
            f"No space is left for the job's state store {path}.",
            hint="Free some space and start again: the job goes on where it stopped.",
        )
    return AggregationError(
        f"The job's state store {path} cannot be used: {error}.",
        hint="Check the folder given with --checkpoint, or start again with another one.",
    )


def sync_folder(folder: Path) -> None:
    """Makes the names of the files in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _takes_no_more(path: Path) -> bool:
    """Whether nothing can be written for want of space: SQLite calls a spent quota or limit an input/output error."""
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            # A limit on the size of files has to be met where the store's own files are.
            probe.seek(max(file.stat().st_size for file in path.parent.glob(f"{path.name}*")))
            probe.write(bytes(_PROBE_BYTES))
    except OSError as error:
        return error.errno in FULL
    return False


def _invalid_row(record: InvalidRecord) -> tuple[object, ...]:
    value, compressed = record.value, False
    if value is not None and len(value) > COMPRESS_BEYOND:
        value, compressed = zlib.compress(value), True
    size = None if record.value is None else len(record.value)
    return (
        record.topic, record.partition, record.offset, record.reason, record.timestamp_ms, size, value, compressed,
    )  # fmt: skip
