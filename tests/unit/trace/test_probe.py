from __future__ import annotations

import random

import pytest

from pacifictool.models.config import UniformModel
from pacifictool.scenario import Aggregation, Bounds, Turbine
from pacifictool.trace.probe import Probe, probe_value

PROBE = Probe(32.483217, 1_000_000, "windSpeed")


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (PROBE.payload(), True),
        (b'{"geoZone":"North","windSpeed":32.483217}', True),
        (b'{"geoZone":"North","windSpeed":"32.4832170"}', True),
        (b'{"windSpeed":3.2483217e1}', True),
        (b'{"windSpeed":32.48321}', False),
        (b'{"windSpeed":32.4832171}', False),
        (b"", False),
        (None, False),
        (b" " * 70_000 + PROBE.payload(), False),
    ],
)
def test_a_record_with_the_value_contains_the_probe(record: bytes | None, expected: bool) -> None:
    assert PROBE.is_in(record) is expected


def test_the_value_is_valid_and_has_six_decimal_places_that_no_other_has() -> None:
    turbine = Turbine(name="T", zone="Z", wind_speed=UniformModel(min=29, max=30))
    rules = Aggregation(valid=Bounds(min=0, max=30))
    values = [probe_value(turbine, rules, random.Random(seed)) for seed in range(200)]
    assert all(0 <= value <= 30 for value in values)
    assert all(f"{value:.6f}"[-1] != "0" for value in values)
    assert len(set(values)) == len(values)
