"""The ledger: what has been counted and what has been delivered, in one SQLite file of the job's folder.

Spark's checkpoint says which offsets a batch holds; the ledger says which batches are counted. One transaction
applies a batch, so that a batch which Spark repeats after a crash is recognised by its number. `windows.delivered`
is the count that the platform has acknowledged: a window is due again whenever `count` has grown beyond it.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from pacifictool.aggregation.windows import PartialSum
from pacifictool.errors import AggregationError, StorageFull
from pacifictool.runtime.cache import FULL

SCHEMA_VERSION = 1
COMPRESS_BEYOND = 1024
"""Values of rejects longer than this many bytes are kept compressed."""
_CHUNK = 500
_PROBE_BYTES = 65_536

_SCHEMA = """
CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE windows (
    window_end INTEGER NOT NULL,
    zone TEXT NOT NULL,
    count INTEGER NOT NULL,
    total TEXT NOT NULL,              -- sum of the values in units of 1e-9, beyond 64 bits
    delivered INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (window_end, zone)
) WITHOUT ROWID;
CREATE INDEX windows_by_zone ON windows (zone, window_end) WHERE delivered > 0;
CREATE INDEX windows_due ON windows (window_end) WHERE count <> delivered;
CREATE TABLE refused (
    window_end INTEGER NOT NULL,
    zone TEXT NOT NULL,
    count INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (window_end, zone)
) WITHOUT ROWID;
CREATE TABLE rejects (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    reason TEXT NOT NULL,
    stamp_ms INTEGER,                 -- the record's time stamp, if it had one
    size INTEGER,                     -- bytes; NULL for a record without value
    value BLOB,
    compressed INTEGER NOT NULL,
    PRIMARY KEY (topic, partition, offset)
);
"""


@dataclass(frozen=True, slots=True)
class WindowTotal:
    """One window of one zone as it stands in the ledger."""

    zone: str
    window_end_ms: int
    count: int
    total: int
    delivered: int


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that was not counted."""

    topic: str
    partition: int
    offset: int
    reason: str
    stamp_ms: int | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """Everything that applying one batch changes."""

    batch_id: int
    sums: Sequence[PartialSum]
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Number of rejects by reason."""
    newest_ms: int | None = None
    """The newest event time among the records that were counted."""
    seen_at_ms: int = 0
    """This machine's clock when the batch was planned."""


class Ledger:
    """Opened once per job, by the holder of the folder's lock. Thread-safe.

    Every method may raise StorageFull, or AggregationError when the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        with self._translated():
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
            # A rollback journal, not a write-ahead log: the folder may lie on shared storage.
            self._db.execute("PRAGMA journal_mode = TRUNCATE")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.create_function("exact_add", 2, _exact_add, deterministic=True)
            self._create_or_check()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # --- what is known -------------------------------------------------------------------------------------------

    @property
    def last_batch_id(self) -> int | None:
        """The newest batch that has been applied."""
        return self._state_int("last_batch_id")

    @property
    def watermark_ms(self) -> int | None:
        """The newest event time counted so far."""
        return self._state_int("watermark_ms")

    @property
    def seen_at_ms(self) -> int | None:
        """This machine's clock when the watermark was seen."""
        return self._state_int("seen_at_ms")

    @property
    def sealed_until_ms(self) -> int | None:
        """Windows that end at or before this take no more records. It never falls, whatever the lateness is now."""
        return self._state_int("sealed_until_ms")

    def state(self, name: str) -> str | None:
        """A text that the job has put aside under `name`."""
        rows = self._query("SELECT value FROM state WHERE name = ?", (name,))
        return str(rows[0][0]) if rows and rows[0][0] is not None else None

    def set_state(self, name: str, value: str) -> None:
        with self._transaction():
            self._set(name, value)

    def counters(self) -> dict[str, int]:
        """All counters since the ledger was made: "valid", "batches", "posted", "corrections", "reject:<reason>"."""
        return {str(name): int(value) for name, value in self._query("SELECT name, value FROM counters")}

    def count_windows(self) -> tuple[int, int]:
        """How many (window, zone) pairs are kept, and how many of them are not delivered as they stand."""
        ((kept, due),) = self._query("SELECT count(*), count(*) FILTER (WHERE count <> delivered) FROM windows")
        return int(kept), int(due)

    # --- counting ------------------------------------------------------------------------------------------------

    def add_rejects(self, rejects: Iterable[Reject]) -> int:
        """Keeps rejects; those already kept are left as they are. Returns how many were given. Bounded memory."""
        given = 0
        iterator = iter(rejects)
        while chunk := list(islice(iterator, _CHUNK)):
            with self._transaction():
                self._db.executemany(
                    "INSERT OR IGNORE INTO rejects VALUES (?, ?, ?, ?, ?, ?, ?, ?)", map(_reject_row, chunk)
                )
            given += len(chunk)
        return given

    def apply(self, batch: BatchOutcome, *, lateness_ms: int) -> bool:
        """Counts a batch, in one transaction. False: it was applied before, and nothing was changed."""
        with self._transaction():
            last = self.last_batch_id
            if last is not None and batch.batch_id <= last:
                return False
            self._db.executemany(
                "INSERT INTO windows (window_end, zone, count, total) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (window_end, zone) DO UPDATE "
                "SET count = count + excluded.count, total = exact_add(total, excluded.total)",
                [(part.window_end_ms, part.zone, part.count, str(part.total)) for part in batch.sums],
            )
            self._set("last_batch_id", batch.batch_id)
            newest = batch.newest_ms
            if newest is not None and newest > (self.watermark_ms if self.watermark_ms is not None else -1):
                self._set("watermark_ms", newest)
                self._set("seen_at_ms", batch.seen_at_ms)
                self._set("sealed_until_ms", max(newest - lateness_ms, self.sealed_until_ms or 0))
            self._count("batches", 1)
            self._count("valid", sum(part.count for part in batch.sums))
            for reason, number in batch.rejected.items():
                self._count(f"reject:{reason}", number)
        return True

    # --- delivering ----------------------------------------------------------------------------------------------

    def due(self, until_ms: int | None, limit: int, after: WindowTotal | None = None) -> list[WindowTotal]:
        """Windows that end at or before `until_ms` (None: all) and whose count has not been delivered, oldest first.

        At most `limit`, and only those behind `after` in that order.
        """
        rows = self._query(
            "SELECT zone, window_end, count, total, delivered FROM windows "
            "WHERE count <> delivered AND window_end <= ? AND (window_end, zone) > (?, ?) "
            "ORDER BY window_end, zone LIMIT ?",
            (
                until_ms if until_ms is not None else 2**63 - 1,
                after.window_end_ms if after is not None else -(2**63),
                after.zone if after is not None else "",
                limit,
            ),
        )
        return [_window(row) for row in rows]

    def newest_delivered(self, zones: Iterable[str]) -> dict[str, WindowTotal]:
        """For each zone the newest window that has been delivered, as it stands now."""
        rows = self._query(
            "SELECT zone, window_end, count, total, delivered FROM json_each(?) AS wanted JOIN windows "
            "ON zone = wanted.value AND window_end = "
            "(SELECT max(window_end) FROM windows WHERE zone = wanted.value AND delivered > 0)",
            (json.dumps(list(zones)),),
        )
        return {row[0]: _window(row) for row in rows}

    def mark_delivered(self, delivered: Sequence[tuple[int, str, int]]) -> None:
        """The platform has acknowledged these windows, given as (window_end_ms, zone, count)."""
        with self._transaction():
            ((corrections,),) = self._db.execute(
                "SELECT count(*) FROM json_each(?) AS done JOIN windows "
                "ON window_end = json_extract(done.value, '$[0]') AND zone = json_extract(done.value, '$[1]') "
                "WHERE delivered > 0",
                (json.dumps(delivered),),
            )
            self._db.executemany(
                "UPDATE windows SET delivered = ? WHERE window_end = ? AND zone = ?",
                [(count, window_end, zone) for window_end, zone, count in delivered],
            )
            self._count("posted", len(delivered))
            self._count("corrections", corrections)

    def mark_refused(self, refused: Sequence[tuple[int, str, int, str]]) -> None:
        """The platform will never take these windows, given as (window_end_ms, zone, count, reason)."""
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?)", refused)
            self._db.executemany(
                "UPDATE windows SET delivered = ? WHERE window_end = ? AND zone = ?",
                [(count, window_end, zone) for window_end, zone, count, _ in refused],
            )
            self._count("refused", len(refused))

    def forget_sealed(self) -> int:
        """Drops windows that are delivered and take no more records. Returns how many.

        Those of a zone with something left to deliver stay: behind an older window its newest one is posted again.
        """
        with self._transaction():
            return self._db.execute(
                "DELETE FROM windows WHERE count = delivered AND window_end <= ?1 "
                "AND zone NOT IN (SELECT zone FROM windows WHERE count <> delivered AND window_end <= ?1)",
                (self.sealed_until_ms or 0,),
            ).rowcount

    # --- looking at one record or window -------------------------------------------------------------------------

    def window(self, window_end_ms: int, zone: str) -> WindowTotal | None:
        """One window; None when nothing was counted into it, or when it is delivered and forgotten."""
        rows = self._query(
            "SELECT zone, window_end, count, total, delivered FROM windows WHERE window_end = ? AND zone = ?",
            (window_end_ms, zone),
        )
        return _window(rows[0]) if rows else None

    def refusal(self, window_end_ms: int, zone: str) -> str | None:
        """Why the platform will never take this window's mean; None when it did not say so."""
        rows = self._query("SELECT reason FROM refused WHERE window_end = ? AND zone = ?", (window_end_ms, zone))
        return str(rows[0][0]) if rows else None

    def reject_at(self, topic: str, partition: int, offset: int) -> str | None:
        """Why the record at this place was not counted; None when it was, or has not been looked at yet."""
        rows = self._query(
            "SELECT reason FROM rejects WHERE topic = ? AND partition = ? AND offset = ?", (topic, partition, offset)
        )
        return str(rows[0][0]) if rows else None

    # --- looking at rejects --------------------------------------------------------------------------------------

    def rejects(self, *, newest: int | None = None) -> Iterator[Reject]:
        """Kept rejects in the order of topic, partition and offset; or the `newest` ones kept last, newest first."""
        columns = "SELECT topic, partition, offset, reason, stamp_ms, value, compressed FROM rejects "
        if newest is None:
            rows = self._query(columns + "ORDER BY topic, partition, offset")
        else:
            rows = self._query(columns + "ORDER BY rowid DESC LIMIT ?", (newest,))
        for topic, partition, offset, reason, stamp_ms, value, compressed in rows:
            yield Reject(topic, partition, offset, reason, stamp_ms, zlib.decompress(value) if compressed else value)

    # --- inside --------------------------------------------------------------------------------------------------

    def _create_or_check(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            with self._transaction():
                for statement in _SCHEMA.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            raise AggregationError(
                f"{self.path} was written by another version of pacifictool (format {version}, not {SCHEMA_VERSION}).",
                hint="Go on with that version, or start afresh with another --checkpoint folder.",
            )

    def _state_int(self, name: str) -> int | None:
        rows = self._query("SELECT value FROM state WHERE name = ?", (name,))
        return int(rows[0][0]) if rows else None

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
            return self._db.execute(sql, parameters).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk may have ended the transaction already.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or _takes_no_more(self.path.parent):
                raise StorageFull(
                    f"No space is left for the aggregation's ledger {self.path}.",
                    hint="Free some space and start again: the job goes on where it stopped.",
                ) from error
            raise AggregationError(
                f"The aggregation's ledger {self.path} cannot be used: {error}.",
                hint="Check the folder given with --checkpoint, or start afresh with another one.",
            ) from error


def _takes_no_more(folder: Path) -> bool:
    """Whether nothing can be written for want of space: SQLite calls a spent quota or limit an input/output error."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE_BYTES))
    except OSError as error:
        return error.errno in FULL
    return False


def _exact_add(left: str, right: str) -> str:
    return str(int(left) + int(right))


def _reject_row(reject: Reject) -> tuple[object, ...]:
    value, compressed = reject.value, False
    if value is not None and len(value) > COMPRESS_BEYOND:
        value, compressed = zlib.compress(value), True
    size = None if reject.value is None else len(reject.value)
    return (
        reject.topic, reject.partition, reject.offset, reject.reason, reject.stamp_ms, size, value, compressed,
    )  # fmt: skip


def _window(row: Sequence[Any]) -> WindowTotal:
    zone, window_end, count, total, delivered = row
    return WindowTotal(zone, window_end, count, int(total), delivered)
