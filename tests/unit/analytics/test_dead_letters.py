"""Invalid records stay within bounds, expire, and are marked when they are replayed; also while the job runs."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacifictool.analytics.replay import counted_nowhere
from pacifictool.analytics.state import invalid_store
from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.analytics.state.dead_letters import DeadLetters
from pacifictool.analytics.state.invalid_store import DROPPED, HOUR_MS
from pacifictool.analytics.state.queries import InvalidRecord, OffsetRange
from pacifictool.analytics.state.reader import JobView
from pacifictool.analytics.state.schema import FILE_NAME, VERSION
from pacifictool.analytics.state.store import BatchOutcome
from pacifictool.errors import AggregationError, ForeignFolder
from pacifictool.scenario import Scenario, parse_scenario, tutorial_scenario
from tests.support.job_folders import job_checkpoint, job_identity

TUTORIAL = tutorial_scenario()
TOPIC = TUTORIAL.forwarding.topic


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Checkpoint]:
    """A job that runs."""
    with job_checkpoint(tmp_path / "job", TUTORIAL) as checkpoint:
        checkpoint.check_identity(job_identity(TUTORIAL))
        yield checkpoint


def keep(job: Checkpoint, first: int, values: list[bytes], *, hour: int = 500_000) -> None:
    records = [InvalidRecord(TOPIC, 0, first + n, "empty", None, value) for n, value in enumerate(values)]
    end = first + len(values)
    job.store.apply(BatchOutcome([OffsetRange(0, first, end)], [], 0, records, done_ms=hour * HOUR_MS))


def offsets(folder: Path) -> list[int]:
    with contextlib.closing(JobView(folder)) as view:
        return [record.offset for record in view.invalid_records()]


def test_records_expire_by_the_hour_in_which_they_were_kept(job: Checkpoint) -> None:
    keep(job, 0, [b"a"] * 3, hour=500_000)
    keep(job, 3, [b"b"] * 2, hour=500_001)
    with DeadLetters(job.folder) as letters:
        assert letters.expire(500_001 * HOUR_MS - 1) == 0  # the hour is not over
        assert letters.expire(500_001 * HOUR_MS) == 3
        assert offsets(job.folder) == [3, 4]
        keep(job, 5, [b"c"], hour=500_003)  # the job goes on meanwhile
        assert letters.expire(500_002 * HOUR_MS) == 2
        assert offsets(job.folder) == [5]
        assert letters.expire(600_000 * HOUR_MS) == 1
    keep(job, 6, [b"d"], hour=600_001)
    with DeadLetters(job.folder) as letters:
        assert letters.expire(600_001 * HOUR_MS) == 0  # its rowid is one that was used before
    assert offsets(job.folder) == [6]
    assert job.store.invalid_counts() == {"empty": 7}


def test_more_than_a_page_expires(job: Checkpoint) -> None:
    keep(job, 0, [b"a"] * 1201)
    with DeadLetters(job.folder) as letters:
        assert letters.expire(600_000 * HOUR_MS) == 1201
    assert offsets(job.folder) == []


def test_a_full_store_drops_the_oldest_and_counts_them(job: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invalid_store, "KEPT_INVALID_BYTES", 100_000)
    monkeypatch.setattr(invalid_store, "_CHUNK", 10)
    for batch in range(40):
        keep(job, 50 * batch, [bytes(100)] * 50)
    kept = offsets(job.folder)
    assert kept[-1] == 1999
    assert kept == list(range(kept[0], 2000))  # the newest ones, without a gap
    assert 300 < len(kept) <= 400
    assert job.store.counters()[DROPPED] == 2000 - len(kept)
    assert job.store.invalid_counts() == {"empty": 2000}


def test_what_has_expired_makes_room(job: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invalid_store, "KEPT_INVALID_BYTES", 100_000)
    keep(job, 0, [bytes(100)] * 300)
    with DeadLetters(job.folder) as letters:
        letters.expire(600_000 * HOUR_MS)
    keep(job, 300, [bytes(100)] * 300)
    assert len(offsets(job.folder)) == 300
    assert DROPPED not in job.store.counters()


def test_replayed_records_are_marked_and_the_marks_go_with_them(job: Checkpoint) -> None:
    keep(job, 0, [b"a", b"b"])
    with DeadLetters(job.folder) as letters:
        first, second = letters.view.invalid_records()
        letters.mark_replayed([first])
        letters.mark_replayed([first])
        marked, unmarked = letters.view.invalid_records()
        assert (marked.replayed_ms is None, unmarked) == (False, second)
        letters.expire(600_000 * HOUR_MS)
        assert letters.view._query("SELECT count(*) FROM replays") == [(0,)]


def test_a_store_of_the_same_format_without_the_tables_is_read_and_completed(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    with job_checkpoint(folder, TUTORIAL) as checkpoint:
        checkpoint.check_identity(job_identity(TUTORIAL))
        keep(checkpoint, 0, [b"a"])
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME)) as database:
        database.executescript("DROP TABLE replays; DROP TABLE invalid_hours")
        assert database.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert offsets(folder) == [0]
    with DeadLetters(folder) as letters:
        assert letters.expire(600_000 * HOUR_MS) == 0  # nobody knows when it was kept
    with job_checkpoint(folder, TUTORIAL) as checkpoint:
        keep(checkpoint, 1, [b"b"])
    with DeadLetters(folder) as letters:
        assert letters.expire(600_000 * HOUR_MS) == 2


def test_other_folders_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / FILE_NAME).write_bytes(b"my own")
    with pytest.raises(ForeignFolder):
        DeadLetters(tmp_path / "mine")
    with pytest.raises(AggregationError, match="No job has run"):
        DeadLetters(tmp_path / "missing")


TWO_KEYS = parse_scenario(
    """
[forwarding]
topic = "rooms"
attributes = ["site", "room"]
telemetry = ["temperature", "humidity"]
[[analytics]]
name = "sites"
group_by = ["site"]
window = "10s"
telemetry = { t = "mean(temperature)" }
[[analytics]]
name = "rooms"
group_by = ["site", "room"]
window = "10s"
slide = "5s"
telemetry = { h = "mean(humidity)" }
""",
    source="test",
)


@pytest.mark.parametrize(
    ("scenario", "reason", "nowhere"),
    [
        (TUTORIAL, "empty", True),
        (TUTORIAL, "windSpeed is not a number", True),
        (TUTORIAL, "windSpeed is not within 0 and 120", True),
        (TUTORIAL, "no geoZone", True),
        (TUTORIAL, "too late: its window was closed for good", True),
        (TUTORIAL, "timestamp more than 60 s ahead of its arrival", True),
        (TWO_KEYS, "not UTF-8", True),
        (TWO_KEYS, "none of temperature, humidity", True),
        (TWO_KEYS, "humidity is not a number", False),
        (TWO_KEYS, "no site", True),
        (TWO_KEYS, "room is blank", False),
        (TWO_KEYS, "too late: its window of rooms was closed for good", False),
    ],
)
def test_what_may_have_been_counted_in_part(scenario: Scenario, reason: str, nowhere: bool) -> None:
    assert counted_nowhere(reason, job_identity(scenario)) is nowhere
