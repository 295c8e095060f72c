from __future__ import annotations

import pytest

from pacifictool.aggregation.clock import MEMORY_SECONDS, Coverage, EventClock

HOUR_MS = 3_600_000


def test_the_clock_knows_nothing_before_the_first_record() -> None:
    assert EventClock().at(5.0) is None


@pytest.mark.parametrize("skew_ms", [0, HOUR_MS, -HOUR_MS])
def test_time_goes_on_without_records_whatever_the_skew(skew_ms: int) -> None:
    clock = EventClock()
    clock.observe(100_000 + skew_ms, seen_at=50.0)

    assert clock.at(50.0) == 100_000 + skew_ms
    assert clock.at(57.5) == 107_500 + skew_ms


def test_the_record_seen_soonest_after_its_stamp_sets_the_clock() -> None:
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


def coverage(started_at: float = 0.0) -> tuple[EventClock, Coverage]:
    clock = EventClock()
    return clock, Coverage(clock, trigger_seconds=2.0, started_at=started_at)


def test_no_window_is_due_before_the_first_batch_is_applied() -> None:
    clock, covered = coverage()
    clock.observe(10_500, seen_at=0.5)
    covered.batch_started(1.0)

    assert covered.due_until(3.0) is None


def test_a_window_is_due_once_a_trigger_at_its_end_is_applied() -> None:
    clock, covered = coverage()
    clock.observe(9_990, seen_at=10.0)
    covered.covered(8.0, 8.4)
    before = covered.due_until(10.2)
    covered.covered(10.0, 10.4)
    after = covered.due_until(10.4)

    assert before is not None
    assert before < 10_000
    assert after is not None
    assert after >= 10_000


def test_the_clock_holds_a_window_back_that_the_trigger_would_allow() -> None:
    clock, covered = coverage()
    clock.observe(9_900, seen_at=10.0)
    covered.covered(10.0, 10.01)

    assert covered.due_until(10.02) == 9_920


def test_a_long_batch_delays_windows_and_a_silent_kafka_does_not() -> None:
    clock, covered = coverage()
    clock.observe(5_000, seen_at=5.0)
    covered.covered(5.0, 5.2)
    covered.batch_started(6.0)
    working = covered.due_until(60.0)
    covered.batch_ended(61.0)
    silent = covered.due_until(70.0)

    assert working == 5_000 + Coverage.SLACK_MS
    assert silent == 70_000
