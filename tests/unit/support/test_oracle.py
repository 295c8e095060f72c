"""The oracle of the fault tests notices every kind of difference, for every analytics of their scenario."""

from __future__ import annotations

import dataclasses

import pytest

from pacifictool.kafka.records import Record
from tests.support.four_analytics import document_of, four_analytics, record
from tests.support.oracle import Comparison, Position, Posted, compare_values, expected_of
from tests.support.random_scenarios import START, Place

DOCUMENT = document_of(four_analytics("any", event_time="reading"))
SPEEDS = (10, 20, 40)
RECORDS = [
    *(
        Record(0, number, START, True, None, record("Zone A", speed, device="Mill", ts_ms=START + 500 * number))
        for number, speed in enumerate(SPEEDS)
    ),
    Record(1, 0, START, True, None, b"garbage"),
]
INVALID = {(1, 0): "not one valid JSON value"}
WINDOW_END = START + 2000
PLACES: list[Place] = [
    ("asset", "Zone A", "windSpeed", WINDOW_END),
    ("asset", "Zone A", "speed_p95", WINDOW_END),
    ("asset", "Zone A", "readings", WINDOW_END + 2000),
    ("device", "Mill analytics", "speed_rate", START + 3000),
    ("asset", "All zones", "devices", START),
]


def posted() -> Posted:
    values = dict(expected_of(DOCUMENT, RECORDS).values)
    latest = {place[:3]: max(at for *series, at in values if tuple(series) == place[:3]) for place in values}
    return Posted(values, latest)


def compared(shown: Posted, invalid: dict[Position, str] = INVALID) -> Comparison:
    return compare_values(RECORDS, expected_of(DOCUMENT, RECORDS), invalid, shown)


def test_the_values_are_those_computed_by_hand() -> None:
    values = posted().values
    assert values["asset", "Zone A", "windSpeed", WINDOW_END] == 70 / 3
    assert values["asset", "Zone A", "speed_min", WINDOW_END] == 10
    assert values["asset", "Zone A", "speed_max", WINDOW_END + 2000] == 40
    assert values["asset", "Zone A", "speed_p95", WINDOW_END] == 38
    assert values["device", "Mill analytics", "speed_delta", START + 3000] == 30
    assert values["device", "Mill analytics", "speed_rate", START + 3000] == 30
    assert values["device", "Mill analytics", "speed_variance", START + 3000] == pytest.approx(700 / 3, rel=1e-15)
    assert values["asset", "All zones", "devices", START] == 1
    assert values["asset", "All zones", "speed_sum", START] == 70
    verdict = compared(posted())
    assert verdict == Comparison(windows=5, values=len(values), records=4, rejected=1, differences=())


@pytest.mark.parametrize("place", PLACES, ids=lambda place: str(place[2]))
def test_a_value_that_differs_is_missing_or_too_much_is_named(place: Place) -> None:
    right = posted()
    other = (*place[:3], place[3] + 60_000)
    for values in (
        {**right.values, place: right.values[place] + 1e-9},
        {each: value for each, value in right.values.items() if each != place},
        {**right.values, other: 1.0},
    ):
        (found,) = compared(dataclasses.replace(right, values=values)).differences
        assert f"{place[0]} {place[1]}, {place[2]} at " in found


def test_a_latest_value_that_is_not_the_newest_is_named() -> None:
    right = posted()
    series = ("asset", "Zone A", "readings")
    (found,) = compared(dataclasses.replace(right, latest={**right.latest, series: WINDOW_END})).differences
    assert found.startswith("asset Zone A readings: the latest value is that of")


@pytest.mark.parametrize(
    ("invalid", "words"),
    [
        ({}, "is not kept as a dead letter"),
        ({**INVALID, (0, 1): "no geoZone"}, "is valid, but was rejected"),
        ({**INVALID, (0, 1): "too late: its window of each was closed for good"}, "was in time"),
        ({**INVALID, (7, 7): "empty"}, "is not in the topic"),
    ],
)
def test_invalid_records_must_be_those_that_are_rejected(invalid: dict[Position, str], words: str) -> None:
    (found,) = compared(posted(), invalid).differences
    assert words in found
