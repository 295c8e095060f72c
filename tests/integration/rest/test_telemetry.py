from __future__ import annotations

import pytest

from pacifictool.errors import InvalidRequest, NotFound
from pacifictool.rest import EntityId, Platform, Point

# With a sandbox


def test_what_is_written_is_read(real: Platform, unique: str) -> None:
    zone = real.assets.create(f"Zone {unique}", "WeatherStation")
    assert real.telemetry.keys(zone) == []
    assert real.telemetry.latest(zone) == {}
    values: dict[str, float | int | str | bool] = {
        "float": 32.5,
        "whole float": 1000.0,
        "tiny": 1e-7,
        "huge": 1.7976931348623157e308,
        "int": 2**63 - 1,
        "text": "gale 'é' \"",
        "flag": True,
    }
    real.telemetry.write(zone, [(1_500_000_000_000, values)])
    latest = real.telemetry.latest(zone, [*values, "nosuch"])
    assert latest == {**{key: Point(1_500_000_000_000, value) for key, value in values.items()}, "nosuch": None}
    assert sorted(real.telemetry.keys(zone)) == sorted(values)
    real.telemetry.write_now(zone.entity_id, {"int": 5})
    point = real.telemetry.latest(zone, ["int"])["int"]
    assert point is not None
    assert point.value == 5
    assert point.ts_ms > 1_700_000_000_000


def test_ranges_of_any_length(real: Platform, unique: str) -> None:
    zone = real.assets.create(f"Zone {unique}", "WeatherStation")
    start = 1_500_000_000_000
    real.telemetry.write(zone, [(start + number, {"w": number / 4}) for number in range(25_000)])
    points = real.telemetry.range(zone, "w", start, start + 25_000)
    assert points == [Point(start + number, number / 4) for number in range(25_000)]
    assert real.telemetry.range(zone, "w", start + 5, start + 8) == points[5:8]
    assert real.telemetry.range(zone, "w", start, start + 25_000, limit=120) == points[-120:]
    assert real.telemetry.range(zone, "w", start + 8, start + 5) == []
    assert real.telemetry.range(zone, "nosuch", start, start + 10) == []
    latest = real.telemetry.latest(zone, ["w"])["w"]
    assert latest == points[-1]


def test_writing_the_same_again_adds_nothing(real: Platform, unique: str) -> None:
    zone = real.assets.create(f"Zone {unique}", "WeatherStation")
    for value in (1.0, 2.0):
        real.telemetry.write(zone, [(1_500_000_000_000, {"w": value})])
    assert real.telemetry.range(zone, "w", 0, 2_000_000_000_000) == [Point(1_500_000_000_000, 2.0)]


def test_an_entity_that_is_gone(real: Platform) -> None:
    nobody = EntityId.asset("13814000-1dd2-11b2-8080-808080808081")
    with pytest.raises(NotFound, match="Asset with requested id wasn't found"):
        real.telemetry.write(nobody, [(1, {"a": 1})])
    with pytest.raises(InvalidRequest, match="EntityType"):
        real.telemetry.keys(EntityId("FOO", nobody.id))
