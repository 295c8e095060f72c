from __future__ import annotations

from pathlib import Path

import pytest

from pacifictool.local.launcher import SandboxProcess
from pacifictool.local.stack import LocalStack
from pacifictool.sandbox.auth import Users
from pacifictool.sandbox.entities import Entities
from pacifictool.sandbox.ids import IdFactory
from pacifictool.sandbox.store import Store
from tests.support.command_line import CommandLine
from tests.support.snapshots import Snapshot, WriteScenario, snapshot

MANY = 10_000


@pytest.mark.long
def test_a_thousand_devices_are_set_up_with_their_attributes_and_torn_down(
    on_stack: CommandLine, stack: LocalStack, before: Snapshot, write_scenario: WriteScenario
) -> None:
    scenario = str(write_scenario("fleet", turbines=1000, zones=7))
    done = on_stack("setup", "-s", scenario, "-o", "json")
    assert (done.code, done.document["created"]) == (0, 2010)
    made = snapshot(stack.platform.url)
    zones = {
        device["name"]: made["attributes"][identifier]
        for identifier, device in made["devices"].items()
        if device["name"].startswith("fleet ")
    }
    assert zones == {
        f"fleet {number:05d}": {"deviceType": "WeatherStation", "geoZone": f"fleet Z{number % 7}"}
        for number in range(1000)
    }
    table = on_stack("setup", "-s", scenario).stdout
    assert table.splitlines()[-1] == "0 created, 0 changed, 2010 unchanged"
    assert len(table.splitlines()) < 20  # counts instead of 2,010 lines
    assert on_stack("teardown", "--yes", "-s", scenario, "-o", "json").document["deleted"] == 1009
    assert snapshot(stack.platform.url) == before


def test_ten_thousand_devices_and_assets_are_listed_completely(command_line: CommandLine, tmp_path: Path) -> None:
    platform = SandboxProcess(tmp_path / "platform")
    platform.start()
    platform.stop()
    _fill(platform.data_dir / "sandbox.db")
    with platform:
        environ = {"PACIFICTOOL_URL": platform.url}
        everything = {f"many {number:05d}" for number in range(MANY)}
        for kind, others in (("device", 7), ("asset", 0)):
            listed = command_line(kind, "list", "-o", "json", environ=environ).document[f"{kind}s"]
            names = [entity["name"] for entity in listed]
            assert len(names) == len(set(names)) == MANY + others
            assert everything <= set(names)
            some = command_line(kind, "list", "--type", "type 3", "-o", "json", environ=environ).document[f"{kind}s"]
            assert sorted(entity["name"] for entity in some) == [f"many {number:05d}" for number in range(3, MANY, 10)]


def _fill(database: Path) -> None:
    """Writes the entities straight to the platform's database: over REST it would take ten times as long."""
    store = Store(database)
    try:
        ids = IdFactory(0)
        entities, tenant = Entities(store, ids), Users(store, ids).tenant
        for number in range(MANY):
            for kind in ("DEVICE", "ASSET"):
                entities.create(kind, tenant, f"many {number:05d}", f"type {number % 10}")
        store.commit()
    finally:
        store.close()
