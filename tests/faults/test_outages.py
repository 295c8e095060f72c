"""One job that survives everything that can happen to the systems around it.

The tests share the job, its topic and its platform: each breaks something while turbines publish, repairs it, and
compares every window since the beginning. The job must survive all of it.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.scenario import load_scenario
from pacifictool.settings import KafkaEndpoint
from pacifictool.simulation.reading import Outcome
from tests.support.fault_rig import GARBAGE, FaultRig
from tests.support.four_analytics import record
from tests.support.sandbox_clients import Tenant

pytestmark = [pytest.mark.spark, pytest.mark.kafka, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultRig]:
    """A job that was started before the topic existed."""
    with FaultRig(tmp_path_factory.mktemp("rig")) as rig:
        rig.start_job()
        rig.job.wait_to_say("There is no topic winds")  # type: ignore[union-attr]
        rig.set_up()
        rig.publish(record("Zone 0", 7))
        rig.wait_for_posts()
        yield rig


@pytest.fixture
def rig(started: FaultRig) -> Iterator[FaultRig]:
    assert started.job is not None
    assert started.job.is_running(), started.job.said
    try:
        yield started
    finally:
        started.proxy.heal()


@pytest.mark.long
def test_a_topic_that_is_missing_at_the_start_is_waited_for(rig: FaultRig) -> None:
    assert rig.job is not None
    rig.job.wait_to_say("Topic winds is there now, with 2 partitions.")
    assert "Waiting for it; `pacifictool setup` creates it." in rig.job.said
    rig.start_turbines()
    rig.publish(*GARBAGE)
    rig.wait_for_posts(3)

    assert rig.verify().rejected == len(GARBAGE)


@pytest.mark.long
def test_a_second_job_on_the_same_checkpoint_is_refused_and_the_first_goes_on(rig: FaultRig) -> None:
    rig.start_turbines()
    second = rig.aggregate("--starting-offsets", "earliest").wait()
    assert second.code == 1
    error = second.document["error"]
    assert error["kind"] == "checkpoint-in-use"
    assert str(rig.checkpoint) in error["message"]
    assert "--checkpoint" in error["hint"]
    rig.wait_for_posts(3)

    rig.verify()


@pytest.mark.long
def test_partitions_that_are_added_while_it_runs_are_picked_up(rig: FaultRig) -> None:
    rig.start_turbines()
    KafkaAdmin(KafkaEndpoint(rig.broker.bootstrap)).add_partitions(rig.topic, 4)
    producer = Producer({"bootstrap.servers": rig.broker.bootstrap})
    for number in range(100):
        producer.produce(rig.topic, record(f"Zone {number % 3}", number), partition=3)
        producer.poll(0.01)
    assert producer.flush(60) == 0

    rig.verify()
    # The platform's producer may have found the new partition, too.
    assert sum(record.partition == 3 for record in rig.records()) >= 100


def test_a_broker_that_is_killed_and_comes_back(rig: FaultRig) -> None:
    assert rig.job is not None
    turbines = rig.start_turbines()
    rig.wait_for_posts()
    rig.broker.stop(graceful=False)
    # A batch that is being read waits first; a pause of fixed length may end before it is over.
    rig.job.wait_to_say(f"Kafka at {rig.broker.bootstrap} does not respond.")
    rig.broker.start()
    rig.job.wait_to_say("Kafka serves topic winds again.")
    acknowledged = turbines.fleet.snapshot().acknowledged
    turbines.wait_for(lambda summary: summary.acknowledged > acknowledged + 100)

    rig.verify()


def test_a_device_whose_token_is_revoked_reports_it_and_the_others_go_on(rig: FaultRig) -> None:
    turbines = rig.start_turbines(refused_retry_seconds=1.0)
    turbines.wait_for(lambda summary: summary.online == 6 and summary.acknowledged > 60)
    tenant = Tenant(rig.platform.url)
    [device] = tenant.get("/api/tenant/devices?limit=1&textSearch=Turbine 002")["data"]
    credentials = tenant.get(f"/api/device/{device['id']['id']}/credentials")
    tenant.post("/api/device/credentials", credentials | {"credentialsId": "revoked-and-replaced"})
    # An open session continues here; the next login is refused.
    rig.restart_platform()
    turbines.wait_for(lambda summary: summary.online == 5 and bool(summary.refused))
    before = turbines.fleet.snapshot()
    turbines.wait_for(lambda summary: summary.acknowledged > before.acknowledged + 100)
    summary = rig.stop_turbines()

    assert list(summary.refused) == ["Turbine 002"]
    assert "refused" in summary.refused["Turbine 002"]
    assert summary.complete is False
    assert {reading.device for reading in turbines.readings if reading.outcome is Outcome.LOST} <= {"Turbine 002"}
    credentials = tenant.get(f"/api/device/{device['id']['id']}/credentials")
    assert credentials["credentialsId"] == "revoked-and-replaced"
    rig.verify()


@pytest.mark.long
@pytest.mark.parametrize(
    "fault",
    [
        ("--access-token-seconds", "3"),
        ("--rest-latency-seconds", "2"),
        ("--rest-failing-share", "0.2"),
    ],
    ids=lambda options: options[0].removeprefix("--"),
)
def test_a_platform_that_misbehaves_over_rest(rig: FaultRig, fault: tuple[str, str]) -> None:
    rig.start_turbines()
    rig.restart_platform(*fault)
    time.sleep(7)
    posted = len(rig.posted().values)

    verdict = rig.verify()
    assert verdict.values > posted > 0
    rig.restart_platform()


@pytest.mark.long
def test_refusals_of_every_kind_are_waited_out_and_shown(rig: FaultRig) -> None:
    assert rig.job is not None
    rig.start_turbines()
    rig.wait_for_posts()
    for status in (401, 403, 429, 503):
        rig.proxy.respond(status, f"injected {status}")
        rig.job.wait_to_say(f"injected {status}")
        said = rig.job.said
        assert "results wait; trying again in" in said[said.index(f"injected {status}") :]
    rig.proxy.break_off()
    time.sleep(1)
    rig.proxy.heal()
    rig.job.wait_to_say("Results are delivered again")

    rig.verify()


@pytest.mark.long
def test_half_open_connections_are_given_up_and_nothing_is_skipped(rig: FaultRig) -> None:
    assert rig.job is not None
    rig.start_turbines()
    rig.wait_for_posts()
    rig.proxy.swallow()
    rig.job.wait_to_say("within 30 s")
    rig.proxy.heal()

    rig.verify()


def test_a_platform_that_is_killed_while_100_turbines_publish_loses_no_reading_in_silence(
    rig: FaultRig,
) -> None:
    path = rig.write_scenario("hundred.toml", prefix="Hundred ", turbines=100, zones=100, rate=2, partitions=4)
    rig.set_up("-s", str(path), "--add-partitions")
    turbines = rig.start_turbines(scenario=load_scenario(path))
    turbines.wait_for(lambda summary: summary.online == 100 and summary.acknowledged > 300)
    rig.restart_platform(pause_seconds=1.0)
    turbines.wait_for(lambda summary: summary.reconnects == 100)
    acknowledged = turbines.fleet.snapshot().acknowledged
    turbines.wait_for(lambda summary: summary.acknowledged > acknowledged + 300)
    summary = rig.stop_turbines()

    assert summary.generated == len(turbines.readings) == summary.acknowledged + summary.lost
    assert len(summary.losses) == min(summary.lost, 100)
    # Every turbine has its own zone, and two readings of one turbine are hardly ever equal.
    generated: dict[str, Counter[int]] = defaultdict(Counter)
    acknowledged_of: dict[str, Counter[int]] = defaultdict(Counter)
    most: dict[str, Counter[int]] = defaultdict(Counter)
    for reading in turbines.readings:
        zone = reading.device.replace("Turbine 0", "Zone ").replace("Zone 0", "Zone ")
        generated[zone][int(reading.values["windSpeed"])] += 1
        acknowledged_of[zone][int(reading.values["windSpeed"])] += reading.outcome is Outcome.ACKNOWLEDGED
        most[zone][int(reading.values["windSpeed"])] += 1 + reading.resent
    in_topic: dict[str, Counter[int]] = defaultdict(Counter)
    for found in rig.records():
        if b"Hundred" in (found.value or b""):
            document = json.loads(found.value or b"")
            in_topic[document["geoZone"]][int(document["windSpeed"])] += 1
    assert in_topic.keys() == generated.keys()
    for zone, values in in_topic.items():
        assert values.keys() <= generated[zone].keys(), f"{zone}: values that no turbine measured"
        assert acknowledged_of[zone] <= values, f"{zone}: acknowledged, but not in the topic"
        assert values <= most[zone], f"{zone}: more often in the topic than it was sent"
    # On the device, each reading exists once, with its time and value.
    tenant = Tenant(rig.platform.url)
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
        >= {
            reading.ts_ms: reading.values["windSpeed"]
            for reading in of_device
            if reading.outcome is Outcome.ACKNOWLEDGED
        }.items()
    )

    rig.verify()


@pytest.mark.long
def test_in_the_end_nothing_changes_any_more_and_a_replay_changes_nothing(rig: FaultRig) -> None:
    assert rig.job is not None
    rig.start_turbines()
    rig.wait_for_posts()
    verdict = rig.finish()

    replay = rig.aggregate("--starting-offsets", "earliest", "--available-now", checkpoint=rig.folder / "replay").wait()
    assert replay.code == 0, replay.stderr
    assert replay.document["windows_posted"] >= verdict.windows
    assert rig.compare() == verdict
    rig.start_job()
