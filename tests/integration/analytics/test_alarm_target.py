"""Alarms of a job on a platform of each generation."""

from __future__ import annotations

import pytest

from pacifictool.analytics.alarms import AlarmSource
from pacifictool.analytics.sinks.alarms import RestAlarmTarget
from pacifictool.functions import EntityKind
from pacifictool.rest import Platform
from tests.support.fixtures import platform_of_each_generation

__all__ = ["platform_of_each_generation"]


@pytest.fixture
def target(platform: Platform) -> RestAlarmTarget:
    return RestAlarmTarget(lambda: platform, url=platform.url, entity_type="Site")


def alarm(entity: str, severity: str = "MAJOR", *, kind: EntityKind = "asset", name: str = "Too warm") -> AlarmSource:
    return AlarmSource(
        kind, entity, name, "condition", severity, 10_000, 20_000, {"condition": "t < 5", "values": {"t": 1}}
    )


def test_it_is_raised_once_changed_and_cleared(platform: Platform, target: RestAlarmTarget, unique: str) -> None:
    name = f"North {unique}"
    first = target.raise_alarm(alarm(name), again=False)
    entity = platform.assets.find(name)
    assert entity is not None
    assert entity.type == "Site"
    (found,) = platform.alarms.list(entity)
    assert (found.id, found.type, found.severity, found.is_active) == (first, "Too warm", "MAJOR", True)
    assert (found.start_ms, found.details) == (10_000, {"condition": "t < 5", "values": {"t": 1}})

    assert target.raise_alarm(alarm(name, "CRITICAL"), again=True) == first
    (found,) = platform.alarms.list(entity)
    assert found.severity == "CRITICAL"

    target.clear(("asset", name, "Too warm"), first)
    target.clear(("asset", name, "Too warm"), first)
    assert platform.alarms.active(entity) == []
    assert target.raise_alarm(alarm(name), again=False) != first


def test_one_whose_id_is_not_known_is_found_by_its_type(
    platform: Platform, target: RestAlarmTarget, unique: str
) -> None:
    name = f"Sensor {unique}"
    target.raise_alarm(alarm(name, kind="device"), again=False)
    target.raise_alarm(alarm(name, kind="device", name="Other"), again=False)
    target.clear(("device", name, "Too warm"), None)
    device = platform.devices.find(name)
    assert device is not None
    assert [each.type for each in platform.alarms.active(device)] == ["Other"]
    # Nothing to clear is fine: the response to the first attempt was lost.
    target.clear(("device", name, "Too warm"), None)
    target.clear(("asset", f"Nobody {unique}", "Too warm"), None)


def test_an_entity_that_was_deleted_is_made_again(platform: Platform, target: RestAlarmTarget, unique: str) -> None:
    name = f"South {unique}"
    known = target.raise_alarm(alarm(name), again=False)
    entity = platform.assets.find(name)
    assert entity is not None
    platform.assets.delete(entity.id)
    target.clear(("asset", name, "Too warm"), known)
    target.clear(("asset", name, "Too warm"), None)
    target.raise_alarm(alarm(name), again=False)
    entity = platform.assets.find(name)
    assert entity is not None
    assert len(platform.alarms.active(entity)) == 1
