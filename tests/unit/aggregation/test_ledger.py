from __future__ import annotations

import random
import resource
import sqlite3
from pathlib import Path

import pytest

from pacifictool.aggregation.ledger import BatchOutcome, Ledger, Reject
from pacifictool.aggregation.windows import PartialSum
from pacifictool.errors import AggregationError, StorageFull

W1, W2, W3 = 10_000, 20_000, 30_000
LATENESS = 10_000


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


def outcome(batch_id: int, *sums: tuple[str, int, int, int], newest_ms: int | None = None) -> BatchOutcome:
    parts = [PartialSum(zone, end, count, total) for zone, end, count, total in sums]
    return BatchOutcome(batch_id, parts, newest_ms=newest_ms, seen_at_ms=1)


def test_batches_add_up_beyond_64_bits(ledger: Ledger) -> None:
    huge = 2**63 - 1
    ledger.apply(outcome(0, ("A", W1, 2, huge), ("B", W1, 1, -5)), lateness_ms=LATENESS)
    ledger.apply(outcome(1, ("A", W1, 3, huge)), lateness_ms=LATENESS)

    due = {window.zone: window for window in ledger.due(None, 10)}
    assert (due["A"].count, due["A"].total) == (5, 2 * huge)
    assert (due["B"].count, due["B"].total) == (1, -5)


def test_a_repeated_batch_changes_nothing(ledger: Ledger) -> None:
    batch = BatchOutcome(7, [PartialSum("A", W1, 2, 10)], rejected={"empty": 3}, newest_ms=5, seen_at_ms=1)
    assert ledger.apply(batch, lateness_ms=LATENESS)
    before = (ledger.due(None, 10), ledger.counters(), ledger.watermark_ms)

    assert not ledger.apply(batch, lateness_ms=LATENESS)
    assert (ledger.due(None, 10), ledger.counters(), ledger.watermark_ms) == before


def test_everything_survives_a_new_start(tmp_path: Path) -> None:
    first = Ledger(tmp_path / "ledger.sqlite")
    first.apply(outcome(3, ("A", W1, 2, 10), newest_ms=9_000), lateness_ms=1_000)
    first.set_state("spark", "x")
    first.close()

    second = Ledger(tmp_path / "ledger.sqlite")
    assert second.last_batch_id == 3
    assert second.watermark_ms == 9_000
    assert second.sealed_until_ms == 8_000
    assert second.state("spark") == "x"
    assert [window.count for window in second.due(None, 10)] == [2]
    second.close()


def test_the_watermark_and_the_seal_never_fall_even_with_another_lateness(ledger: Ledger) -> None:
    ledger.apply(outcome(0, newest_ms=50_000), lateness_ms=10_000)
    ledger.apply(outcome(1, newest_ms=30_000), lateness_ms=10_000)
    ledger.apply(outcome(2, newest_ms=51_000), lateness_ms=40_000)

    assert ledger.watermark_ms == 51_000
    assert ledger.sealed_until_ms == 40_000


def test_a_window_is_due_until_exactly_its_count_is_delivered(ledger: Ledger) -> None:
    ledger.apply(outcome(0, ("A", W1, 2, 10)), lateness_ms=LATENESS)
    ledger.apply(outcome(1, ("A", W1, 1, 10)), lateness_ms=LATENESS)
    ledger.mark_delivered([(W1, "A", 2)])
    assert [window.count for window in ledger.due(W1, 10)] == [3]

    ledger.mark_delivered([(W1, "A", 3)])
    assert ledger.due(None, 10) == []
    assert ledger.counters()["corrections"] == 1


def test_due_windows_come_oldest_first_and_only_up_to_the_bound(ledger: Ledger) -> None:
    ledger.apply(outcome(0, ("B", W2, 1, 1), ("A", W2, 1, 1), ("A", W3, 1, 1), ("A", W1, 1, 1)), lateness_ms=LATENESS)

    assert [(window.window_end_ms, window.zone) for window in ledger.due(W2, 10)] == [(W1, "A"), (W2, "A"), (W2, "B")]
    assert len(ledger.due(None, 2)) == 2


def test_only_delivered_windows_that_take_no_more_records_are_forgotten(ledger: Ledger) -> None:
    ledger.apply(outcome(0, ("A", W1, 1, 1), ("B", W1, 1, 1), ("A", W3, 1, 1), newest_ms=25_000), lateness_ms=10_000)
    ledger.mark_delivered([(W1, "A", 1), (W3, "A", 1)])

    assert ledger.forget_sealed() == 1
    assert [(window.window_end_ms, window.zone) for window in ledger.due(None, 10)] == [(W1, "B")]
    assert ledger.newest_delivered(["A"])["A"].window_end_ms == W3


def test_the_newest_window_of_a_zone_is_remembered_while_an_older_one_is_to_be_delivered(ledger: Ledger) -> None:
    ledger.apply(outcome(0, ("A", W1, 1, 1), ("A", W2, 1, 1), newest_ms=90_000), lateness_ms=10_000)
    ledger.mark_delivered([(W2, "A", 1)])
    assert ledger.forget_sealed() == 0
    assert ledger.newest_delivered(["A"])["A"].window_end_ms == W2

    ledger.mark_delivered([(W1, "A", 1)])
    assert ledger.forget_sealed() == 2


def test_refused_windows_are_due_no_more_and_are_counted(ledger: Ledger) -> None:
    ledger.apply(outcome(0, ("A", W1, 1, 1)), lateness_ms=LATENESS)
    ledger.mark_refused([(W1, "A", 1, "no such thing")])

    assert ledger.due(None, 10) == []
    assert ledger.counters()["refused"] == 1


def test_rejects_are_kept_once_with_every_byte(ledger: Ledger) -> None:
    noise = random.Random(1).randbytes(1_000_000)
    rejects = [
        Reject("t", 0, 5, "not UTF-8", 17, b"\xff\x00'"),
        Reject("t", 0, 6, "no value (a tombstone)", None, None),
        Reject("t", 1, 5, "empty", 18, b""),
        Reject("t", 1, 6, "not one valid JSON value", 19, noise),
    ]
    assert ledger.add_rejects(rejects) == 4
    assert ledger.add_rejects(rejects) == 4

    assert list(ledger.rejects()) == rejects
    assert list(ledger.rejects(newest=1)) == [rejects[3]]


def test_a_file_that_is_no_ledger_is_an_error_in_words(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(AggregationError, match=r"ledger\.sqlite cannot be used"):
        Ledger(path)


def test_a_ledger_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(AggregationError, match="another version"):
        Ledger(path)


def test_a_write_that_the_system_refuses_changes_nothing(ledger: Ledger) -> None:
    ledger.apply(outcome(0, ("A", W1, 1, 1)), lateness_ms=LATENESS)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ledger.path.stat().st_size, hard))
    try:
        with pytest.raises(StorageFull):
            ledger.add_rejects([Reject("t", 0, 1, "empty", None, random.Random(1).randbytes(100_000))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    assert list(ledger.rejects()) == []
    assert ledger.apply(outcome(1, ("A", W1, 1, 1)), lateness_ms=LATENESS)
    assert ledger.due(None, 1)[0].count == 2
