"""Keeps invalid records, within bounds."""

from __future__ import annotations

import sqlite3
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Final

from pacifictool.analytics.state.database import StateDatabase
from pacifictool.analytics.state.queries import InvalidRecord
from pacifictool.analytics.state.schema import INVALID, KEPT_INVALID_BYTES

COMPRESS_BEYOND: Final = 1024
"""Values of invalid records longer than this many bytes are kept compressed."""
DROPPED: Final = "invalid_dropped"
"""The counter of invalid records that were dropped for want of room."""
HOUR_MS: Final = 3_600_000

_RECORD_BYTES: Final = 150
"""What a record takes besides its value."""
_FILL: Final = 0.9
"""How far the store is emptied when it is full, so that it is not emptied for each batch."""
_CHUNK: Final = 1000


class InvalidStore(StateDatabase):
    """The state store as far as invalid records are concerned."""

    _invalid_bytes: int | None = None
    """At most this much is kept now; None: not known."""

    def _add_invalid(self, records: Sequence[InvalidRecord], at_ms: int) -> None:
        """Keeps the invalid records of a batch that ended at `at_ms`, by this machine's clock."""
        if not records:
            return
        rows = [_row(record) for record in records]
        self._db.executemany("INSERT OR IGNORE INTO invalid_records VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self._db.execute(
            "INSERT OR REPLACE INTO invalid_hours VALUES (?, (SELECT max(rowid) FROM invalid_records))",
            (at_ms // HOUR_MS,),
        )
        for reason, number in Counter(record.reason for record in records).items():
            self._count(f"{INVALID}{reason}", number)
        added = sum(_RECORD_BYTES + len(row[6] or b"") for row in rows)
        total = kept_bytes(self._db) if self._invalid_bytes is None else self._invalid_bytes + added
        if total > KEPT_INVALID_BYTES:
            # What was expired meanwhile is not known here.
            total = self._make_room(kept_bytes(self._db))
        self._invalid_bytes = total

    def _make_room(self, total: int) -> int:
        """Drops the oldest records until they fit. Returns how much is kept then."""
        dropped = 0
        while total > KEPT_INVALID_BYTES * (_FILL if dropped else 1):
            sizes = delete_oldest(self._db, limit=_CHUNK)
            if not sizes:
                break
            dropped += len(sizes)
            total -= sum(sizes)
        if dropped:
            self._count(DROPPED, dropped)
            self._reporter.warning(
                f"{self.path} holds {KEPT_INVALID_BYTES // 2**20} MiB of invalid records: the oldest {dropped} of them "
                "were dropped. `pacifictool rejects export` keeps them elsewhere, `rejects expire` removes them."
            )
        return total


def kept_bytes(database: sqlite3.Connection) -> int:
    """How much room invalid records take, about."""
    ((size,),) = database.execute(
        "SELECT ifnull(sum(ifnull(length(value), 0) + ?), 0) FROM invalid_records", (_RECORD_BYTES,)
    )
    return int(size)


def delete_oldest(database: sqlite3.Connection, *, limit: int, until: int | None = None) -> list[int]:
    """Deletes the records that were kept first, at most `limit` and up to the rowid `until`. Returns their sizes.

    Within the caller's transaction.
    """
    deleted = database.execute(
        "DELETE FROM invalid_records WHERE rowid IN (SELECT rowid FROM invalid_records "
        "WHERE ?1 IS NULL OR rowid <= ?1 ORDER BY rowid LIMIT ?2) "
        "RETURNING topic, partition, offset, ifnull(length(value), 0) + ?3",
        (until, limit, _RECORD_BYTES),
    ).fetchall()
    database.executemany(
        "DELETE FROM replays WHERE topic = ? AND partition = ? AND offset = ?", [row[:3] for row in deleted]
    )
    database.execute(
        "DELETE FROM invalid_hours WHERE last < (SELECT ifnull(min(rowid), 9223372036854775807) FROM invalid_records)"
    )
    return [row[3] for row in deleted]


def _row(record: InvalidRecord) -> tuple[str, int, int, str, int | None, int | None, bytes | None, bool]:
    value, compressed = record.value, False
    if value is not None and len(value) > COMPRESS_BEYOND:
        value, compressed = zlib.compress(value), True
    size = None if record.value is None else len(record.value)
    return (
        record.topic, record.partition, record.offset, record.reason, record.timestamp_ms, size, value, compressed,
    )  # fmt: skip
