from __future__ import annotations

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.models.config import ConstantModel
from pacifictool.models.generators import generator_for
from pacifictool.simulation.reading import (
    PayloadWriter,
    ReadingSource,
    Schedule,
    TimestampSequence,
    readings_within,
)


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


def test_nothing_is_due_after_the_limit() -> None:
    schedule = started(10, limit=2)
    schedule.take()
    assert schedule.due == pytest.approx(1000.1)
    schedule.take()
    assert schedule.exhausted
    assert schedule.due == math.inf
    assert schedule.due_by(1e9) == 2


def test_skipping_returns_how_many_and_keeps_the_period() -> None:
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


def test_the_tutorials_payload_to_the_byte() -> None:
    assert PayloadWriter("windSpeed", bare=True).write(0, 31) == b'{"windSpeed":"31"}'


def test_the_payload_with_a_timestamp() -> None:
    assert PayloadWriter("windSpeed").write(1795477550000, 31) == b'{"ts":1795477550000,"values":{"windSpeed":"31"}}'


@given(st.text(min_size=1), st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_any_key_and_number_give_json(key: str, value: float) -> None:
    assert json.loads(PayloadWriter(key).write(5, value)) == {"ts": 5, "values": {key: str(value)}}


@given(st.lists(st.integers(0, 10), min_size=1))
def test_timetimestamps_increase_strictly_whatever_the_clock_says(clock: list[int]) -> None:
    timestamps = TimestampSequence()
    issued = [timestamps.next(now) for now in clock]
    assert all(later > earlier for earlier, later in itertools.pairwise(issued))
    assert all(timestamp >= now for timestamp, now in zip(issued, clock, strict=True))


def test_timetimestamps_follow_the_clock() -> None:
    timestamps = TimestampSequence()
    assert [timestamps.next(now) for now in (100, 100, 90, 101, 250)] == [100, 101, 102, 103, 250]


def test_a_source_takes_what_is_due_up_to_the_limit_and_reports_how_late_it_is() -> None:
    schedule = started(10)
    wind = generator_for(ConstantModel(model="constant", value=12.5), seed=1, device="T")
    source = ReadingSource("T", schedule, wind, PayloadWriter("windSpeed"))
    late: list[float] = []
    first, second = source.take(1000.35, 2, 5.0, late.append)
    assert (first.number, second.number, schedule.number) == (0, 1, 2)
    assert (first.ts_ms, second.ts_ms) == (1_005_000, 1_005_100)
    assert late == [pytest.approx(0.35), pytest.approx(0.25)]
    assert json.loads(second.payload) == {"ts": 1_005_100, "values": {"windSpeed": "12.5"}}
    assert [reading.number for reading in source.take(1000.35, 100, 5.0, late.append)] == [2, 3]
    assert source.take(1000.35, 100, 5.0, late.append) == []


def test_readings_that_were_skipped_or_not_taken_are_missed() -> None:
    schedule = started(10)
    schedule.take()
    schedule.skip_before(1000.25)
    assert schedule.missed(1000.45) == 4
    schedule.limit = 10
    assert schedule.missed(1000.45) == 9


def test_a_rate_is_taken_until_the_end_of_the_last_period_or_now() -> None:
    schedule = started(10, limit=5)
    assert Schedule(10).seconds_until(0.0, 1e9) == 0
    schedule.take()
    assert schedule.seconds_until(0.0, 1000.05) == pytest.approx(0.1)
    assert schedule.seconds_until(0.0, 1000.3) == pytest.approx(0.3)
    assert schedule.seconds_until(0.0, 2000.0) == pytest.approx(0.5)
    assert schedule.seconds_until(1003.0, 2000.0) == pytest.approx(3)
