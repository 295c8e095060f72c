"""Groups of several analytics, as far as the scenario, the platform and the devices' attributes make them known."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pacifictool.analytics.state.outcome_store import WindowOutcome
from pacifictool.analytics.state.outcomes import KeptOutcome
from pacifictool.rest import Platform
from pacifictool.scenario import Scenario, parse_scenario
from pacifictool.watch import platform as platform_module
from tests.integration.watch.conftest import MakeCollector, scenario_text
from tests.integration.watch.test_collector import until
from tests.support.job_folders import job_checkpoint, job_identity, write_job


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def several(unique: str) -> Scenario:
    return parse_scenario(
        f"""
[platform]
device_type = "Sensor {unique}"
asset_type = "Room {unique}"
[forwarding]
topic = "rooms-{unique}"
attributes = ["site", "server:tier"]
telemetry = ["temperature", "humidity"]
device = true
[[analytics]]
name = "sites"
group_by = ["site"]
window = "2s"
telemetry = {{ temperature = "mean(temperature)", readings = "count()" }}
[[analytics]]
name = "tiers"
group_by = ["site", "tier"]
window = "2s"
ts = "start"
telemetry = {{ humidity = "max(humidity)" }}
[[analytics]]
name = "own"
group_by = ["deviceName"]
entity = "{{deviceName}} hourly"
entity_kind = "device"
window = "2s"
telemetry = {{ hourly = "max(temperature)" }}
[[devices]]
name = "S1 {unique}"
attributes = {{ site = "North {unique}", "server:tier" = "gold" }}
telemetry = {{ temperature = {{ min = 2, max = 8 }} }}
""",
        source="test",
    )


def test_results_are_found_on_assets_and_devices(
    make_collector: MakeCollector, platform: Platform, several: Scenario, unique: str
) -> None:
    end_ms = now_ms() // 2000 * 2000
    for name, values in (
        (f"North {unique}", {"temperature": 5.5, "readings": 12}),
        (f"South {unique}", {"readings": 1}),
    ):
        platform.telemetry.write(platform.assets.create(name, several.asset_type), [(end_ms, values)])
    tier = platform.assets.create(f"North {unique} / gold", several.asset_type)
    platform.telemetry.write(tier, [(end_ms - 2000, {"humidity": 50.0})])
    kind = several.entity_type("device")
    own = platform.devices.create(f"S1 {unique}", kind)
    platform.telemetry.write(own, [(end_ms, {"temperature": 5.0, "humidity": 41})])
    hourly = platform.devices.create(f"S1 {unique} hourly", kind)
    platform.telemetry.write(hourly, [(end_ms, {"hourly": 6.0})])
    other = platform.devices.create(f"S2 {unique}", kind)
    platform.attributes.set_server(other, {"tier": "silver"})

    collector = make_collector(scenario=several)
    state = until(collector, lambda seen: len(seen.platform.devices) == 2).platform
    sites, tiers, by_device = state.analytics

    assert [(group.name, group.kind, group.values()) for group in sites.groups] == [
        (f"North {unique}", "asset", {"temperature": 5.5, "readings": 12.0}),
        (f"South {unique}", "asset", {"readings": 1.0}),
    ]
    [gold] = tiers.groups
    assert (gold.name, gold.group) == (f"North {unique} / gold", (f"North {unique}", "gold"))
    assert gold.age_seconds(end_ms, tiers.described) == 0, "the time of its results is the start of their window"
    found = {group.name: (group.kind, group.values()) for group in by_device.groups}
    assert found[f"S1 {unique} hourly"] == ("device", {"hourly": 6.0})
    assert found[f"S2 {unique} hourly"] == (None, {})
    first, second = state.devices
    assert (first.name, first.values) == (f"S1 {unique}", {"temperature": 5.0, "humidity": 41})
    assert first.attributes == {"site": f"North {unique}", "tier": "gold"}
    assert (second.name, second.attributes) == (f"S2 {unique}", {"tier": "silver"})


def test_many_groups_are_read_in_turn(
    make_collector: MakeCollector, platform: Platform, several: Scenario, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform_module, "GROUPS_PER_POLL", 5)
    for number in range(12):
        asset = platform.assets.create(f"Site {number} {unique}", several.asset_type)
        platform.telemetry.write(asset, [(now_ms(), {"readings": number})])
    collector = make_collector(scenario=several.only(["sites"]))
    snapshot = until(
        collector, lambda seen: sum(bool(group.results) for group in seen.platform.analytics[0].groups) == 12
    )
    [sites] = snapshot.platform.analytics
    assert sites.groups_total == 13
    assert sites.round_ms > 0


def test_the_job_of_another_platform_or_scenario_is_named_and_not_shown(
    tmp_path: Path, make_collector: MakeCollector, platform: Platform, scenario: Scenario, unique: str
) -> None:
    write_job(tmp_path / "job", scenario, windows={}, end=900, target="rest http://127.0.0.1:1")
    collector = make_collector(job_folders=lambda: [tmp_path / "job"])
    job = collector.snapshot().job
    assert job.is_running is None
    assert str(job.unknown).endswith(f"The one in {tmp_path / 'job'} posts to http://127.0.0.1:1.")
    other = parse_scenario(scenario_text(unique).replace('name = "zones"', 'name = "shops"'), source="test")
    write_job(tmp_path / "other", other, windows={}, end=900, target=f"rest {platform.url}")
    collector = make_collector(job_folders=lambda: [tmp_path / "other"])
    assert "computes other analytics (shops)" in str(collector.snapshot().job.unknown)


def test_keys_of_a_function_are_found_on_its_entities(
    make_collector: MakeCollector, platform: Platform, tmp_path: Path, unique: str
) -> None:
    """Only what a function returns tells its keys; until then there is one that has no values."""
    (tmp_path / "mine.py").write_text("def score(readings, window, history):\n    return {}\n")
    scenario = parse_scenario(
        f"""
units = {{ score = "%" }}
[platform]
device_type = "Sensor {unique}"
asset_type = "Room {unique}"
[forwarding]
topic = "rooms-{unique}"
attributes = ["site"]
telemetry = ["temperature"]
[[analytics]]
name = "scores"
group_by = ["site"]
window = "2s"
function = "mine:score"
[[devices]]
name = "S1 {unique}"
attributes = {{ site = "North {unique}" }}
telemetry = {{ temperature = {{ min = 2, max = 8 }} }}
""",
        source="test",
        folder=tmp_path,
    )
    north = platform.assets.create(f"North {unique}", scenario.asset_type)
    collector = make_collector(scenario=scenario)
    [view] = collector.snapshot().platform.analytics
    assert [key.key for key in view.described.keys] == ["result"]
    end_ms = now_ms() // 2000 * 2000
    platform.telemetry.write(north, [(end_ms, {"score": 61.5, "rank": 3})])
    shown = until(collector, lambda snapshot: len(snapshot.platform.analytics[0].described.keys) == 2)
    [view] = shown.platform.analytics
    assert [key.title for key in view.described.keys] == ["rank", "score (%)"]
    shown = until(collector, lambda snapshot: bool(snapshot.platform.analytics[0].groups[0].results))
    assert shown.platform.analytics[0].groups[0].values() == {"score": 61.5, "rank": 3.0}


def test_failures_of_functions_are_part_of_the_job(
    make_collector: MakeCollector, unique: str, tmp_path: Path, platform: Platform
) -> None:
    scores = '[[analytics]]\nname = "scores"\ngroup_by = ["geoZone"]\nwindow = "2s"\nfunction = "scoring:score"\n'
    scenario = parse_scenario(scenario_text(unique).replace("[labels]", f"{scores}[labels]"), source="test")
    with job_checkpoint(tmp_path / "job", scenario) as checkpoint:
        checkpoint.check_identity(job_identity(scenario, target=f"rest {platform.url}"))
        failure = KeptOutcome(3, failure="scoring:score raised ValueError: no")
        checkpoint.store.keep_outcomes([WindowOutcome("scores", "Zone", 10_000, failure)])
        collector = make_collector(scenario=scenario, job_folders=lambda: [tmp_path / "job"])
        snapshot = until(collector, lambda seen: seen.job.function_failures == 1)
    assert snapshot.job.last_function_failure == "scoring:score raised ValueError: no"
    assert snapshot.as_document()["job"]["function_failures"] == 1
    assert "1 function failure" in next(hop.detail for hop in snapshot.hops if hop.name == "job")
