"""Killed at any point, the job continues without a lost or duplicate record, and refuses a checkpoint that does not fit."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from pacifictool.analytics.job import AggregationJob
from pacifictool.analytics.starting import fix_start
from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.analytics.state.reader import JobView
from pacifictool.errors import CheckpointInUse, CheckpointMismatch, KafkaUnreachable
from pacifictool.kafka.topics import CREATE_TIME, KafkaAdmin
from pacifictool.settings import KafkaEndpoint
from tests.support.scenarios import mean_rules
from tests.support.waiting import SOON_SECONDS, wait_until

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

JobFactory = Any  # the fixture's class lives in conftest.py, which cannot be imported


def reading(value: bytes | None) -> tuple[str, float] | None:
    if not value or value == b"garbage":
        return None
    document = json.loads(value)
    return document["geoZone"], float(document["windSpeed"])


def command(jobs: JobFactory, topic: str, kill_point: str, duration: float | None = None) -> list[str]:
    settings = {
        "kill_point": kill_point,
        "bootstrap": jobs.broker.bootstrap,
        "topic": topic,
        "checkpoint": str(jobs.folder / "job"),
        "java_home": str(jobs.java.home),
        "jars": [str(jar) for jar in jobs.jars],
        "platform": str(jobs.folder / "platform.sqlite"),
        "duration": duration,
    }
    return [sys.executable, str(Path(__file__).with_name("killed_job.py")), json.dumps(settings)]


class Feed:
    """Produces records, some of them invalid, until stopped."""

    def __init__(self, jobs: JobFactory, topic: str) -> None:
        self._producer = jobs.producer()
        self._topic = topic
        self._stop = threading.Event()
        self._random = random.Random(1)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            for _ in range(10):
                zone, wind = self._random.choice("ABC"), self._random.uniform(0, 60)
                value = json.dumps({"geoZone": zone, "windSpeed": wind}) if self._random.random() < 0.98 else "garbage"
                self._producer.produce(self._topic, value)
            self._producer.poll(0)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._producer.flush()


def dead_letters(jobs: JobFactory) -> tuple[int, int]:
    """The numbers of counted and of stored invalid records."""
    view = JobView(jobs.folder / "job")
    counted = sum(view.invalid_counts().values())
    kept = sum(1 for _ in view.invalid_records())
    view.close()
    return counted, kept


KILL_POINTS = (
    "within a batch's transaction",
    "after results are posted",
    "after the batch is applied",
    "after the second batch is read",
)


@pytest.mark.long
def test_killed_at_every_point_and_restarted_nothing_is_missing_or_doubled(jobs: JobFactory) -> None:
    topic = jobs.topic()
    sink = jobs.sink()
    feed = Feed(jobs, topic)
    try:
        for kill_point in KILL_POINTS:
            done = subprocess.run(command(jobs, topic, kill_point, duration=60), check=False, timeout=300)
            assert done.returncode == -signal.SIGKILL, kill_point
    finally:
        feed.close()
    jobs.run(topic, sink)

    expected = jobs.expected_values(topic, reading)
    assert sink.values() == expected
    assert sink.latest() == {zone: max(ts for other, ts in expected if other == zone) for zone in "ABC"}
    counted, kept = dead_letters(jobs)
    assert counted == kept > 0


def test_an_interrupt_ends_everything_within_two_seconds_and_the_next_start_goes_on(jobs: JobFactory) -> None:
    topic = jobs.topic()
    sink = jobs.sink()
    feed = Feed(jobs, topic)
    try:
        with subprocess.Popen(command(jobs, topic, "never", 120), stdout=subprocess.PIPE, text=True) as program:
            assert program.stdout is not None
            program.stdout.readline()
            wait_until(sink.values, seconds=180)
            children = psutil.Process(program.pid).children(recursive=True)
            asked = time.monotonic()
            program.send_signal(signal.SIGINT)
            summary = json.loads(program.stdout.readline())
            assert program.wait(60) == 0
            assert time.monotonic() - asked < SOON_SECONDS
            assert psutil.wait_procs(children, timeout=SOON_SECONDS)[1] == []
    finally:
        feed.close()
    assert summary["stopped_by"] == "stop"
    jobs.run(topic, sink)

    assert sink.values() == jobs.expected_values(topic, reading)


def test_a_topic_that_comes_later_is_waited_for(jobs: JobFactory) -> None:
    topic = f"later-{time.time_ns()}"
    sink = jobs.sink()
    running = jobs.start(topic, sink)
    time.sleep(1.5)
    assert running.error is None
    assert any("no topic" in warning for warning in running.reporter.warnings)
    KafkaAdmin(jobs.endpoint).create(topic, partitions=1, replication=1)
    producer = jobs.producer()
    producer.produce(topic, b'{"geoZone":"A", "windSpeed":3}')
    producer.flush()
    running.wait_for(lambda: list(sink.values().values()) == [(1, 3.0)])
    running.finish()


def test_another_job_or_topic_on_the_same_checkpoint_is_refused(jobs: JobFactory) -> None:
    topic, other = jobs.topic(), jobs.topic()
    sink = jobs.sink()
    jobs.run(topic, sink)
    with pytest.raises(CheckpointMismatch, match=f"'{topic}' there, '{other}' now"):
        jobs.run(other, sink)
    with pytest.raises(CheckpointMismatch, match="analytics zones, window_ms: 1000 there, 5000 now"):
        jobs.run(topic, sink, analytics={"window": "5s"})
    running = jobs.start(topic, sink)
    running.wait_for(lambda: running.job._tracker.phase == "running")
    with pytest.raises(CheckpointInUse):
        jobs.run(topic, sink)
    running.finish()

    KafkaAdmin(jobs.endpoint).delete(topic)
    time.sleep(1)
    KafkaAdmin(jobs.endpoint).create(topic, partitions=2, replication=1)
    with pytest.raises(CheckpointMismatch, match="deleted and created again"):
        jobs.run(topic, sink)


def test_a_topic_that_is_created_again_under_a_running_job_ends_it_with_the_reason(jobs: JobFactory) -> None:
    topic = jobs.topic()
    running = jobs.start(topic, jobs.sink())
    running.wait_for(lambda: running.job._tracker.phase == "running")
    KafkaAdmin(jobs.endpoint).delete(topic)
    time.sleep(1)
    KafkaAdmin(jobs.endpoint).create(topic, partitions=2, replication=1)
    with pytest.raises(CheckpointMismatch, match=r"created again|no longer holds"):
        running.wait_for(lambda: False)


@pytest.mark.long
def test_a_broker_that_restarts_is_waited_for(jobs: JobFactory) -> None:
    topic = jobs.topic()
    sink = jobs.sink()
    producer = jobs.producer()
    producer.produce(topic, b'{"geoZone":"A", "windSpeed":3}')
    producer.flush()
    running = jobs.start(topic, sink)
    running.wait_for(sink.values)
    jobs.broker.stop(graceful=False)
    time.sleep(4)
    assert running.error is None
    jobs.broker.start()
    producer.produce(topic, b'{"geoZone":"B", "windSpeed":5}')
    producer.flush(60)
    running.wait_for(lambda: {zone for zone, _ in sink.values()} == {"A", "B"})
    running.finish()
    assert sink.values() == jobs.expected_values(topic, reading)


def test_records_without_timestamp_count_by_their_arrival_and_are_reported(jobs: JobFactory) -> None:
    topic = jobs.topic(timestamp_type=CREATE_TIME)
    # As the client of 1.x, which speaks the protocol of Kafka 0.9 (docs/servers/1.x.md#forwarding-to-kafka, row 2).
    old = jobs.producer(**{"api.version.request": False, "broker.version.fallback": "0.9.0.1", "log_level": 0})
    sink = jobs.sink()
    running = jobs.start(topic, sink, analytics={"window": "2s"})
    running.wait_for(lambda: running.job._tracker.phase == "running")
    before = time.time()
    for wind in (1, 2, 6):
        old.produce(topic, b'{"geoZone":"A", "windSpeed":%d}' % wind)
    old.flush()
    running.wait_for(lambda: sum(count for count, _ in sink.values().values()) == 3)
    after = time.time()
    running.finish()

    assert sum(count * mean for count, mean in sink.values().values()) == pytest.approx(9)
    assert all(before - 2 <= ts / 1000 <= after + 2 for _, ts in sink.values())
    assert [warning for warning in running.reporter.warnings if "no timestamp" in warning] != []


def test_a_start_from_a_time_and_from_the_latest(jobs: JobFactory) -> None:
    topic = jobs.topic(timestamp_type=CREATE_TIME)
    producer = jobs.producer()
    now = int(time.time() * 1000)
    for seconds, wind in ((-60, 1), (-30, 2), (-10, 3)):
        producer.produce(topic, b'{"geoZone":"A", "windSpeed":%d}' % wind, timestamp=now + seconds * 1000, partition=0)
    producer.flush()
    timed, latest = jobs.sink("timed"), jobs.sink("latest")
    jobs.run(
        topic,
        timed,
        checkpoint="timed",
        starting_offsets=datetime.fromtimestamp((now - 40_000) / 1000, UTC).isoformat(),
    )
    jobs.run(topic, latest, checkpoint="latest", starting_offsets="latest")

    assert sorted(mean for _, mean in timed.values().values()) == [2.0, 3.0]
    assert latest.values() == {}


def test_latest_means_the_time_when_the_job_started(jobs: JobFactory) -> None:
    topic = jobs.topic()
    producer = jobs.producer()
    producer.produce(topic, b'{"geoZone":"A", "windSpeed":1}')
    producer.flush()
    sink = jobs.sink()
    phases: list[str] = []
    running = jobs.start(
        topic, sink, starting_offsets="latest", progress=lambda progress: phases.append(progress.phase)
    )
    running.wait_for(lambda: "running" in phases)
    for _ in range(5):
        producer.produce(topic, b'{"geoZone":"B", "windSpeed":2}')
    producer.flush()
    running.wait_for(lambda: sum(count for count, _ in sink.values().values()) == 5)
    running.finish()

    assert {zone for zone, _ in sink.values()} == {"B"}


def test_latest_does_not_move_on_when_a_start_comes_to_nothing(jobs: JobFactory) -> None:
    topic = jobs.topic(partitions=1)
    admin = KafkaAdmin(jobs.endpoint)
    found = []
    for _ in range(2):
        with Checkpoint(jobs.folder / "job", topic, mean_rules()) as checkpoint:
            fix_start(checkpoint, admin, topic, "latest", appeared=False)
            found.append(checkpoint.store.starting_offsets())
        producer = jobs.producer()
        producer.produce(topic, b"{}", partition=0)
        producer.flush()

    assert found == [{0: 0}, {0: 0}]


def test_an_unreachable_kafka_is_reported_when_the_job_starts(jobs: JobFactory) -> None:
    config = replace(jobs.config("t", available_now=True), kafka=KafkaEndpoint("127.0.0.1:1"))
    with pytest.raises(KafkaUnreachable):
        AggregationJob(config, jobs.sink(), runtime=jobs.runtime).run(threading.Event())
