from __future__ import annotations

import pytest

from pacifictool.analytics.event_time import MEMORY_SECONDS, Completeness, EventClock, counted_until

HOUR_MS = 3_600_000


def test_the_clock_knows_nothing_before_the_first_record() -> None:
    assert EventClock().at(5.0) is None


@pytest.mark.parametrize("skew_ms", [0, HOUR_MS, -HOUR_MS])
def test_time_goes_on_without_records_whatever_the_skew(skew_ms: int) -> None:
    clock = EventClock()
    clock.observe(100_000 + skew_ms, seen_at=50.0)

    assert clock.at(50.0) == 100_000 + skew_ms
    assert clock.at(57.5) == 107_500 + skew_ms


def test_the_record_seen_soonest_after_its_timestamp_sets_the_clock() -> None:
    clock = EventClock()
    clock.observe(100_000, seen_at=50.9)
    clock.observe(101_000, seen_at=51.05)
    clock.observe(102_000, seen_at=52.7)

    assert clock.at(53.0) == 102_950


def test_old_observations_are_forgotten_so_that_drift_does_not_add_up() -> None:
    clock = EventClock()
    clock.observe(100_000, seen_at=50.0)
    later = 50.0 + MEMORY_SECONDS + 1
    clock.observe(round(later * 1000) + 50_000 - 700, seen_at=later)

    assert clock.at(later) == round(later * 1000) + 50_000 - 700


def completeness(started_at: float = 0.0) -> tuple[EventClock, Completeness]:
    clock = EventClock()
    return clock, Completeness(clock, trigger_seconds=2.0, started_at=started_at)


def test_no_window_is_due_before_the_first_batch_is_applied() -> None:
    clock, complete = completeness()
    clock.observe(10_500, seen_at=0.5)
    complete.batch_started(1.0)

    assert complete.due_until(3.0) is None


def test_a_window_is_due_once_a_batch_planned_at_its_end_is_applied() -> None:
    clock, complete = completeness()
    clock.observe(9_990, seen_at=10.0)
    complete.caught_up(8.0, 8.4)
    before = complete.due_until(10.2)
    complete.caught_up(10.0, 10.4)
    after = complete.due_until(10.4)

    assert before is not None
    assert before < 10_000
    assert after is not None
    assert after >= 10_000


def test_the_clock_holds_a_window_back_that_the_batch_would_allow() -> None:
    clock, complete = completeness()
    clock.observe(9_900, seen_at=10.0)
    complete.caught_up(10.0, 10.01)

    assert complete.due_until(10.02) == 9_920


def test_a_long_batch_delays_windows_and_a_silent_kafka_does_not() -> None:
    clock, complete = completeness()
    clock.observe(5_000, seen_at=5.0)
    complete.caught_up(5.0, 5.2)
    complete.batch_started(6.0)
    working = complete.due_until(60.0)
    complete.batch_ended(61.0)
    silent = complete.due_until(70.0)

    assert working == 5_000 + Completeness.SLACK_MS
    assert silent == 70_000


def test_while_there_is_a_backlog_only_what_is_surely_counted_is_due() -> None:
    clock, complete = completeness()
    clock.observe(90_000, seen_at=10.0)
    complete.behind(None, 10.1)
    assert complete.due_until(10.2) is None
    complete.behind(30_000, 10.3)
    assert complete.due_until(10.4) == 30_000
    assert complete.due_until(100.0) == 30_000
    complete.caught_up(100.0, 100.1)
    assert complete.due_until(100.1) == 180_100


@pytest.mark.parametrize(
    ("newest", "behind", "expected"),
    [
        ({}, {0: False}, (None, None)),
        ({0: 50, 1: 90}, {0: False, 1: False}, (90, None)),
        ({0: 50, 1: 90}, {0: True, 1: False}, (50, 50)),
        ({0: 50, 1: 90}, {0: True, 1: True}, (50, 50)),
        ({1: 90}, {0: True, 1: False}, (None, -1)),
    ],
)
def test_a_partition_with_a_backlog_holds_the_closing_of_windows_back(
    newest: dict[int, int], behind: dict[int, bool], expected: tuple[int | None, int | None]
) -> None:
    assert counted_until(newest, behind) == expected
