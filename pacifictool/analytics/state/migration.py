"""Brings checkpoints of earlier versions over.

The file of pacifictool 0.1, with Spark's own notes of which offsets it had counted, and the state store of format 2 are
of one mean by one attribute; the state store of format 3 has neither functions nor alarms.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pacifictool.analytics.engine.aggregates import StateLayout
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.state.schema import FILE_NAME, INVALID, TABLES, VERSION
from pacifictool.errors import AggregationError, CheckpointMismatch
from pacifictool.scenario import Aggregate, Analytics

_LEDGER: Final = "ledger.sqlite"
_LEDGER_VERSION: Final = 1
_SAME_NAME: Final[tuple[str, ...]] = ("watermark_ms", "seen_at_ms", "starting_offsets")
_OLD_IDENTITY: Final[tuple[str, ...]] = ("window_ms", "zone_key", "value_key", "valid")
"""Members of the identity that said what was computed."""
_WINDOW: Final = "analytics, window_end, group_key, count, state, delivered"
_OF_WINDOWS: Final[tuple[str, ...]] = ("windows", "refused")


def bring_over(folder: Path, topic: str, rules: RecordRules) -> bool:
    """Makes a state store of the file of 0.1, when there is one and no state store yet.

    That file and Spark's notes stay as they are: the earlier version can go on from them. Returns whether it did.
    Raises CheckpointMismatch when the scenario does not compute what that job did, AggregationError when its
    counterpart, Spark's note on the last batch, cannot be read.
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
            database.execute("BEGIN")
            _create_tables(database)
            _copy(database, folder, topic, rules)
            database.execute("COMMIT")
    except sqlite3.Error as error:
        raise AggregationError(
            f"The checkpoint of an earlier version in {folder} cannot be brought over: {error}.",
            hint="Give another folder with --checkpoint to start again.",
        ) from error
    unfinished.replace(store)
    return True


def upgrade(database: sqlite3.Connection, version: int, rules: RecordRules) -> None:
    """Changes a state store of format 2 or 3 in place, within the caller's transaction. Raises CheckpointMismatch."""
    if version == 2:
        _upgrade_mean(database, rules)
        return
    for column in ("evaluated", "alarmed"):
        database.execute(f"ALTER TABLE windows ADD COLUMN {column} INTEGER")
    database.execute("DROP INDEX windows_due")
    _create_tables(database)


def _upgrade_mean(database: sqlite3.Connection, rules: RecordRules) -> None:
    (identity,) = database.execute("SELECT value FROM state WHERE name = 'identity'").fetchone() or ("{}",)
    analytics = _same_mean(json.loads(identity), rules)
    _add_functions(database, analytics)
    for index in ("windows_by_zone", "windows_due"):
        database.execute(f"DROP INDEX {index}")
    for table in _OF_WINDOWS:
        database.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    _create_tables(database)
    database.execute(
        f"INSERT INTO windows ({_WINDOW}) "
        "SELECT ?, window_end, zone, count, state_of(count, high, low), delivered FROM old_windows",
        (analytics.name,),
    )
    database.execute(
        "INSERT INTO refused SELECT ?, window_end, zone, count, reason FROM old_refused", (analytics.name,)
    )
    for table in _OF_WINDOWS:
        database.execute(f"DROP TABLE old_{table}")
    database.execute("UPDATE state SET value = json_object(?, value) WHERE name = 'closed_until_ms'", (analytics.name,))
    _set_identity(database, json.loads(identity))


def _create_tables(database: sqlite3.Connection) -> None:
    for statement in TABLES.split(";\n"):
        database.execute(re.sub("CREATE (TABLE|INDEX)", r"CREATE \1 IF NOT EXISTS", statement))
    database.execute(f"PRAGMA user_version = {VERSION}")


def _same_mean(identity: Mapping[str, Any], rules: RecordRules) -> Analytics:
    """The analytics of the scenario that computes what a job of an earlier version did. Raises CheckpointMismatch."""
    if "window_ms" not in identity:
        return rules.analytics[0]  # it had not begun, so that there are no windows
    for analytics in rules.analytics:
        earlier = _earlier_identity(analytics, rules)
        if earlier is not None and all(identity.get(name) == value for name, value in earlier.items()):
            return analytics
    zone, value, valid = (identity.get(name) for name in ("zone_key", "value_key", "valid"))
    raise CheckpointMismatch(
        f"The checkpoint belongs to a job of an earlier version, which posted the mean of {value} by {zone} to the "
        f"assets of that name, in windows of {(identity.get('window_ms') or 0) / 1000:g} s and with values within "
        f"{valid}; the scenario has no such analytics.",
        hint="Add one to go on where that job stopped, or give another folder with --checkpoint to start again.",
    )


def _earlier_identity(analytics: Analytics, rules: RecordRules) -> dict[str, Any] | None:
    """What a job of an earlier version noted of what it computed; None for an analytics that it could not compute."""
    if len(analytics.group_by) != 1 or len(analytics.telemetry) != 1:
        return None
    ((zone,), ((value, aggregate),)) = analytics.group_by, analytics.telemetry.items()
    if (
        aggregate != Aggregate("mean", value)
        or analytics.slide_ms != analytics.window_ms
        or (analytics.entity_pattern, analytics.entity_kind, analytics.ts) != (f"{{{zone}}}", "asset", "end")
        or rules.forwarding.event_time != "kafka"
    ):
        return None
    bounds = rules.forwarding.bounds(value)
    known = analytics.window_ms, zone, value, [bounds.min, bounds.max]
    return dict(zip(_OLD_IDENTITY, known, strict=True))


def _add_functions(database: sqlite3.Connection, analytics: Analytics) -> None:
    layout = StateLayout(analytics)
    for arguments in (2, 3):  # the sum as a text, or as upper and lower halves
        database.create_function(
            "state_of", arguments, lambda count, *parts: layout.sum_state(count, _total(*parts)), deterministic=True
        )


def _total(high: str | int, low: int | None = None) -> int:
    return int(high) if low is None else (int(high) << 32) + low


def _set_identity(database: sqlite3.Connection, identity: Mapping[str, Any]) -> None:
    """What the job is now is noted when it begins (Checkpoint.check_identity)."""
    kept = {name: value for name, value in identity.items() if name not in _OLD_IDENTITY}
    database.execute("INSERT OR REPLACE INTO state VALUES ('identity', ?)", (json.dumps(kept),))


def _copy(database: sqlite3.Connection, folder: Path, topic: str, rules: RecordRules) -> None:
    state: dict[str, Any] = dict(database.execute("SELECT name, value FROM ledger.state"))
    identity: dict[str, Any] = {}
    note = folder / "job.json"
    if note.is_file():
        with contextlib.suppress(ValueError):
            identity = json.loads(note.read_text(encoding="utf-8"))
            # Should the job have another topic now, what compares identities says so.
            topic = identity.get("topic", topic)
    analytics = _same_mean(identity, rules)
    _add_functions(database, analytics)
    kept = {name: state[name] for name in _SAME_NAME if name in state}
    if "sealed_until_ms" in state:
        kept["closed_until_ms"] = json.dumps({analytics.name: state["sealed_until_ms"]})
    database.executemany("INSERT INTO state VALUES (?, ?)", kept.items())
    if identity:
        _set_identity(database, identity)
    database.execute(f"INSERT INTO counters SELECT replace(name, 'reject:', '{INVALID}'), value FROM ledger.counters")
    database.execute(
        f"INSERT INTO windows ({_WINDOW}) "
        "SELECT ?, window_end, zone, count, state_of(count, total), delivered FROM ledger.windows",
        (analytics.name,),
    )
    database.execute(
        "INSERT INTO refused SELECT ?, window_end, zone, count, reason FROM ledger.refused", (analytics.name,)
    )
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
