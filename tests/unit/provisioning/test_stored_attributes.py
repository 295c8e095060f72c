"""Attributes that the platform has acknowledged and stores later (docs/servers/2.x-3.x.md#telemetry-and-mqtt, row 4)."""

from __future__ import annotations

import threading
import uuid

import pytest

from pacifictool.errors import Interrupted
from pacifictool.provisioning.stored_attributes import StoredAttributes, devices_to_check
from pacifictool.rest import Device, Platform
from tests.support.recorders import RecordingReporter
from tests.support.scripted_platform import Reply, ScriptedPlatform

ID = str(uuid.uuid4())
DEVICE = Device(id=ID, name="WS-1", created_time=0, tenant_id=ID, raw={}, type="WeatherStation")
PATH = f"/api/plugins/telemetry/DEVICE/{ID}/values/attributes/CLIENT_SCOPE"
WANTED = {"deviceType": "WeatherStation", "floor": "7"}
OLD = Reply(json=[{"key": "deviceType", "value": "Buoy"}])
STORED = Reply(json=[{"key": "deviceType", "value": "WeatherStation"}, {"key": "floor", "value": 7}])


def test_the_wait_ends_when_all_attributes_are_there(
    server: ScriptedPlatform, platform: Platform, reporter: RecordingReporter
) -> None:
    server.on("GET", PATH, Reply(json=[]), OLD, Reply(json=[{"key": "floor", "value": 7}]), STORED)
    StoredAttributes(platform, reporter, None).wait_for(DEVICE, WANTED)
    assert server.count("GET", PATH) == 4
    assert reporter.warnings == []


def test_a_server_that_never_stores_them_is_reported_once_and_not_waited_for_again(
    server: ScriptedPlatform, platform: Platform, reporter: RecordingReporter
) -> None:
    server.on("GET", PATH, OLD)
    stored = StoredAttributes(platform, reporter, None, timeout_seconds=0.01)
    stored.wait_for(DEVICE, WANTED)
    asked = server.count("GET", PATH)
    stored.wait_for(DEVICE, WANTED)
    assert server.count("GET", PATH) == asked
    [warning] = reporter.warnings
    assert warning.startswith("The platform acknowledged the attributes of 'WS-1' and does not show them after 0.01 s")


def test_a_stop_signal_ends_the_wait(server: ScriptedPlatform, platform: Platform, reporter: RecordingReporter) -> None:
    server.on("GET", PATH, OLD)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        StoredAttributes(platform, reporter, stop).wait_for(DEVICE, WANTED)


@pytest.mark.parametrize(("fleet", "checked"), [(0, 0), (1, 1), (3, 3), (99, 99), (250, 84), (10_000, 100)])
def test_of_a_fleet_about_a_hundred_devices_are_looked_at(fleet: int, checked: int) -> None:
    names = [str(number) for number in range(fleet)]
    found = devices_to_check(names)
    assert len(found) == checked
    assert found >= {*names[:1], *names[-1:]}
