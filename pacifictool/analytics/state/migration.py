"""Brings the checkpoint of pacifictool 0.1 over: a ledger, and Spark's own notes of which offsets it had counted."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from pathlib import Path
from typing import Any, Final

from pacifictool.analytics.state.schema import FILE_NAME, INVALID, TABLES, VERSION
from pacifictool.analytics.windows import split_sum
from pacifictool.errors import AggregationError

_LEDGER: Final = "ledger.sqlite"
_LEDGER_VERSION: Final = 1
_SAME_NAME: Final[tuple[str, ...]] = ("watermark_ms", "seen_at_ms", "starting_offsets")


def bring_over(folder: Path, topic: str) -> bool:
    """Makes a state store of an earlier version's ledger, when there is one and no state store yet.

    The ledger and Spark's notes stay as they are: the earlier version can go on from them. Returns whether it did.
    Raises AggregationError when the ledger's counterpart, Spark's note on the last batch, cannot be read.
    """
    ledger, store = folder / _LEDGER, folder / FILE_NAME
    if store.exists() or not ledger.is_file():
        return False
    unfinished = folder / f"{FILE_NAME}.new"
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with contextlib.closing(sqlite3.connect(unfinished, isolation_level=None)) as database:
            database.execute("PRAGMA synchronous = FULL")
            database.execute("ATTACH ? AS ledger", (str(ledger),))
            if database.execute("PRAGMA ledger.user_version").fetchone()[0] != _LEDGER_VERSION:
                return False
            database.create_function("high", 1, lambda total: split_sum(int(total))[0], deterministic=True)
            database.create_function("low", 1, lambda total: split_sum(int(total))[1], deterministic=True)
            database.execute("BEGIN")
            for statement in TABLES.split(";\n"):
                database.execute(statement)
            _copy(database, folder, topic)
            database.execute(f"PRAGMA user_version = {VERSION}")
            database.execute("COMMIT")
    except sqlite3.Error as error:
        raise AggregationError(
            f"The checkpoint of an earlier version in {folder} cannot be brought over: {error}.",
            hint="Give another folder with --checkpoint to start again.",
        ) from error
    unfinished.replace(store)
    return True


def _copy(database: sqlite3.Connection, folder: Path, topic: str) -> None:
    state: dict[str, Any] = dict(database.execute("SELECT name, value FROM ledger.state"))
    kept = {name: state[name] for name in _SAME_NAME if name in state}
    kept |= {new: state[old] for old, new in (("sealed_until_ms", "closed_until_ms"),) if old in state}
    note = folder / "job.json"
    if note.is_file():
        with contextlib.suppress(ValueError):
            identity = json.loads(note.read_text(encoding="utf-8"))
            kept["identity"] = json.dumps(identity)
            # Should the job have another topic now, what compares identities says so.
            topic = identity.get("topic", topic)
    database.executemany("INSERT INTO state VALUES (?, ?)", kept.items())
    database.execute(
        f"INSERT INTO counters SELECT replace(name, 'reject:', '{INVALID}'), value FROM ledger.counters"  # noqa: S608
    )
    database.execute(
        "INSERT INTO windows SELECT window_end, zone, count, high(total), low(total), delivered FROM ledger.windows"
    )
    database.execute("INSERT INTO refused SELECT window_end, zone, count, reason FROM ledger.refused")
    database.execute(
        "INSERT INTO invalid_records SELECT topic, partition, offset, reason, stamp_ms, size, value, compressed "
        "FROM ledger.rejects"
    )
    last = state.get("last_batch_id")
    if last is not None:
        ends = _ends_of(folder / "spark" / "offsets" / str(last), topic)
        database.executemany("INSERT INTO partitions VALUES (?, ?, NULL)", ends.items())


def _ends_of(note: Path, topic: str) -> dict[int, int]:
    """By partition, the offset after a batch's last record: the third line of Spark's note on it."""
    try:
        _version, _metadata, source = note.read_text(encoding="utf-8").splitlines()
        return {int(partition): int(end) for partition, end in json.loads(source)[topic].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AggregationError(
            f"The checkpoint of an earlier version cannot be brought over: Spark's note {note}, which says what is "
            f"counted, cannot be read ({error}).",
            hint="Give a new folder for --checkpoint; --starting-offsets with a time says where to begin.",
        ) from error
