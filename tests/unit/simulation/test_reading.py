from __future__ import annotations

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.models.config import ConstantModel
from pacifictool.models.generators import generator_for
from pacifictool.scenario.devices import Anomaly, Dropout
from pacifictool.simulation.disturbances import Disturbances
from pacifictool.simulation.payload import TemplatePayload, TextValues
from pacifictool.simulation.reading import ReadingSource
from pacifictool.simulation.schedule import RecordedSchedule, Schedule, TimestampSequence, readings_within


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


def test_a_new_rate_goes_on_with_the_numbers_and_leaves_out_what_is_due() -> None:
    schedule = Schedule(10)
    schedule.change_rate(20, 50.0, 0.01)  # before the start there is nothing to leave out
    schedule.start = 100.0
    assert [schedule.take() for _ in range(3)] == [0, 1, 2]
    schedule.change_rate(4, 100.2, 0.1)  # readings 3 and 4 were due at 100.15 and 100.2
    assert schedule.skipped == 2
    assert schedule.due == pytest.approx(100.3)
    assert schedule.take() == 5
    assert schedule.due == pytest.approx(100.55)
    assert (schedule.due_by(100.8), schedule.missed(100.8)) == (8, 4)


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
    assert TextValues(["windSpeed"], bare=True).write(0, {"windSpeed": 31}) == b'{"windSpeed":"31"}'


def test_the_payload_with_a_timestamp() -> None:
    written = TextValues(["windSpeed"]).write(1795477550000, {"windSpeed": 31})
    assert written == b'{"ts":1795477550000,"values":{"windSpeed":"31"}}'


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("sequence", [True, False])
def test_the_payload_of_several_keys_some_of_which_are_missing(bare: bool, sequence: bool) -> None:
    writer = TextValues(["temp-celsius", "100 %d", "c"], bare=bare, sequence=sequence)
    number = {"sequence": 7} if sequence else {}
    for values in ({"temp-celsius": 2.5, "100 %d": 3, "c": -1}, {"100 %d": 3}, {"temp-celsius": 2, "c": 0}):
        expected = {key: str(value) for key, value in values.items()} | number
        written = json.loads(writer.write(5, values, 7))
        assert written == (expected if bare else {"ts": 5, "values": expected})


@given(st.text(min_size=1), st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_any_key_and_number_give_json(key: str, value: float) -> None:
    assert json.loads(TextValues([key]).write(5, {key: value})) == {"ts": 5, "values": {key: str(value)}}


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
    wind = generator_for(ConstantModel(model="constant", value=12.5), seed=1, device="T", key="windSpeed")
    source = ReadingSource("T", schedule, {"windSpeed": wind}, TextValues(["windSpeed"]))
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


class Counting:
    """The number of the reading; every third one is missing where `gaps`."""

    def __init__(self, *, gaps: bool = False) -> None:
        self._gaps = gaps

    def value(self, number: int, elapsed_seconds: float) -> int | None:
        return None if self._gaps and number % 3 == 2 else number


def taken(
    schedule: Schedule, disturbances: Disturbances | None = None, *, gaps: bool = False
) -> tuple[list[tuple[int, dict[str, float]]], ReadingSource]:
    """Timestamp and values of each reading of a device with two keys, and what took them."""
    keys = ["a", "b"]
    source = ReadingSource(
        "T", schedule, {"a": Counting(gaps=gaps), "b": Counting(gaps=gaps)}, TextValues(keys), disturbances
    )
    readings = source.take(1e6, 1000, 0.0, lambda _lag: None)
    for reading in readings:
        assert json.loads(reading.payload)["values"] == {key: str(value) for key, value in reading.values.items()}
    return [(reading.ts_ms, dict(reading.values)) for reading in readings], source


def test_a_dropout_and_an_anomaly_change_their_span_only_and_the_record_says_so() -> None:
    disturbances = Disturbances(
        "T",
        [
            Anomaly(key="a", after=1, lasts=0.5, add=12),
            Anomaly(key="b", after=4, lasts=0.2, every=2, set=99),
            Anomaly(key="b", after=0.3, lasts=0.1, factor=0.5),
        ],
        [Dropout(after=2, lasts=1), Dropout(key="b", after=3.5, lasts=0.3)],
    )
    readings, source = taken(started(10, limit=70, start=0.0), disturbances)
    assert source.withheld == 10
    expected = []
    for number in range(70):
        values: dict[str, float] = {"a": number + 12 if 10 <= number < 15 else number, "b": number}
        if number == 3:
            values["b"] = 1.5
        if 35 <= number < 38:
            del values["b"]
        if number in {40, 41, 60, 61}:
            values["b"] = 99
        if not 20 <= number < 30:
            expected.append((number * 100, values))
    assert readings == expected
    records = sorted(
        (record.kind, record.key, record.change, record.from_ts_ms, record.to_ts_ms, record.readings)
        for record in disturbances.injections
        if record.key is not None
    )
    assert records == [
        ("anomaly", "a", "+12", 1000, 1400, 5),
        ("anomaly", "b", "= 99", 4000, 4100, 2),
        ("anomaly", "b", "= 99", 6000, 6100, 2),
        ("anomaly", "b", "× 0.5", 300, 300, 1),
        ("dropout", "b", None, 3500, 3700, 3),
    ]
    (everything,) = (record for record in disturbances.injections if record.key is None)
    assert everything.as_document() == {
        "kind": "dropout", "device": "T", "key": None, "change": None, "from_ts": 2000, "to_ts": 2900, "readings": 10,
    }  # fmt: skip


def test_a_reading_without_any_value_is_withheld() -> None:
    readings, source = taken(started(10, limit=9, start=0.0), gaps=True)
    assert [ts_ms for ts_ms, _values in readings] == [0, 100, 300, 400, 600, 700]
    assert source.withheld == 3


def test_recorded_times_are_due_as_far_apart_as_they_are_and_are_the_timestamps() -> None:
    schedule = RecordedSchedule([5_000_000, 5_060_000, 5_300_000], speed=60)
    schedule.start = 100.0
    assert [schedule.offset(number) for number in range(4)] == [0, 1, 5, 7.5]
    assert schedule.rate == pytest.approx(2 / 5)
    assert [schedule.due_by(now) for now in (99, 100, 100.9, 101, 104.9, 105, 1e9)] == [0, 1, 1, 2, 2, 3, 3]
    assert [schedule.within(seconds) for seconds in (0.5, 1, 1.1, 10)] == [1, 1, 2, 3]
    readings, _source = taken(schedule)
    assert [ts_ms for ts_ms, _values in readings] == [5_000_000, 5_060_000, 5_300_000]
    assert schedule.exhausted
    assert schedule.due == math.inf


def test_a_single_recorded_time() -> None:
    schedule = RecordedSchedule([5_000_000], speed=1)
    schedule.start = 0.0
    assert (schedule.rate, schedule.limit, schedule.due) == (1.0, 1, 0.0)
    assert [ts_ms for ts_ms, _values in taken(schedule)[0]] == [5_000_000]


def test_messages_by_a_template() -> None:
    writer = TemplatePayload(
        '{"at": {ts}, "n": {number}, "of": "{device}", "t": {a}, "h": "{b}"}', ["a", "b"], 'Mast "7"'
    )
    assert writer.has_time
    assert writer.write(5, {"a": 2.5, "b": 3}, 9) == b'{"at": 5, "n": 9, "of": "Mast \\"7\\"", "t": 2.5, "h": "3"}'
    assert json.loads(writer.write(5, {"b": 3}, 9)) == {"at": 5, "n": 9, "of": 'Mast "7"', "h": "3"}
    assert not TemplatePayload('{"t": {a}}', ["a"], "T").has_time
