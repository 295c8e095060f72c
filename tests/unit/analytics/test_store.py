from __future__ import annotations

import dataclasses
import random
import resource
import sqlite3
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pacifictool.analytics.engine.aggregates import StateLayout
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.state import queries
from pacifictool.analytics.state.queries import InvalidRecord, OffsetRange, WindowState
from pacifictool.analytics.state.reader import JobView
from pacifictool.analytics.state.store import BatchOutcome, StateStore
from pacifictool.analytics.windows import UNITS, PartialAggregate
from pacifictool.errors import AggregationError, StorageFull
from tests.support.recorders import RecordingReporter
from tests.support.scenarios import mean_rules, mean_state, partial, rules_of, sum_of
from tests.support.waiting import SOON_SECONDS, wait_until

W1, W2, W3 = 10_000, 20_000, 30_000
RULES = mean_rules()
A = ("zones", "A")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    store = StateStore(tmp_path / "state.sqlite", RULES)
    yield store
    store.close()


@pytest.fixture
def waiting_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StateStore]:
    """Waits so long for a lock that a test would notice."""
    monkeypatch.setattr("pacifictool.analytics.state.database._LOCK_SECONDS", 2 * SOON_SECONDS)
    store = StateStore(tmp_path / "state.sqlite", RULES)
    yield store
    store.close()


def outcome(*sums: tuple[str, int, int, int], ranges: tuple[OffsetRange, ...] = (), **more: Any) -> BatchOutcome:
    parts = [partial(*each) for each in sums]
    return BatchOutcome(ranges, parts, valid=sum(part.count for part in parts), **more)


def windows(store: StateStore, *wanted: tuple[str, int, int]) -> list[WindowState]:
    """The windows of these groups and ends, as they stood with these counts."""
    found = []
    for zone, end, count in wanted:
        window = store.window("zones", zone, end)
        assert window is not None
        found.append(dataclasses.replace(window, count=count))
    return found


def test_batches_add_up_beyond_64_bits(store: StateStore) -> None:
    huge = 2**63 - 1
    store.apply(outcome(("A", W1, 2, huge), ("B", W1, 1, -5)))
    store.apply(outcome(("A", W1, 3, huge), ("B", W1, 1, -huge)))

    due = {window.group: window for window in store.due(None, 10)}
    assert (due["A"].count, sum_of(due["A"].state)) == (5, 2 * huge)
    assert (due["B"].count, sum_of(due["B"].state)) == (2, -5 - huge)


def test_offsets_and_sums_change_together_or_not_at_all(store: StateStore) -> None:
    store.apply(outcome(("A", W1, 2, 10), ranges=(OffsetRange(0, 5, 7), OffsetRange(3, 0, 1))))
    assert store.next_offsets() == {0: 7, 3: 1}

    for wrong in (OffsetRange(0, 5, 9), OffsetRange(0, 8, 9)):
        with pytest.raises(AggregationError, match="does not follow what is counted"):
            store.apply(outcome(("A", W1, 2, 10), ranges=(OffsetRange(3, 1, 4), wrong)))
    assert store.next_offsets() == {0: 7, 3: 1}
    assert [window.count for window in store.due(None, 10)] == [2]
    assert store.counters() == {"batches": 1, "valid": 2}


def test_everything_survives_a_new_start(tmp_path: Path) -> None:
    first = StateStore(tmp_path / "state.sqlite", RULES)
    first.set_identity({"topic": "t"})
    first.set_starting_offsets({0: 4, 1: 0})
    ranges = (OffsetRange(0, 4, 9),)
    times: dict[str, Any] = {"newest_ms": {0: 9_000}, "watermark_ms": 9_000, "closed_until_ms": {"zones": 8_000}}
    first.apply(outcome(("A", W1, 2, 10), ranges=ranges, planned_ms=7, done_ms=8, **times))
    first.close()

    second = StateStore(tmp_path / "state.sqlite", RULES)
    assert second.identity_document() == {"topic": "t"}
    assert second.starting_offsets() == {0: 4, 1: 0}
    assert (second.watermark_ms, second.seen_at_ms, second.arrival_ms) == (9_000, 7, 7)
    assert second.closed_until_ms() == {"zones": 8_000}
    assert second.newest_times() == {0: 9_000}
    (batch,) = second.batches()
    assert (batch.number, batch.planned_ms, batch.done_ms, batch.records, batch.ranges) == (1, 7, 8, 2, ranges)
    assert [window.count for window in second.due(None, 10)] == [2]
    second.close()


def test_times_never_fall(store: StateStore) -> None:
    for watermark, closed, planned in ((50_000, 40_000, 100), (30_000, 20_000, 90), (51_000, 11_000, 95)):
        store.apply(outcome(watermark_ms=watermark, closed_until_ms={"zones": closed}, planned_ms=planned))

    assert (store.watermark_ms, store.closed_until_ms(), store.arrival_ms) == (51_000, {"zones": 40_000}, 100)


def test_notes_on_old_batches_go(store: StateStore) -> None:
    for _ in range(120):
        store.apply(outcome())

    assert [batch.number for batch in store.batches()] == list(range(21, 121))


def test_a_window_is_due_until_exactly_its_count_is_delivered(store: StateStore) -> None:
    store.apply(outcome(("A", W1, 2, 10)))
    store.apply(outcome(("A", W1, 1, 10)))
    store.mark_delivered(windows(store, ("A", W1, 2)))
    assert [window.count for window in store.due(W1, 10)] == [3]

    store.mark_delivered(windows(store, ("A", W1, 3)))
    assert store.due(None, 10) == []
    assert store.counters()["corrections"] == 1


def test_due_windows_come_oldest_first_and_only_up_to_the_bound(store: StateStore) -> None:
    store.apply(outcome(("B", W2, 1, 1), ("A", W2, 1, 1), ("A", W3, 1, 1), ("A", W1, 1, 1)))

    assert [(window.window_end_ms, window.group) for window in store.due(W2, 10)] == [(W1, "A"), (W2, "A"), (W2, "B")]
    assert len(store.due(None, 2)) == 2
    assert store.due_windows() == 4


def test_only_delivered_windows_that_are_closed_are_forgotten(store: StateStore) -> None:
    store.apply(outcome(("A", W1, 1, 1), ("B", W1, 1, 1), ("A", W3, 1, 1), closed_until_ms={"zones": 15_000}))
    store.mark_delivered(windows(store, ("A", W1, 1), ("A", W3, 1)))

    store.forget_closed()
    assert store.window("zones", "A", W1) is None
    assert [(window.window_end_ms, window.group) for window in store.due(None, 10)] == [(W1, "B")]
    assert store.newest_delivered({A: None})[A].window_end_ms == W3


def test_the_newest_window_of_a_zone_is_remembered_while_an_older_one_is_to_be_delivered(store: StateStore) -> None:
    store.apply(outcome(("A", W1, 1, 1), ("A", W2, 1, 1), closed_until_ms={"zones": 80_000}))
    store.mark_delivered(windows(store, ("A", W2, 1)))
    assert store.forget_closed() == 0
    assert store.newest_delivered({A: None})[A].window_end_ms == W2

    store.mark_delivered(windows(store, ("A", W1, 1)))
    store.forget_closed()
    assert [store.window("zones", "A", end) for end in (W1, W2)] == [None, None]


def test_what_is_delivered_and_closed_goes_at_once_unless_something_older_is_left(store: StateStore) -> None:
    parts = (("A", W1, 1, 1), ("B", W1, 1, 1), ("A", W2, 1, 1), ("A", W3, 1, 1))
    store.apply(outcome(*parts, closed_until_ms={"zones": W2}))
    store.mark_delivered(windows(store, ("A", W1, 1)))
    assert store.window("zones", "A", W1) is None

    store.mark_delivered(windows(store, ("A", W2, 1), ("A", W3, 1)))  # B's first window is still to be delivered
    assert (kept := store.window("zones", "A", W2)) is not None
    assert kept.delivered == 1
    assert store.delivered_until_ms() == {"zones": W3}

    store.mark_delivered(windows(store, ("B", W1, 1)))
    assert store.window("zones", "B", W1) is None
    assert store.due(None, 9) == []
    assert store.counters()["posted"] == 4


def test_a_window_that_grew_since_it_was_read_is_not_forgotten(store: StateStore) -> None:
    store.apply(outcome(("A", W1, 1, 1)))
    (before,) = store.due(None, 9)
    store.apply(outcome(("A", W1, 1, 1), closed_until_ms={"zones": W3}))
    store.mark_delivered([before])
    (due,) = store.due(None, 9)
    assert (due.count, due.delivered) == (2, 1)


def test_refused_windows_are_due_no_more_and_are_counted(store: StateStore) -> None:
    store.apply(outcome(("A", W1, 1, 1)))
    store.mark_refused(windows(store, ("A", W1, 1)), "no such thing")

    assert store.due(None, 10) == []
    assert store.counters()["refused"] == 1
    assert store.refusal("zones", "A", W1) == "no such thing"


def test_only_the_newest_refusals_are_kept(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacifictool.analytics.state.store.KEPT_REFUSALS", 3)
    for number in range(1, 8):
        store.apply(outcome(("A", number * W1, 1, 1)))
        store.mark_refused(windows(store, ("A", number * W1, 1)), "no such thing")
    kept = [number for number in range(1, 8) if store.refusal("zones", "A", number * W1) is not None]
    assert kept == [4, 5, 6, 7]
    assert store.counters()["refused"] == 7


def test_invalid_records_are_kept_with_every_byte(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "_PAGE", 2)
    noise = random.Random(1).randbytes(1_000_000)
    records = [
        InvalidRecord("t", 0, 5, "not UTF-8", 17, b"\xff\x00'"),
        InvalidRecord("t", 0, 6, "no value (a tombstone)", None, None),
        InvalidRecord("t", 0, 9, "empty", None, b""),
        InvalidRecord("t", 1, 5, "empty", 18, b""),
        InvalidRecord("t", 1, 6, "not one valid JSON value", 19, noise),
    ]
    store.apply(outcome(invalid=records))

    assert list(store.invalid_records()) == records
    assert list(store.invalid_records(newest=1)) == [records[4]]
    assert store.invalid_counts() == {
        "empty": 2, "no value (a tombstone)": 1, "not UTF-8": 1, "not one valid JSON value": 1,
    }  # fmt: skip
    assert store.invalid_at("t", 0, 9) == "empty"
    assert store.invalid_at("t", 0, 7) is None
    assert store.invalid_offsets("t", OffsetRange(0, 6, 9), ending="(a tombstone)") == [6]
    assert store.invalid_offsets("t", OffsetRange(0, 5, 10), ending="empty") == [9]
    assert store.invalid_offsets("t", OffsetRange(1, 0, 5), ending="empty") == []


def test_a_file_that_is_no_store_is_an_error_in_words(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(AggregationError, match=r"state\.sqlite cannot be used"):
        StateStore(path, RULES)


def test_a_store_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(AggregationError, match="another version"):
        StateStore(path, RULES)
    with pytest.raises(AggregationError, match="another version"):
        JobView(tmp_path)


def test_a_write_that_the_system_refuses_changes_nothing(store: StateStore) -> None:
    store.apply(outcome(("A", W1, 1, 1)))
    large = InvalidRecord("t", 0, 1, "empty", None, random.Random(1).randbytes(1_000_000))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (store.path.with_name("state.sqlite-wal").stat().st_size, hard))
    try:
        with pytest.raises(StorageFull):
            store.apply(outcome(invalid=[large]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    assert list(store.invalid_records()) == []
    store.apply(outcome(("A", W1, 1, 1)))
    assert store.due(None, 1)[0].count == 2


# --- readers and the writer ------------------------------------------------------------------------------------------


def test_a_reader_in_the_middle_of_a_million_rows_holds_up_nobody(waiting_store: StateStore, tmp_path: Path) -> None:
    store = waiting_store
    store.apply(outcome(invalid=[InvalidRecord("t", 0, n, "empty", None, b"") for n in range(5_000)]))
    view = JobView(tmp_path)
    records = view.invalid_records()
    next(records)
    since = time.monotonic()
    store.apply(outcome(("A", W1, 1, 1), invalid=[InvalidRecord("t", 1, 0, "empty", None, b"")]))

    assert time.monotonic() - since < SOON_SECONDS
    assert sum(1 for _ in records) == 5_000  # what came later included
    view.close()


def test_a_reader_that_is_stopped_within_a_query_does_not_hold_up_the_job(
    waiting_store: StateStore, tmp_path: Path
) -> None:
    store = waiting_store
    store.apply(outcome(("A", W1, 1, 1)))
    stuck = sqlite3.connect(f"file:{tmp_path / 'state.sqlite'}?mode=ro", uri=True, isolation_level=None)
    stuck.execute("BEGIN")
    stuck.execute("SELECT * FROM windows").fetchone()
    since = time.monotonic()
    store.apply(outcome(("A", W1, 1, 1)))

    assert time.monotonic() - since < SOON_SECONDS
    stuck.close()


def test_a_lock_that_somebody_else_holds_is_waited_for(tmp_path: Path) -> None:
    messages = RecordingReporter()
    store = StateStore(tmp_path / "state.sqlite", RULES, reporter=messages)
    other = sqlite3.connect(tmp_path / "state.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    thread = threading.Thread(target=lambda: store.apply(outcome(("A", W1, 1, 1))))
    thread.start()
    wait_until(lambda: messages.warnings)
    view = JobView(tmp_path)
    assert view.due(None, 1) == []
    assert thread.is_alive()
    other.execute("ROLLBACK")
    thread.join(60)

    assert not thread.is_alive()
    assert [window.count for window in view.due(None, 1)] == [1]
    assert len(messages.warnings) == len(messages.infos) == 1
    assert "Another program has locked" in messages.warnings[0]
    view.close()
    other.close()
    store.close()


def test_a_stop_ends_the_wait_for_a_lock(tmp_path: Path) -> None:
    stop = threading.Event()
    store = StateStore(tmp_path / "state.sqlite", RULES, gives_up=stop.is_set)
    other = sqlite3.connect(tmp_path / "state.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(AggregationError, match="locked"):
        store.apply(outcome(("A", W1, 1, 1)))
    other.close()
    store.close()


# --- several analytics -----------------------------------------------------------------------------------------------


SEVERAL = rules_of(
    {"name": "fast", "group_by": ["site"], "telemetry": {"temperature": "mean(temperature)"}},
    {"name": "slow", "group_by": ["site"], "window": 60, "telemetry": {"coldest": "min(temperature)"}},
    {"name": "all", "entity": "All sites", "telemetry": {"temperature_p95": "p95(temperature)", "readings": "count()"}},
)


def of_all(*values: int, end: int = W1) -> list[PartialAggregate]:
    """What readings of these values, each in a batch of its own, add to each of the analytics."""
    return [
        each
        for value in values
        for each in (
            PartialAggregate("fast", "North", end, 1, mean_state(1, value * UNITS)),
            PartialAggregate("slow", "North", 60_000, 1, struct.pack(">2q", value * UNITS, value * UNITS)),
            PartialAggregate("all", "", end, 1, struct.pack(">?i2q", False, 1, value * UNITS, 1)),
        )
    ]


@pytest.fixture
def several(tmp_path: Path) -> Iterator[StateStore]:
    store = StateStore(tmp_path / "state.sqlite", SEVERAL)
    yield store
    store.close()


def values_of(store: StateStore) -> dict[str, Any]:
    layouts = {each.name: StateLayout(each) for each in SEVERAL.analytics}
    return {
        window.analytics: layouts[window.analytics].results(window.count, window.state) for window in store.due(None, 9)
    }


def test_each_analytics_merges_what_it_needs(several: StateStore) -> None:
    for value in (7, -3, 8):
        several.apply(BatchOutcome((), of_all(value), valid=1))

    assert values_of(several) == {
        "all": {"temperature_p95": 7.9, "readings": 3},
        "fast": {"temperature": 4.0},
        "slow": {"coldest": -3.0},
    }
    assert several.counters() == {"batches": 3, "valid": 3}
    assert [(window.analytics, window.window_end_ms) for window in several.due(W3, 9)] == [("all", W1), ("fast", W1)]
    (first, *_) = several.due(None, 1)
    assert [window.analytics for window in several.due(None, 9, after=first)] == ["fast", "slow"]


def test_one_analytics_closes_later_than_another(several: StateStore) -> None:
    several.apply(BatchOutcome((), of_all(1) + of_all(2, end=W2), 2, closed_until_ms={"fast": 15_000, "slow": 0}))
    several.apply(BatchOutcome((), (), 0, closed_until_ms={"fast": 12_000, "slow": 5_000, "all": W3}))
    assert several.closed_until_ms() == {"fast": 15_000, "slow": 5_000, "all": W3}
    several.mark_delivered([window for window in several.due(None, 9) if window.analytics != "all"])
    several.forget_closed()
    assert several.window("fast", "North", W1) is None
    assert several.window("fast", "North", W2) is not None
    assert several.window("slow", "North", 60_000) is not None

    several.mark_refused(several.due(None, 9), "no such asset")
    several.forget_closed()
    assert [several.window("all", "", end) for end in (W1, W2)] == [None, None]
    assert several.refusal("all", "", W1) == "no such asset"
    assert several.refusal("fast", "", W1) is None
    assert several.counters()["refused"] == 2


def test_the_newest_window_is_that_of_its_analytics_and_group(several: StateStore) -> None:
    several.apply(BatchOutcome((), of_all(1) + of_all(2, end=W2), 2))
    several.mark_delivered(several.due(None, 9))
    newest = several.newest_delivered({("fast", "North"): None, ("all", ""): W2, ("slow", "South"): None})
    assert {series: window.window_end_ms for series, window in newest.items()} == {
        ("fast", "North"): W2,
        ("all", ""): W1,
    }


def test_the_newest_windows_of_many_groups_are_found_at_once_in_a_backlog(store: StateStore) -> None:
    parts = [partial(f"Z{zone}", end * 10_000, 1, 1) for zone in range(200) for end in range(1, 251)]
    store.apply(BatchOutcome((), parts, len(parts)))
    store.mark_delivered(store.due(W1, len(parts)))
    since = time.process_time()
    newest = store.newest_delivered({("zones", f"Z{zone}"): None for zone in range(200)})
    assert {window.window_end_ms for window in newest.values()} == {W1}
    assert len(newest) == 200
    assert time.process_time() - since < 0.2


def test_an_analytics_that_the_scenario_has_no_more_keeps_what_it_had(several: StateStore, tmp_path: Path) -> None:
    several.apply(BatchOutcome((), of_all(1), 1, closed_until_ms={"fast": 5_000, "slow": 4_000}))
    several.close()
    fewer = RecordRules(SEVERAL.forwarding, SEVERAL.analytics[:1])
    store = StateStore(tmp_path / "state.sqlite", fewer)
    store.apply(BatchOutcome((), of_all(3)[:1], 1, closed_until_ms={"fast": 6_000}))
    assert store.closed_until_ms() == {"fast": 6_000, "slow": 4_000}
    assert values_of(store) == {
        "all": {"temperature_p95": 1.0, "readings": 1},
        "fast": {"temperature": 2.0},
        "slow": {"coldest": 1.0},
    }
    store.close()
