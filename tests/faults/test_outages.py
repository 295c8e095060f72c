"""One job that runs through everything that can happen to the parts around it.

The tests share the job, its topic and its platform: each injures something while turbines publish, heals it, and
compares every window since the beginning. The job must live through all of it.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer
from promise import parse
from proving_ground import GARBAGE, ProvingGround
from sandbox_clients import Tenant

from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.scenario import load_scenario
from pacifictool.settings import KafkaEndpoint
from pacifictool.simulation.reading import Outcome

pytestmark = [pytest.mark.spark, pytest.mark.kafka, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProvingGround]:
    """A job that was started before there was a topic."""
    with ProvingGround(tmp_path_factory.mktemp("ground")) as ground:
        ground.start_job()
        ground.job.wait_to_say("There is no topic winds")  # type: ignore[union-attr]
        ground.set_up()
        ground.publish(b'{"geoZone":"Zone 0", "windSpeed":7}')
        ground.wait_for_posts()
        yield ground


@pytest.fixture
def ground(started: ProvingGround) -> Iterator[ProvingGround]:
    assert started.job is not None
    assert started.job.is_running(), started.job.said
    try:
        yield started
    finally:
        started.proxy.heal()


@pytest.mark.long
def test_a_topic_that_is_missing_at_the_start_is_waited_for(ground: ProvingGround) -> None:
    assert ground.job is not None
    ground.job.wait_to_say("Topic winds is there now, with 2 partitions.")
    assert "Waiting for it; `pacifictool setup` creates it." in ground.job.said
    ground.start_turbines()
    ground.publish(*GARBAGE)
    ground.wait_for_posts(3)

    assert ground.verify().rejected == len(GARBAGE)


@pytest.mark.long
def test_a_second_job_on_the_same_checkpoint_is_refused_and_the_first_goes_on(ground: ProvingGround) -> None:
    ground.start_turbines()
    second = ground.aggregate("--starting-offsets", "earliest").wait()
    assert second.code == 1
    error = second.document["error"]
    assert error["kind"] == "checkpoint-in-use"
    assert str(ground.checkpoint) in error["message"]
    assert "--checkpoint" in error["hint"]
    ground.wait_for_posts(3)

    ground.verify()


@pytest.mark.long
def test_partitions_that_are_added_while_it_runs_are_picked_up(ground: ProvingGround) -> None:
    ground.start_turbines()
    KafkaAdmin(KafkaEndpoint(ground.broker.bootstrap)).add_partitions(ground.topic, 4)
    producer = Producer({"bootstrap.servers": ground.broker.bootstrap})
    for number in range(100):
        producer.produce(ground.topic, b'{"geoZone":"Zone %d", "windSpeed":%d}' % (number % 3, number), partition=3)
        producer.poll(0.01)
    assert producer.flush(20) == 0

    ground.verify()
    # The platform's producer may have found the new partition, too.
    assert sum(record.partition == 3 for record in ground.records()) >= 100


def test_a_broker_that_is_killed_and_comes_back(ground: ProvingGround) -> None:
    assert ground.job is not None
    turbines = ground.start_turbines()
    ground.wait_for_posts()
    ground.restart_broker(pause_seconds=5)
    ground.job.wait_to_say(f"Kafka at {ground.broker.bootstrap} does not respond.")
    ground.job.wait_to_say("Kafka serves topic winds again.")
    acknowledged = turbines.fleet.snapshot().acknowledged
    turbines.wait_for(lambda summary: summary.acknowledged > acknowledged + 100)

    ground.verify()


def test_a_device_whose_token_is_revoked_reports_it_and_the_others_go_on(ground: ProvingGround) -> None:
    turbines = ground.start_turbines(refused_retry_seconds=1.0)
    turbines.wait_for(lambda summary: summary.online == 6 and summary.acknowledged > 60)
    tenant = Tenant(ground.platform.url)
    [device] = tenant.get("/api/tenant/devices?limit=1&textSearch=Turbine 002")["data"]
    credentials = tenant.get(f"/api/device/{device['id']['id']}/credentials")
    tenant.post("/api/device/credentials", credentials | {"credentialsId": "revoked-and-replaced"})
    # Here a session that stands goes on; the next login is refused.
    ground.restart_platform()
    turbines.wait_for(lambda summary: summary.online == 5 and bool(summary.refused))
    before = turbines.fleet.snapshot()
    turbines.wait_for(lambda summary: summary.acknowledged > before.acknowledged + 100)
    summary = ground.stop_turbines()

    assert list(summary.refused) == ["Turbine 002"]
    assert "refused" in summary.refused["Turbine 002"]
    assert summary.complete is False
    assert {reading.device for reading in turbines.readings if reading.outcome is Outcome.LOST} <= {"Turbine 002"}
    credentials = tenant.get(f"/api/device/{device['id']['id']}/credentials")
    assert credentials["credentialsId"] == "revoked-and-replaced"
    ground.verify()


@pytest.mark.long
@pytest.mark.parametrize(
    "trouble",
    [
        ("--access-token-seconds", "3"),
        ("--rest-latency-seconds", "2"),
        ("--rest-failing-share", "0.2"),
    ],
    ids=lambda options: options[0].removeprefix("--"),
)
def test_a_platform_that_makes_trouble_over_rest(ground: ProvingGround, trouble: tuple[str, str]) -> None:
    ground.start_turbines()
    ground.restart_platform(*trouble)
    time.sleep(7)
    posted = sum(map(len, ground.posted().values.values()))

    verdict = ground.verify()
    assert verdict.windows > posted > 0
    ground.restart_platform()


@pytest.mark.long
def test_refusals_of_every_kind_are_waited_out_and_shown(ground: ProvingGround) -> None:
    assert ground.job is not None
    ground.start_turbines()
    ground.wait_for_posts()
    for status in (401, 403, 429, 503):
        ground.proxy.answer(status, f"trouble {status}")
        ground.job.wait_to_say(f"trouble {status}")
        said = ground.job.said
        assert "results wait; trying again in" in said[said.index(f"trouble {status}") :]
    ground.proxy.break_off()
    time.sleep(1)
    ground.proxy.heal()
    ground.job.wait_to_say("Results are delivered again")

    ground.verify()


@pytest.mark.long
def test_half_open_connections_are_given_up_and_nothing_is_skipped(ground: ProvingGround) -> None:
    assert ground.job is not None
    ground.start_turbines()
    ground.wait_for_posts()
    ground.proxy.swallow()
    ground.job.wait_to_say("within 30 s")
    ground.proxy.heal()

    ground.verify()


def test_a_platform_that_is_killed_while_100_turbines_publish_loses_no_reading_in_silence(
    ground: ProvingGround,
) -> None:
    path = ground.write_scenario("hundred.toml", prefix="Hundred ", turbines=100, zones=100, rate=2, partitions=4)
    ground.set_up("-s", str(path), "--add-partitions")
    turbines = ground.start_turbines(scenario=load_scenario(path))
    turbines.wait_for(lambda summary: summary.online == 100 and summary.acknowledged > 300)
    ground.restart_platform(pause_seconds=1.0)
    turbines.wait_for(lambda summary: summary.reconnects == 100)
    acknowledged = turbines.fleet.snapshot().acknowledged
    turbines.wait_for(lambda summary: summary.acknowledged > acknowledged + 300)
    summary = ground.stop_turbines()

    assert summary.generated == len(turbines.readings) == summary.acknowledged + summary.lost
    assert len(summary.losses) == min(summary.lost, 100)
    # Every turbine stands in a zone of its own, and hardly two readings of one turbine are equal.
    generated: dict[str, Counter[int]] = defaultdict(Counter)
    acknowledged_of: dict[str, Counter[int]] = defaultdict(Counter)
    most: dict[str, Counter[int]] = defaultdict(Counter)
    for reading in turbines.readings:
        zone = reading.device.replace("Turbine 0", "Zone ").replace("Zone 0", "Zone ")
        generated[zone][int(reading.values["windSpeed"])] += 1
        acknowledged_of[zone][int(reading.values["windSpeed"])] += reading.outcome is Outcome.ACKNOWLEDGED
        most[zone][int(reading.values["windSpeed"])] += 1 + reading.resent
    in_topic: dict[str, Counter[int]] = defaultdict(Counter)
    for record in ground.records():
        parsed = parse(record.value)
        if parsed is not None and parsed[0].startswith("Hundred"):
            in_topic[parsed[0]][int(parsed[1])] += 1
    assert in_topic.keys() == generated.keys()
    for zone, values in in_topic.items():
        assert values.keys() <= generated[zone].keys(), f"{zone}: values that no turbine measured"
        assert acknowledged_of[zone] <= values, f"{zone}: acknowledged, but not in the topic"
        assert values <= most[zone], f"{zone}: more often in the topic than it was sent"
    # On the device, each reading stands once, at its own time and with its own value.
    tenant = Tenant(ground.platform.url)
    [device] = tenant.get("/api/tenant/devices?limit=1&textSearch=Hundred Turbine 007")["data"]
    points = tenant.get(
        f"/api/plugins/telemetry/DEVICE/{device['id']['id']}/values/timeseries"
        "?keys=windSpeed&startTs=1&endTs=99999999999999&interval=0&limit=10000"
    )["windSpeed"]
    of_device = [reading for reading in turbines.readings if reading.device == "Hundred Turbine 007"]
    stored = {point["ts"]: int(point["value"]) for point in points}
    assert len(stored) == len(points)
    assert stored.items() <= {reading.ts_ms: reading.values["windSpeed"] for reading in of_device}.items()
    assert (
        stored.items()
        >= {reading.ts_ms: reading.values["windSpeed"] for reading in of_device if reading.outcome is Outcome.ACKNOWLEDGED}.items()
    )

    ground.verify()


@pytest.mark.long
def test_in_the_end_nothing_changes_any_more_and_a_replay_changes_nothing(ground: ProvingGround) -> None:
    assert ground.job is not None
    ground.start_turbines()
    ground.wait_for_posts()
    verdict = ground.finish()

    replay = ground.aggregate(
        "--starting-offsets", "earliest", "--available-now", checkpoint=ground.folder / "replay"
    ).wait()
    assert replay.code == 0, replay.stderr
    assert replay.document["windows_posted"] >= verdict.windows
    assert ground.compare() == verdict
    ground.start_job()
