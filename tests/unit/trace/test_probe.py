from __future__ import annotations

import random

import pytest

from pacifictool.models.config import UniformModel
from pacifictool.scenario import Bounds, DeviceSpec
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


@pytest.mark.parametrize(
    ("low", "high", "bounds"),
    [(29, 30, Bounds(min=0, max=30)), (0, 0, Bounds(min=0, max=0.5)), (-5, -5, Bounds(min=-5.001, max=-4.999))],
)
def test_the_value_is_valid_and_has_six_decimal_places_that_no_other_has(low: int, high: int, bounds: Bounds) -> None:
    device = DeviceSpec(name="T", telemetry={"level": UniformModel(min=low, max=high)})
    values = [probe_value(device, "level", bounds, random.Random(seed)) for seed in range(200)]
    assert all(bounds.min <= value <= bounds.max for value in values)
    assert len(set(values)) > 100, "no other reading has them"
    if bounds.max - bounds.min > 1:
        assert all(f"{value:.6f}"[-1] != "0" for value in values)


@pytest.mark.parametrize(
    ("low", "high", "bounds"),
    [
        (2000, 2010, Bounds(min=0, max=1000)),
        (31, 31, Bounds(min=0, max=30.9)),
        (-1, -1, Bounds(min=-0.5, max=30)),
        (-1, -1, Bounds(min=-0.95, max=30)),
        (31, 31, Bounds(min=0, max=30)),
        (5, 5, Bounds(min=5.1, max=5.2)),
    ],
)
def test_the_value_of_a_device_whose_readings_are_invalid_is_invalid_too(low: int, high: int, bounds: Bounds) -> None:
    device = DeviceSpec(name="T", telemetry={"level": UniformModel(min=low, max=high)})
    values = [probe_value(device, "level", bounds, random.Random(seed)) for seed in range(200)]
    assert not any(bounds.min <= value <= bounds.max for value in values)
    assert all(low - 1 <= value <= high + 2 for value in values)
