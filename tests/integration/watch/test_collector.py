from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pacifictool.errors import AuthenticationFailed
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.local.launcher import SandboxProcess
from pacifictool.local.stack import LocalStack
from pacifictool.rest import NO_RETRY, Platform, Session
from pacifictool.scenario import Scenario, parse_scenario
from pacifictool.settings import KafkaEndpoint, Secret
from pacifictool.watch import platform as platform_module
from pacifictool.watch.collector import Collector, WatchTarget
from pacifictool.watch.model import GroupView, Snapshot
from pacifictool.watch.states import WatchedTopicState
from pacifictool.watch.topic import TopicPoller
from tests.integration.watch.conftest import MakeCollector, scenario_text
from tests.support.command_line import variables_of
from tests.support.job_folders import write_job
from tests.support.recorded_documents import assert_described
from tests.support.waiting import SOON_SECONDS, wait_until


def until(collector: Collector, holds: Callable[[Snapshot], bool], seconds: float = 8.0) -> Snapshot:
    """The first snapshot that satisfies the condition."""

    def wanted() -> Snapshot | None:
        snapshot = collector.snapshot()
        return snapshot if holds(snapshot) else None

    found = wait_until(wanted, lambda: json.dumps(collector.snapshot().as_document(), indent=1), seconds)
    assert found is not None
    assert_described("watch", found.as_document())
    return found


def groups_of(snapshot: Snapshot, analytics: int = 0) -> tuple[GroupView, ...]:
    return snapshot.platform.analytics[analytics].groups


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_unknown_parts_of_an_empty_platform_have_reasons(make_collector: MakeCollector) -> None:
    document = make_collector().snapshot().as_document()
    assert document["ok"]
    assert document["verdict"].startswith("No turbine publishes")
    assert "cannot be reached" in document["topic"]["unknown"]
    assert "No job on this machine" in document["job"]["unknown"]
    assert {device["unknown"] for device in document["devices"]} == {"The platform has no device of this name."}
    assert {group["unknown"] for group in document["analytics"][0]["groups"]} == {
        "The platform has no asset or device of this name yet."
    }


def test_means_readings_and_rates_are_those_of_the_platform(
    make_collector: MakeCollector, platform: Platform, scenario: Scenario
) -> None:
    kind = scenario.asset_type
    asset = platform.assets.create(scenario.entities()[0], kind)
    turbine = platform.devices.create(scenario.devices[0].name, kind)
    end = now_ms() // 2000 * 2000
    platform.telemetry.write(asset, [(end - 2000 * number, {"windSpeed": 40.125 + number}) for number in range(3)])
    start = now_ms() - 5000
    platform.telemetry.write(turbine, [(start + 100 * number, {"windSpeed": number}) for number in range(50)])

    snapshot = make_collector().snapshot()

    zone, missing = groups_of(snapshot)
    assert [(result.ts_ms, result.values["windSpeed"]) for result in zone.results] == [
        (end - 4000, 42.125), (end - 2000, 41.125), (end, 40.125)
    ]  # fmt: skip
    assert (zone.kind, missing.kind) == ("asset", None)
    device = snapshot.platform.devices[0]
    assert (device.values, device.attributes) == ({"windSpeed": 49}, {"geoZone": scenario.entities()[0]})
    assert device.rate is not None
    assert 5 < device.rate < 10.5  # less when the poll comes late
    assert (snapshot.platform.reporting, snapshot.platform.devices_total) == (1, 2)


def test_a_correction_and_a_new_zone_appear(
    make_collector: MakeCollector, platform: Platform, scenario: Scenario
) -> None:
    kind = scenario.asset_type
    asset = platform.assets.create(scenario.entities()[0], kind)
    end = now_ms()
    platform.telemetry.write(asset, [(end, {"windSpeed": 40.5})])
    collector = make_collector()
    assert groups_of(collector.snapshot())[0].latest
    platform.telemetry.write(asset, [(end, {"windSpeed": 41.5})])
    until(collector, lambda seen: [result.values["windSpeed"] for result in groups_of(seen)[0].results] == [41.5])
    # A zone that the gateway sink writes is a device of the zone's name.
    device = platform.devices.create(scenario.entities()[1], kind)
    platform.telemetry.write(device, [(end, {"windSpeed": 45.5})])
    snapshot = until(collector, lambda seen: bool(groups_of(seen)[1].results))
    assert groups_of(snapshot)[1].kind == "device"
    assert scenario.entities()[1] not in [device.name for device in snapshot.platform.devices]
    platform.assets.delete(asset.id)
    until(collector, lambda seen: groups_of(seen)[0].kind is None)


def test_a_device_that_falls_silent_no_longer_reports(
    make_collector: MakeCollector, platform: Platform, scenario: Scenario
) -> None:
    turbine = platform.devices.create(scenario.devices[0].name, scenario.asset_type)
    old = now_ms() - 3_600_000
    platform.telemetry.write(turbine, [(old, {"windSpeed": 31})])
    collector = make_collector()
    snapshot = until(collector, lambda seen: seen.platform.devices[0].values.get("windSpeed") == 31)
    assert snapshot.platform.devices[0].rate == 0
    # Its clock is wrong by an hour, which does not matter: readings arrive, so it reports.
    for number in range(1, 20):
        platform.telemetry.write(turbine, [(old + number * 100, {"windSpeed": 30 + number})])
    snapshot = until(collector, lambda seen: seen.platform.devices[0].values.get("windSpeed") == 49)
    assert snapshot.platform.devices[0].is_reporting


def test_many_devices_are_polled_page_by_page(
    make_collector: MakeCollector, platform: Platform, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform_module, "DEVICES_PER_PAGE", 5)
    monkeypatch.setattr(platform_module, "PAGE_SECONDS", 0.3)
    kind = scenario.asset_type
    for number in range(12):
        device = platform.devices.create(f"{kind} D{number:02d}", kind)
        platform.telemetry.write(device, [(now_ms() - 100 * k, {"windSpeed": k}) for k in range(50)])
    collector = make_collector()
    seen: set[str] = set()

    def all_seen(snapshot: Snapshot) -> bool:
        assert len(snapshot.platform.devices) == 5
        seen.update(device.name for device in snapshot.platform.devices)
        return len(seen) == 12

    snapshot = until(collector, all_seen)
    assert snapshot.platform.devices_total == 12
    assert "5 of 12 turbines" in snapshot.platform.notes[0]
    assert snapshot.as_document()["platform"]["is_estimate"]


def test_only_the_chosen_zones_and_devices_are_shown(
    make_collector: MakeCollector, platform: Platform, scenario: Scenario
) -> None:
    asset = platform.assets.create(f"{scenario.entities()[0]} other", "some other type")
    platform.telemetry.write(asset, [(now_ms(), {"windSpeed": 40.5})])
    snapshot = make_collector(entities=(asset.name,), devices=("Test Device A1",)).snapshot()
    assert [(group.name, group.kind) for group in groups_of(snapshot)] == [(asset.name, "asset")]
    assert [device.name for device in snapshot.platform.devices] == ["Test Device A1"]


def test_a_server_that_stops_is_reported_and_found_again(
    tmp_path: Path, make_collector: MakeCollector, scenario: Scenario
) -> None:
    with SandboxProcess(tmp_path / "data") as sandbox:
        session = Session(sandbox.url, "tenant@thingsboard.org", Secret("tenant"), retry=NO_RETRY)
        with Platform(session) as platform:
            asset = platform.assets.create(scenario.entities()[0], scenario.asset_type)
            platform.telemetry.write(asset, [(now_ms(), {"windSpeed": 40.5})])
            collector = make_collector(platform=platform)
            assert collector.snapshot().ok
            sandbox.kill()
            # An open connection breaks first.
            snapshot = until(collector, lambda seen: "cannot be reached" in str(seen.platform.unknown))
            assert not snapshot.ok
            assert groups_of(snapshot)[0].latest is not None, "what was seen before stays in sight"
            sandbox.start()
            until(collector, lambda seen: seen.ok)


def test_a_refused_login_is_not_retried(sandbox: SandboxProcess, make_collector: MakeCollector) -> None:
    with Platform(Session(sandbox.url, "tenant@thingsboard.org", Secret("wrong"), retry=NO_RETRY)) as platform:
        collector = make_collector(platform=platform)
        with pytest.raises(AuthenticationFailed):
            collector.raise_failure()
        assert not collector.snapshot().ok


def test_a_defect_in_a_thread_is_raised_and_not_silent(
    platform: Platform, make_collector: MakeCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poll(_self: TopicPoller) -> WatchedTopicState:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(TopicPoller, "poll", poll)
    collector = make_collector(platform=platform)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        collector.raise_failure()


def test_the_job_on_this_machine_reports_readings_lag_and_invalid_records(
    tmp_path: Path, make_collector: MakeCollector, platform: Platform, scenario: Scenario
) -> None:
    zone = scenario.entities()[0]
    asset = platform.assets.create(zone, scenario.asset_type)
    end = now_ms() // 2000 * 2000
    platform.telemetry.write(asset, [(end, {"windSpeed": 40.0})])
    other = parse_scenario(scenario_text("another"), source="test")
    write_job(tmp_path / "elsewhere", other, windows={}, end=1)
    target = f"rest {platform.url}"
    write_job(tmp_path / "job", scenario, windows={("zones", (zone,), end): 137}, end=900, target=target)
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "ledger.sqlite").touch()

    collector = make_collector(job_folders=lambda: sorted(tmp_path.iterdir()))
    snapshot = until(collector, lambda seen: bool(groups_of(seen)[0].results[0].readings))

    assert groups_of(snapshot)[0].results[0].readings == 137
    job = snapshot.as_document()["job"]
    assert (job["state"], job["rejects"], job["records"], job["posted"]) == ("stopped", 2, 139, 1)
    assert job["rejects_by_reason"] == {"no number": 2}
    assert job["lag"] is None, "without Kafka nobody knows where the topic ends"
    assert (tmp_path / "begun" / "ledger.sqlite").stat().st_size == 0, (
        "a state store that is not set up yet is left alone"
    )


@pytest.mark.kafka
def test_the_topic_gives_its_rate_and_the_jobs_lag(
    tmp_path: Path, stack: LocalStack, make_collector: MakeCollector, scenario: Scenario
) -> None:
    from confluent_kafka import Producer

    topic, bootstrap = scenario.forwarding.topic, variables_of(stack)["PACIFICTOOL_KAFKA"]
    admin = KafkaAdmin(KafkaEndpoint(bootstrap))
    producer = Producer({"bootstrap.servers": bootstrap})
    collector = make_collector(kafka=KafkaEndpoint(bootstrap), job_folders=lambda: [tmp_path / "old", tmp_path / "job"])
    assert "The topic does not exist yet" in str(collector.snapshot().topic.unknown)
    admin.create(topic, partitions=1, replication=1)
    info = admin.describe(topic)
    assert info is not None
    write_job(tmp_path / "old", scenario, windows={}, end=7, topic_id="of an earlier topic")
    write_job(tmp_path / "job", scenario, windows={}, end=15, topic_id=info.topic_id)
    until(collector, lambda seen: seen.topic.ends == {0: 0} and seen.job.folder == str(tmp_path / "job"))
    for _ in range(20):
        producer.produce(topic, b"{}")
    producer.flush()
    snapshot = until(collector, lambda seen: seen.topic.ends == {0: 20} and bool(seen.topic.rate))
    assert snapshot.lag == 5
    # Deleted and created again, it is another topic, whose records are counted from the beginning.
    admin.delete(topic)
    until(collector, lambda seen: seen.topic.unknown is not None)


def test_documents_are_json_without_secrets(make_collector: MakeCollector) -> None:
    document: Any = make_collector().snapshot().as_document()
    text = json.dumps(document, allow_nan=False)
    assert "tenant" not in text
    assert "oken" not in text


def test_closing_does_not_wait_for_a_part_that_hangs(make_collector: MakeCollector) -> None:
    # An address that takes connections and never responds.
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with Platform(Session(url, "tenant", Secret("tenant"), retry=NO_RETRY, timeout_seconds=(60, 60))) as platform:
            began = time.monotonic()
            collector = make_collector(platform=platform)
            collector.wait_until_polled(threading.Event(), seconds=0.1)
            assert not collector.snapshot().ok
            collector.close()
            assert time.monotonic() - began < SOON_SECONDS


def test_alarms_of_groups_and_devices_come_and_go(
    make_collector: MakeCollector, platform: Platform, scenario: Scenario, unique: str
) -> None:
    asset = platform.assets.create(scenario.entities()[0], scenario.asset_type)
    turbine = platform.devices.create(scenario.devices[0].name, scenario.asset_type)
    foreign = platform.assets.create(f"Foreign {unique}", "Other")
    calm = platform.alarms.raise_alarm(asset, "Calm", "WARNING", {}, 1000, 2000)
    platform.alarms.raise_alarm(foreign, "Storm", "CRITICAL", {}, 1000, 2000)
    collector = make_collector()

    def shown(*wanted: str) -> Snapshot:
        return until(collector, lambda snapshot: [each.info.type for each in snapshot.alarms.alarms] == list(wanted))

    snapshot = shown("Calm")
    assert snapshot.alarms.alarms[0].entity == asset.name
    assert snapshot.as_document()["alarms_total"] == 1
    platform.alarms.raise_alarm(turbine, "Storm", "CRITICAL", {}, 1000, 2000)
    assert [each.entity for each in shown("Storm", "Calm").alarms.alarms] == [turbine.name, asset.name]
    platform.alarms.clear(calm.id)
    shown("Storm")
    platform.devices.delete(turbine.id)
    shown()


def test_alarms_of_a_platform_that_is_gone_stay_with_the_reason(tmp_path: Path, scenario: Scenario) -> None:
    with SandboxProcess(tmp_path / "data") as sandbox:
        session = Session(sandbox.url, "tenant@thingsboard.org", Secret("tenant"), retry=NO_RETRY)
        with Platform(session) as platform:
            asset = platform.assets.create(scenario.entities()[0], scenario.asset_type)
            platform.alarms.raise_alarm(asset, "Calm", "WARNING", {}, 1000, 2000)
            target = WatchTarget(platform, KafkaEndpoint("127.0.0.1:1"), scenario, list)
            with Collector(target, interval_seconds=0.1) as collector:
                until(collector, lambda snapshot: len(snapshot.alarms.alarms) == 1)
                sandbox.stop()
                snapshot = until(collector, lambda snapshot: snapshot.alarms.unknown is not None)
                assert len(snapshot.alarms.alarms) == 1
                assert snapshot.as_document()["alarms_total"] is None
