"""The sinks of the job on a real platform and broker, and the gateway's set-up."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from pacifictool.analytics.delivery import CHUNK
from pacifictool.analytics.sinks.registry import SINKS, SinkOptions
from pacifictool.analytics.windows import WindowResult
from pacifictool.kafka.records import read_records
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.local.launcher import SandboxProcess
from pacifictool.local.stack import LocalStack
from pacifictool.rest import Asset, Device, Platform
from pacifictool.scenario import tutorial_scenario
from pacifictool.settings import DEFAULT_USERNAME, KafkaEndpoint, MqttEndpoint, Settings
from tests.support.command_line import CommandLine
from tests.support.recorders import RecordingCallback
from tests.support.sandbox_clients import Tenant
from tests.support.scenarios import mean_in, window_result
from tests.support.snapshots import Snapshot, WriteScenario, snapshot, with_name

WINDOW_MS = 10_000
START_MS = 1_795_477_540_000


@pytest.fixture
def settings(stack: LocalStack) -> Settings:
    base = Settings(
        url=stack.platform.url,
        username=DEFAULT_USERNAME,
        password=None,
        mqtt=MqttEndpoint("127.0.0.1", stack.platform.mqtt_port),
        kafka=KafkaEndpoint(stack.broker.bootstrap),
        platform_kafka=stack.broker.bootstrap,
    )
    return stack.settings(base)


@pytest.fixture
def platform(settings: Settings) -> Iterator[Platform]:
    with Platform.connect(settings) as platform:
        yield platform


def options_of(settings: Settings) -> SinkOptions:
    return SinkOptions(
        settings=settings,
        scenario=tutorial_scenario(),
        connect=lambda: Platform.connect(settings),
        write=print,
    )


@pytest.fixture
def options(settings: Settings, before: Snapshot) -> SinkOptions:
    return options_of(settings)


def make_gateway(platform: Platform, name: str = "Analytics Gateway") -> None:
    platform.devices.create(name, "gateway", {"gateway": True})


def result(zone: str, number: int, mean: float) -> WindowResult:
    end = START_MS + number * WINDOW_MS
    return window_result(zone, end, mean, 10)


def deliver(sink_name: str, options: SinkOptions, *batches: list[WindowResult]) -> None:
    """Delivers through a new sink of that name."""
    book = RecordingCallback(fail_on_refusal=True)
    with SINKS[sink_name].open(options) as sink:
        assert sink.target == SINKS[sink_name].target(options)
        for batch in batches:
            sink.deliver(batch, book)
    assert len(book.accepted_results) == sum(map(len, batches))


def values(platform: Platform, entity: Device | Asset | None) -> dict[int, Any]:
    assert entity is not None
    points = platform.telemetry.range(entity, "windSpeed", 0, START_MS + 10**9)
    return {point.ts_ms: point.value for point in points}


def test_both_sinks_show_the_same_values(platform: Platform, options: SinkOptions) -> None:
    make_gateway(platform)
    source = random.Random(1)
    zones = [f"Zone {n}" for n in range(40)] + ['Zo"ne ü', "A/B?c=d&e#f", "x" * 255]
    first = [result(zone, n, source.uniform(0, 100)) for n in range(1, 6) for zone in zones]
    # Whole numbers, tiny and large ones; then a late correction, with the newest window once more behind it.
    first += [
        result(zone, 6, mean) for zone, mean in zip(zones, (0.0, 7.0, 1e-9, 1e9, 999999999.999999999), strict=False)
    ]
    corrections = [result(zones[0], 2, 55.5), result(zones[0], 6, 0.0)]
    for name in ("rest", "gateway"):
        deliver(name, options, first, corrections)

    assert platform.devices.types().count("WeatherStation") == 1
    for zone in zones:
        device, asset = platform.devices.find(zone), platform.assets.find(zone)
        assert device is not None
        assert (device.type, device.is_gateway) == ("WeatherStation", False)
        wanted = {result.window_end_ms: mean_in(result) for result in (*first, *corrections) if result.entity == zone}
        assert values(platform, device) == values(platform, asset) == wanted
        newest = max(wanted)
        for entity in (device, asset):
            assert entity is not None
            latest = platform.telemetry.latest(entity, ["windSpeed"])["windSpeed"]
            assert latest is not None
            assert latest.ts_ms == newest


def test_a_replay_through_the_gateway_changes_nothing(
    platform: Platform, options: SinkOptions, stack: LocalStack
) -> None:
    make_gateway(platform)
    results = [result(f"Zone {zone}", n, zone + n / 7) for n in range(1, 9) for zone in range(20)]
    deliver("gateway", options, results)
    made = snapshot(stack.platform.url)
    kept = [values(platform, platform.devices.find(f"Zone {zone}")) for zone in range(20)]

    deliver("gateway", options, results)
    assert snapshot(stack.platform.url) == made
    assert [values(platform, platform.devices.find(f"Zone {zone}")) for zone in range(20)] == kept
    assert sum(map(len, kept)) == len(results)


@pytest.mark.parametrize("generation", ["1", pytest.param("4", marks=pytest.mark.long)])
def test_ten_thousand_zones_through_the_gateway(settings: Settings, tmp_path: Path, generation: str) -> None:
    sandbox = SandboxProcess(tmp_path / "platform", options=("--generation", generation))
    sandbox.start()
    try:
        settings = dataclasses.replace(
            settings, url=sandbox.url, mqtt=MqttEndpoint("127.0.0.1", sandbox.mqtt_port)
        )  # fmt: skip
        with Platform.connect(settings) as platform:
            make_gateway(platform)
            results = [result(f"Zone {n:05d}", 1, n / 7) for n in range(10_000)]
            # In batches, as the job hands them over.
            pieces = [results[start : start + CHUNK] for start in range(0, 10_000, CHUNK)]
            deliver("gateway", options_of(settings), *pieces)
            assert sum(1 for _ in platform.devices.list(type="WeatherStation")) == 10_000
            for n in range(0, 10_000, 777):
                assert values(platform, platform.devices.find(f"Zone {n:05d}")) == {START_MS + WINDOW_MS: n / 7}
    finally:
        sandbox.stop()


@pytest.mark.long
def test_the_job_gives_the_same_through_every_sink(
    on_stack: CommandLine, platform: Platform, settings: Settings, write_scenario: WriteScenario
) -> None:
    scenario = str(write_scenario("sinks", turbines=1))
    admin = KafkaAdmin(settings.kafka)
    admin.create("sinks", partitions=2, replication=1)
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap})
    source = random.Random(7)
    for _ in range(5000):
        zone = f"sinks {source.randrange(6)}"
        producer.produce("sinks", json.dumps({"geoZone": zone, "windSpeed": source.uniform(0, 60)}).encode())
    assert producer.flush(60) == 0
    make_gateway(platform, "Another Gateway")
    whole = ("--starting-offsets", "earliest", "--available-now", "--window", "500ms", "-s", scenario, "-o", "json")

    posted = {}
    for name, more in (("rest", ()), ("gateway", ("--gateway-device", "Another Gateway")), ("kafka", ())):
        outcome = on_stack("aggregate", "--sink", name, *more, *whole)
        assert outcome.code == 0, outcome.stdout + outcome.stderr
        assert outcome.document["valid"] == 5000
        posted[name] = outcome.document["windows_posted"]
    assert len(set(posted.values())) == 1

    from_topic: dict[str, dict[int, float]] = {}
    for record in read_records(settings.kafka, "sinks-means"):
        document = json.loads(record.value or b"")
        assert (record.key or b"").decode() == document["geoZone"]
        from_topic.setdefault(document["geoZone"], {})[document["ts"]] = document["windSpeed"]
    assert sorted(from_topic) == [f"sinks {n}" for n in range(6)]
    for zone, means in from_topic.items():
        assert values(platform, platform.devices.find(zone)) == means
        assert values(platform, platform.assets.find(zone)) == means
    assert sum(map(len, from_topic.values())) == posted["rest"]
    for topic in ("sinks", "sinks-means"):
        admin.delete(topic)


def step(document: Any, kind: str, name: str) -> Any:
    [found] = [step for step in document["steps"] if (step["kind"], step["name"]) == (kind, name)]
    return found


def test_setup_makes_the_gateway_and_teardown_removes_it_with_its_devices(
    on_stack: CommandLine,
    stack: LocalStack,
    before: Snapshot,
    platform: Platform,
    options: SinkOptions,
    write_scenario: WriteScenario,
) -> None:
    scenario = ("-s", str(write_scenario("gw", turbines=3, zones=2)), "-o", "json")
    planned = on_stack("setup", "--gateway", "--dry-run", *scenario)
    assert step(planned.document, "gateway", "Analytics Gateway")["action"] == "created"
    assert snapshot(stack.platform.url) == before

    assert on_stack("setup", "--gateway", *scenario).code == 0
    gateway = platform.devices.find("Analytics Gateway")
    assert gateway is not None
    assert (gateway.type, gateway.is_gateway) == ("gateway", True)
    again = on_stack("setup", "--gateway", *scenario)
    assert (again.document["created"], again.document["changed"]) == (0, 0)

    platform.devices.update(gateway, additionalInfo={**(gateway.additional_info or {}), "gateway": False})
    fixed = on_stack("setup", "--gateway", *scenario)
    assert step(fixed.document, "gateway", "Analytics Gateway")["differences"] == ["additionalInfo.gateway: true"]
    assert platform.devices.get(gateway.id).raw == gateway.raw

    deliver("gateway", options, [result(zone, 1, 2.5) for zone in ("gw Z0", "gw Z1", "elsewhere")])
    # Someone else's device with the name of a zone, and one that the gateway created outside of the scenario.
    platform.devices.delete(str(platform.devices.find("gw Z1").id))  # type: ignore[union-attr]
    theirs = platform.devices.create("gw Z1", "WeatherStation")
    removed = on_stack("teardown", "--yes", "--topic", *scenario)
    assert removed.code == 0
    assert step(removed.document, "device", "gw Z0")["action"] == "deleted"
    assert removed.document["notes"] == ["Device 'gw Z1' stays: the gateway 'Analytics Gateway' did not make it."]
    left = snapshot(stack.platform.url)["devices"]
    assert {device["name"] for key, device in left.items() if key not in before["devices"]} == {"gw Z1", "elsewhere"}
    assert with_name(left, "gw Z1")[0]["id"]["id"] == theirs.id


def test_a_turbine_with_the_name_of_a_zone_stays_a_turbine(
    on_stack: CommandLine, platform: Platform, options: SinkOptions, before: Snapshot, write_scenario: WriteScenario
) -> None:
    scenario = write_scenario("duplicate", turbines=1)
    scenario.write_text(scenario.read_text().replace('"duplicate Z0" }', '"duplicate 00000" }'))
    made = on_stack("setup", "--gateway", "-s", str(scenario), "-o", "json")
    assert made.code == 0
    assert "go to 'duplicate 00000', which is the name of a device" in made.document["notes"][0]
    deliver("gateway", options, [result("duplicate 00000", 1, 2.5)])
    turbine = platform.devices.find("duplicate 00000")
    assert turbine is not None

    removed = on_stack("teardown", "--yes", "-s", str(scenario), "-o", "json")
    assert [item["name"] for item in removed.document["steps"] if item["kind"] == "device"] == ["duplicate 00000"]


def test_a_gateway_that_somebody_else_made_is_used_and_left(
    on_stack: CommandLine, platform: Platform, before: Snapshot, write_scenario: WriteScenario
) -> None:
    scenario = ("-s", str(write_scenario("own", turbines=1)), "-o", "json")
    theirs = platform.devices.create("Own Gateway", "default", {"gateway": True, "description": "mine"})
    made = on_stack("setup", "--gateway-device", "Own Gateway", *scenario)
    assert step(made.document, "gateway", "Own Gateway")["action"] == "unchanged"
    removed = on_stack("teardown", "--yes", "--gateway-device", "Own Gateway", *scenario)
    assert removed.document["notes"] == ["Device 'Own Gateway' stays: setup did not make it."]
    assert platform.devices.get(theirs.id).raw == theirs.raw


def test_teardown_goes_on_where_a_failed_one_stopped(
    on_stack: CommandLine,
    stack: LocalStack,
    before: Snapshot,
    platform: Platform,
    options: SinkOptions,
    write_scenario: WriteScenario,
    tenant: Tenant,
) -> None:
    scenario = ("-s", str(write_scenario("half", turbines=1)), "-o", "json")
    on_stack("setup", "--gateway", *scenario)
    deliver("gateway", options, [result("half Z0", 1, 2.5)])
    [turbine] = with_name(snapshot(stack.platform.url)["devices"], "half 00000")
    tenant.delete(f"/api/device/{turbine['id']['id']}")
    removed = on_stack("teardown", "--yes", "--topic", *scenario)
    assert removed.code == 0
    assert snapshot(stack.platform.url) == before


def test_the_gateway_sink_without_its_gateway(on_stack: CommandLine, platform: Platform, before: Snapshot) -> None:
    missing = on_stack("aggregate", "--sink", "gateway", "-o", "json")
    assert missing.code == 1
    assert missing.document["error"]["kind"] == "not-found"
    assert "no gateway device 'Analytics Gateway'" in missing.document["error"]["message"]
    assert "setup --gateway" in missing.document["error"]["hint"]

    platform.devices.create("Analytics Gateway", "default")
    plain = on_stack("aggregate", "--sink", "gateway", "-o", "json")
    assert plain.code == 1
    assert "is not a gateway" in plain.document["error"]["message"]
    assert "setup --gateway" in plain.document["error"]["hint"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--sink", "gatway"), "Use one of rest, gateway, kafka, console."),
        (("--gateway-device", "G"), "--gateway-device requires --sink gateway"),
        (("--sink", "gateway", "--result-topic", "t"), "--result-topic requires --sink kafka"),
        (("--sink", "kafka", "--result-topic", "weather-stations-data"), "would count its own results"),
        (("--sink", "kafka", "--result-topic", "not a topic"), "is not the name of a topic"),
    ],
)
def test_sinks_that_make_no_sense(on_stack: CommandLine, arguments: tuple[str, ...], said: str) -> None:
    outcome = on_stack("aggregate", *arguments, "-o", "json")
    assert outcome.code == 2
    error = outcome.document["error"]
    assert said in f"{error['message']} {error['hint']}"
