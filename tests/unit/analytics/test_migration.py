"""Checkpoints of earlier versions go on with this one: their files as those versions wrote them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import stat
import zlib
from pathlib import Path

import pytest

from pacifictool.analytics.defaults import last_used_sink
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.analytics.state.queries import InvalidRecord, OffsetRange
from pacifictool.analytics.state.reader import JobView, identity_of
from pacifictool.analytics.state.schema import ADDED, TABLES
from pacifictool.analytics.state.store import BatchOutcome, StateStore
from pacifictool.analytics.windows import UNITS
from pacifictool.errors import AggregationError, CheckpointMismatch
from pacifictool.runtime.own_folder import CHECKPOINT, claim
from tests.support.scenarios import mean_rules, partial, rules_of, sum_of

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
    "zone_key": "geoZone",
    "value_key": "windSpeed",
    "valid": [0.0, 1e9],
    "target": "rest http://h",
}
KEPT = {"topic": "winds", "topic_id": "Qx", "target": "rest http://h"}
"""What remains of it; what is computed is noted when the job begins."""
RULES = mean_rules(topic="winds")
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


DUE = {"A": (20_000, 3, -(2**64) - 1, 2), "Österreich": (20_000, 5, 2**65 + 1, 0)}


def due_sums(store: StateStore) -> dict[str, tuple[int, int, int, int]]:
    """By zone: end, count, sum and delivered count of the window that is due."""
    return {
        window.group: (window.window_end_ms, window.count, sum_of(window.state), window.delivered)
        for window in store.due(None, 9)
    }


def digests(folder: Path) -> dict[str, str]:
    """Of the files of version 0.1."""
    kept = [folder / "ledger.sqlite", folder / "job.json", *(folder / "spark").rglob("*")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept if path.is_file()}


def test_everything_is_brought_over_and_the_earlier_version_can_go_on(begun: Path) -> None:
    before = digests(begun)
    with Checkpoint(begun, "winds", RULES) as checkpoint:
        store = checkpoint.store
        assert store.next_offsets() == {0: 10, 1: 5}
        assert store.identity_document() == KEPT
        assert (store.watermark_ms, store.seen_at_ms) == (21_000, 22_000)
        assert store.closed_until_ms() == {"zones": 11_000}
        assert store.starting_offsets() is None
        assert due_sums(store) == DUE
        newest = store.newest_delivered({("zones", "A"): None})["zones", "A"]
        assert (newest.window_end_ms, newest.delivered) == (20_000, 2)
        assert store.refusal("zones", "B", 10_000) == "no such asset"
        assert store.invalid_counts() == {"empty": 2, "not UTF-8": 1}
        assert [*store.invalid_records()] == [
            InvalidRecord("winds", 0, 4, "empty", 1, b""),
            InvalidRecord("winds", 1, 2, "not UTF-8", None, LONG),
        ]
        checkpoint.check_identity(KEPT)
        # It goes on from there, and from nowhere else.
        store.apply(BatchOutcome((OffsetRange(1, 5, 9),), [partial("A", 20_000, 4, 2**64)], 4))
        assert {zone: found[2] for zone, found in due_sums(store).items()} == {"A": -1, "Österreich": 2**65 + 1}
    assert digests(begun) == before
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in begun.glob("state.sqlite*")} == {0}

    with Checkpoint(begun, "winds", RULES) as checkpoint:
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
            Checkpoint(begun, "winds", RULES)
        assert str(path) in caught.value.message
        assert "--checkpoint" in (caught.value.hint or "")
        assert not (begun / "state.sqlite").exists()

    path.write_text(note('{"winds":{"1":5,"0":10}}'), encoding="utf-8")
    with Checkpoint(begun, "winds", RULES) as checkpoint:
        assert checkpoint.store.next_offsets() == {0: 10, 1: 5}


def test_a_note_that_is_gone_is_reported(begun: Path) -> None:
    (begun / "spark" / "offsets" / "7").unlink()
    with pytest.raises(AggregationError, match="No such file"):
        Checkpoint(begun, "winds", RULES)


def test_a_store_without_any_batch_begins_where_it_was_to_begin(folder: Path) -> None:
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)) as store:
        store.execute("""INSERT INTO state VALUES ('starting_offsets', '{"0": 4, "1": 0}')""")
    with Checkpoint(folder, "winds", RULES) as checkpoint:
        assert checkpoint.store.next_offsets() == {}
        assert checkpoint.store.starting_offsets() == {0: 4, 1: 0}
        assert checkpoint.store.counters() == {}


def test_a_job_of_another_topic_is_recognised(begun: Path) -> None:
    with (
        Checkpoint(begun, "other", RULES) as checkpoint,
        pytest.raises(CheckpointMismatch, match="topic: 'winds' there, 'other' now"),
    ):
        checkpoint.check_identity({**KEPT, "topic": "other"})
    with Checkpoint(begun, "winds", RULES) as checkpoint:
        assert checkpoint.store.next_offsets() == {0: 10, 1: 5}


def test_a_copy_that_was_interrupted_is_made_again(begun: Path) -> None:
    (begun / "state.sqlite.new").write_bytes(b"SQLite format 3\0 and no more")
    (begun / "state.sqlite.new-journal").write_bytes(b"half a journal")
    with Checkpoint(begun, "winds", RULES) as checkpoint:
        assert checkpoint.store.next_offsets() == {0: 10, 1: 5}
    assert not [*begun.glob("state.sqlite.new*")]


# --- format 2 --------------------------------------------------------------------------------------------------------

FORMAT_2 = """
CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE partitions (partition INTEGER PRIMARY KEY, next_offset INTEGER NOT NULL, newest INTEGER);
CREATE TABLE batches (
    number INTEGER PRIMARY KEY, planned INTEGER NOT NULL, done INTEGER NOT NULL, records INTEGER NOT NULL,
    ranges TEXT NOT NULL
);
CREATE TABLE windows (
    window_end INTEGER NOT NULL, zone TEXT NOT NULL, count INTEGER NOT NULL, high INTEGER NOT NULL,
    low INTEGER NOT NULL, delivered INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (window_end, zone)
) WITHOUT ROWID;
CREATE INDEX windows_by_zone ON windows (zone, window_end) WHERE delivered > 0;
CREATE INDEX windows_due ON windows (window_end) WHERE count <> delivered;
CREATE TABLE refused (
    window_end INTEGER NOT NULL, zone TEXT NOT NULL, count INTEGER NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (window_end, zone)
) WITHOUT ROWID;
CREATE TABLE invalid_records (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL, reason TEXT NOT NULL,
    timestamp INTEGER, size INTEGER, value BLOB, compressed INTEGER NOT NULL, PRIMARY KEY (topic, partition, offset)
);
PRAGMA user_version = 2;
"""
ROWS_2 = """
INSERT INTO state VALUES ('arrival_ms', 22000), ('closed_until_ms', 11000), ('last_batch', 2), ('seen_at_ms', 22000),
    ('starting_offsets', '{"0": 0, "1": 2}'), ('watermark_ms', 21000);
INSERT INTO counters VALUES ('batches', 2), ('invalid:empty', 1), ('invalid:not UTF-8', 1), ('posted', 2),
    ('refused', 1), ('valid', 13);
INSERT INTO partitions VALUES (0, 10, 21000), (1, 9, 12000);
INSERT INTO batches VALUES (1, 20500, 20600, 9, '{"0": [0, 7], "1": [2, 4]}'),
    (2, 22000, 22100, 6, '{"0": [7, 10], "1": [4, 9]}');
INSERT INTO windows VALUES (10000, 'A', 4, 9, 1345294336, 4), (10000, 'B', 1, 1, 705032704, 1),
    (20000, 'A', 3, -4294967297, 4294967295, 2), (20000, 'Österreich', 5, 8589934591, 4294967297, 0);
INSERT INTO refused VALUES (10000, 'B', 1, 'no such asset');
INSERT INTO invalid_records VALUES ('winds', 0, 4, 'empty', 1, 0, x'', 0);
"""
COLDEST = rules_of(
    {"name": "coldest", "group_by": ["geoZone"], "telemetry": {"coldest": "min(windSpeed)"}},
    topic="winds",
    attributes=["geoZone"],
    telemetry=["windSpeed"],
    valid={"windSpeed": {"min": 0}},
)


@pytest.fixture
def format_2(tmp_path: Path) -> Path:
    """As the version before wrote it, with a lower half of a sum beyond 32 bits."""
    folder = tmp_path / "job"
    claim(folder, CHECKPOINT)
    with contextlib.closing(sqlite3.connect(folder / "state.sqlite", isolation_level=None)) as store:
        store.executescript(FORMAT_2 + ROWS_2)
        store.execute("INSERT INTO state VALUES ('identity', ?)", (json.dumps(IDENTITY | {"cluster_id": "K"}),))
        store.execute(
            "INSERT INTO invalid_records VALUES ('winds', 1, 2, 'not UTF-8', NULL, 5000, ?, 1)", (zlib.compress(LONG),)
        )
    return folder


def test_a_store_of_format_2_goes_on(format_2: Path) -> None:
    both = RecordRules(RULES.forwarding, (*COLDEST.analytics, *RULES.analytics))
    with Checkpoint(format_2, "winds", both) as checkpoint:
        store = checkpoint.store
        assert store.next_offsets() == {0: 10, 1: 9}
        assert store.newest_times() == {0: 21_000, 1: 12_000}
        assert store.starting_offsets() == {0: 0, 1: 2}
        assert store.identity_document() == KEPT | {"cluster_id": "K"}
        assert (store.watermark_ms, store.seen_at_ms, store.arrival_ms) == (21_000, 22_000, 22_000)
        assert store.closed_until_ms() == {"zones": 11_000}
        assert [(batch.number, batch.records) for batch in store.batches()] == [(1, 9), (2, 6)]
        assert due_sums(store) == DUE
        delivered = store.window("zones", "A", 10_000)
        assert delivered is not None
        assert (delivered.count, sum_of(delivered.state), delivered.delivered) == (4, 40 * UNITS, 4)
        assert store.refusal("zones", "B", 10_000) == "no such asset"
        assert store.invalid_counts() == {"empty": 1, "not UTF-8": 1}
        assert [record.value for record in store.invalid_records()] == [b"", LONG]
        store.apply(BatchOutcome((OffsetRange(1, 9, 13),), [partial("A", 20_000, 4, 2**64)], 4))
        assert store.counters() == {
            "batches": 3, "invalid:empty": 1, "invalid:not UTF-8": 1, "posted": 2, "refused": 1, "valid": 17,
        }  # fmt: skip
        assert store.forget_closed() == 2
        checkpoint.check_identity(KEPT | {"analytics.zones": {"window_ms": 10_000}})

    with Checkpoint(format_2, "winds", both) as checkpoint:
        assert due_sums(checkpoint.store)["A"] == (20_000, 7, -1, 2)
    with contextlib.closing(sqlite3.connect(format_2 / "state.sqlite")) as changed:
        tables = {name for (name,) in changed.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")}
    with contextlib.closing(sqlite3.connect(":memory:")) as new:
        new.executescript(TABLES + ADDED)
        assert tables == {
            name for (name,) in new.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
        }


@pytest.mark.parametrize(
    "rules",
    [
        mean_rules(topic="winds", window=5),
        mean_rules(topic="winds", maximum=100),
        mean_rules("district", topic="winds"),
        mean_rules("geoZone", "rainfall", topic="winds"),
        COLDEST,
        *(
            rules_of(
                {"group_by": ["geoZone"], "telemetry": {"windSpeed": "mean(windSpeed)"}, **other},
                attributes=["geoZone"],
                telemetry=["windSpeed"],
                valid={"windSpeed": {"min": 0}},
            )
            for other in ({"slide": 5}, {"ts": "start"}, {"entity": "{geoZone} mean"}, {"entity_kind": "device"})
        ),
    ],
)
def test_a_scenario_that_does_not_compute_that_mean_leaves_the_store_as_it_is(
    format_2: Path, rules: RecordRules
) -> None:
    with pytest.raises(
        CheckpointMismatch, match=r"the mean of windSpeed by geoZone .* in windows of 10 s .* no such analytics"
    ) as caught:
        Checkpoint(format_2, "winds", rules)
    assert "--checkpoint" in (caught.value.hint or "")
    with Checkpoint(format_2, "winds", RULES) as checkpoint:
        assert due_sums(checkpoint.store) == DUE


def test_a_job_keeps_its_sink_over_the_change_of_format(format_2: Path, tmp_path: Path) -> None:
    assert last_used_sink(tmp_path / "none", format_2) == "rest"
    assert identity_of(format_2) is None
    with Checkpoint(format_2, "winds", RULES):
        # The job has yet to note what it is: Kafka may be down.
        assert last_used_sink(tmp_path / "none", format_2) == "rest"
        view = JobView(format_2)
        assert view.untimed_event_ms(view.batches()[0]) == 20_500 - 1_000
        view.close()


def test_a_store_of_format_2_that_no_job_has_begun_with_is_for_any_scenario(tmp_path: Path) -> None:
    claim(tmp_path, CHECKPOINT)
    with contextlib.closing(sqlite3.connect(tmp_path / "state.sqlite", isolation_level=None)) as store:
        store.executescript(FORMAT_2)
    with Checkpoint(tmp_path, "winds", COLDEST) as checkpoint:
        assert (checkpoint.store.next_offsets(), checkpoint.store.due_windows()) == ({}, 0)
        assert checkpoint.store.closed_until_ms() == {}
        assert JobView.open(tmp_path) is None
