from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.simulation.schedule import Schedule, readings_within


def started(rate: float, limit: int | None = None, start: float = 1000.0) -> Schedule:
    schedule = Schedule(rate, limit)
    schedule.start = start
    return schedule


def test_nothing_is_due_before_the_start() -> None:
    assert Schedule(10).due == math.inf
    assert Schedule(10).due_by(1e9) == 0


def test_due_times_do_not_drift() -> None:
    schedule = started(10)
    for _ in range(1_000_000):
        schedule.take()
    assert schedule.due == pytest.approx(1000 + 100_000, abs=1e-9)


def test_a_late_reading_does_not_delay_the_next() -> None:
    schedule = started(2)
    assert [schedule.due, schedule.take(), schedule.due] == [1000.0, 0, 1000.5]


def test_the_limit_ends_it() -> None:
    schedule = started(10, limit=2)
    schedule.take()
    assert schedule.due == pytest.approx(1000.1)
    schedule.take()
    assert schedule.exhausted
    assert schedule.due == math.inf
    assert schedule.due_by(1e9) == 2


def test_skipping_says_how_many_and_keeps_the_rhythm() -> None:
    schedule = started(10)
    schedule.take()
    assert schedule.skip_before(1001.0) == 10  # readings 1 to 10
    assert (schedule.number, schedule.skipped) == (11, 10)
    assert schedule.due == pytest.approx(1001.1)
    assert schedule.skip_before(1000.5) == 0


@given(st.floats(0.01, 1000), st.floats(0, 1000))
def test_due_by_counts_the_due_times(rate: float, seconds: float) -> None:
    count = started(rate, start=0.0).due_by(seconds)
    schedule = started(rate, start=0.0)
    schedule.number = count
    assert schedule.due >= seconds - 1e-6
    schedule.number = count - 1
    assert schedule.due <= seconds + 1e-6


@pytest.mark.parametrize(
    ("seconds", "rate", "expected"),
    [(10, 10, 100), (0.1, 30, 3), (1, 1, 1), (0.5, 1, 1), (60, 0.1, 6), (2.5, 1, 3), (0.7, 10, 7)],
)
def test_readings_within_a_duration(seconds: float, rate: float, expected: int) -> None:
    assert readings_within(seconds, rate) == expected
