from __future__ import annotations

from time import monotonic

import pytest

from pacifictool.kafka.records import Record
from pacifictool.trace.job import Arrival


def arrival(value: bytes | None) -> Arrival:
    return Arrival(Record(partition=0, offset=0, timestamp_ms=1, broker_time=True, value=value, key=None), monotonic())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'{"windSpeed": 2003.5}', True),
        (b'{"windSpeed": "-1"}', True),
        (b'{"windSpeed": 50}', False),
        (b'{"windSpeed": "fast"}', False),
        (b'{"windSpeed": null}', False),
        (b'{"geoZone": "North"}', False),
        (b'{"geoZone":"No"rth","windSpeed":2003}', False),
        (b"2003", False),
        (None, False),
    ],
)
def test_only_a_number_is_outside_the_limits(value: bytes | None, expected: bool) -> None:
    assert arrival(value).is_outside(0, 1000, "windSpeed") is expected


@pytest.mark.parametrize(
    ("value", "expected"), [(b'{"geoZone": "North"}', "North"), (b'{"geoZone": 1}', None), (b"[]", None), (None, None)]
)
def test_the_zone_of_a_record(value: bytes | None, expected: str | None) -> None:
    assert arrival(value).zone("geoZone") == expected
