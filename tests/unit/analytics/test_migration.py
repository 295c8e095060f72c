"""A checkpoint of version 0.1 continues with this version: its files as that version wrote them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import stat
import zlib
from pathlib import Path

import pytest

from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.analytics.state.queries import InvalidRecord, OffsetRange
from pacifictool.analytics.state.reader import JobView
from pacifictool.analytics.state.store import BatchOutcome
from pacifictool.analytics.windows import PartialSum
from pacifictool.errors import AggregationError, CheckpointMismatch

SCHEMA = """
CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE windows (
    window_end INTEGER NOT NULL, zone TEXT NOT NULL, count INTEGER NOT NULL, total TEXT NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (window_end, zone)
) WITHOUT ROWID;
CREATE INDEX windows_by_zone ON windows (zone, window_end) WHERE delivered > 0;
CREATE INDEX windows_due ON windows (window_end) WHERE count <> delivered;
CREATE TABLE refused (
    window_end INTEGER NOT NULL, zone TEXT NOT NULL, count INTEGER NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (window_end, zone)
) WITHOUT ROWID;
CREATE TABLE rejects (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL, reason TEXT NOT NULL,
    stamp_ms INTEGER, size INTEGER, value BLOB, compressed INTEGER NOT NULL, PRIMARY KEY (topic, partition, offset)
);
PRAGMA user_version = 1;
"""
BATCHES = """
INSERT INTO state VALUES ('last_batch_id', 7), ('watermark_ms', 21000), ('seen_at_ms', 22000),
    ('sealed_until_ms', 11000), ('spark_checkpoint_id', '3f9c');
INSERT INTO counters VALUES ('batches', 8), ('valid', 12), ('posted', 1), ('reject:empty', 2), ('reject:not UTF-8', 1);
INSERT INTO windows VALUES (10000, 'A', 4, '40000000000', 4), (20000, 'A', 3, '-18446744073709551617', 2),
    (20000, 'Österreich', 5, '36893488147419103233', 0);
INSERT INTO refused VALUES (10000, 'B', 1, 'no such asset');
"""
IDENTITY = {
    "topic": "winds",
    "topic_id": "Qx",
    "window_ms": 10_000,
    "value_key": "windSpeed",
    "target": "rest http://h",
}
LONG = b"y" * 5000


def note(*ends: str) -> str:
    """Spark's note on a batch."""
    metadata = {"batchWatermarkMs": 0, "batchTimestampMs": 1_795_477_550_000, "conf": {"spark.sql.shuffle": "200"}}
    return "\n".join(["v1", json.dumps(metadata), *ends])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Stopped after batch 7 was applied and batch 8 was planned."""
    folder = tmp_path / "job"
    (folder / "spark" / "offsets").mkdir(parents=True)
    (folder / "spark" / "metadata").write_text('{"id":"3f9c"}', encoding="utf-8")
    for number, ends in (
        (6, '{"winds":{"0":3,"1":2}}'),
        (7, '{"winds":{"1":5,"0":10}}'),
        (8, '{"winds":{"1":9,"0":10}}'),
    ):
        (folder / "spark" / "offsets" / str(number)).write_text(note(ends), encoding="utf-8")
    (folder / "job.json").write_text(json.dumps(IDENTITY, indent=2) + "\n", encoding="utf-8")
    (folder / "lock").touch()
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite")) as store:
        store.executescript(SCHEMA)
    return folder


@pytest.fixture
def begun(folder: Path) -> Path:
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)) as store:
        store.executescript(BATCHES)
        store.execute("INSERT INTO rejects VALUES ('winds', 0, 4, 'empty', 1, 0, x'', 0)")
        store.execute(
            "INSERT INTO rejects VALUES ('winds', 1, 2, 'not UTF-8', NULL, 5000, ?, 1)", (zlib.compress(LONG),)
        )
    return folder


def digests(folder: Path) -> dict[str, str]:
    """Of the files of version 0.1."""
    kept = [folder / "ledger.sqlite", folder / "job.json", *(folder / "spark").rglob("*")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept if path.is_file()}


def test_everything_is_brought_over_and_the_earlier_version_can_go_on(begun: Path) -> None:
    before = digests(begun)
    with Checkpoint(begun, "winds") as checkpoint:
        store = checkpoint.store
        assert store.next_offsets() == {0: 10, 1: 5}
        assert store.identity_document() == IDENTITY
        assert (store.watermark_ms, store.seen_at_ms, store.closed_until_ms) == (21_000, 22_000, 11_000)
        assert store.starting_offsets() is None
        due = {
            window.zone: (window.window_end_ms, window.count, window.total, window.delivered)
            for window in store.due(None, 9)
        }
        assert due == {"A": (20_000, 3, -(2**64) - 1, 2), "Österreich": (20_000, 5, 2**65 + 1, 0)}
        newest = store.newest_delivered(["A"])["A"]
        assert (newest.window_end_ms, newest.delivered) == (20_000, 2)
        assert store.refusal(10_000, "B") == "no such asset"
        assert store.invalid_counts() == {"empty": 2, "not UTF-8": 1}
        assert [*store.invalid_records()] == [
            InvalidRecord("winds", 0, 4, "empty", 1, b""),
            InvalidRecord("winds", 1, 2, "not UTF-8", None, LONG),
        ]
        checkpoint.check_identity(IDENTITY)
        # It continues from there, and from nowhere else.
        store.apply(BatchOutcome((OffsetRange(1, 5, 9),), [PartialSum("A", 20_000, 4, 2**64)]))
        assert {window.zone: window.total for window in store.due(None, 9)} == {"A": -1, "Österreich": 2**65 + 1}
    assert digests(begun) == before
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in begun.glob("state.sqlite*")} == {0}

    with Checkpoint(begun, "winds") as checkpoint:
        assert checkpoint.store.next_offsets() == {0: 10, 1: 9}
    view = JobView(begun)
    assert view.identity.topic == "winds"
    view.close()


@pytest.mark.parametrize("torn", ["", "v1\n", note('{"winds":{"0":1'), note(), note("-"), note('{"winds":7}')])
def test_a_torn_note_is_reported_and_nothing_begins_again(begun: Path, torn: str) -> None:
    path = begun / "spark" / "offsets" / "7"
    path.write_text(torn, encoding="utf-8")
    for _ in range(2):
        with pytest.raises(AggregationError, match="which says what is counted, cannot be read") as caught:
            Checkpoint(begun, "winds")
        assert str(path) in caught.value.message
        assert "--checkpoint" in (caught.value.hint or "")
        assert not (begun / "state.sqlite").exists()

    path.write_text(note('{"winds":{"1":5,"0":10}}'), encoding="utf-8")
    with Checkpoint(begun, "winds") as checkpoint:
        assert checkpoint.store.next_offsets() == {0: 10, 1: 5}


def test_a_note_that_is_gone_is_reported(begun: Path) -> None:
    (begun / "spark" / "offsets" / "7").unlink()
    with pytest.raises(AggregationError, match="No such file"):
        Checkpoint(begun, "winds")


def test_a_store_without_any_batch_begins_where_it_was_to_begin(folder: Path) -> None:
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)) as store:
        store.execute("""INSERT INTO state VALUES ('starting_offsets', '{"0": 4, "1": 0}')""")
    with Checkpoint(folder, "winds") as checkpoint:
        assert checkpoint.store.next_offsets() == {}
        assert checkpoint.store.starting_offsets() == {0: 4, 1: 0}
        assert checkpoint.store.counters() == {}


def test_a_job_of_another_topic_is_recognised(begun: Path) -> None:
    with (
        Checkpoint(begun, "other") as checkpoint,
        pytest.raises(CheckpointMismatch, match="topic: 'winds' there, 'other' now"),
    ):
        checkpoint.check_identity({**IDENTITY, "topic": "other"})
    with Checkpoint(begun, "winds") as checkpoint:
        assert checkpoint.store.next_offsets() == {0: 10, 1: 5}


def test_a_copy_that_was_interrupted_is_made_again(begun: Path) -> None:
    (begun / "state.sqlite.new").write_bytes(b"SQLite format 3\0 and no more")
    (begun / "state.sqlite.new-journal").write_bytes(b"half a journal")
    with Checkpoint(begun, "winds") as checkpoint:
        assert checkpoint.store.next_offsets() == {0: 10, 1: 5}
    assert not [*begun.glob("state.sqlite.new*")]
