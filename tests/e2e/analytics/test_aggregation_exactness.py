"""Every valid record counts exactly, every other one is kept as a dead letter: real Kafka, real Spark."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from pacifictool.analytics.engine.spark import SparkRuntime
from pacifictool.analytics.job import AggregationJob
from pacifictool.analytics.state.reader import JobView
from pacifictool.errors import AggregationError
from pacifictool.kafka.records import read_records
from pacifictool.kafka.topics import CREATE_TIME

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

JobFactory = Any  # the fixture's class lives in conftest.py, which cannot be imported

GARBAGE: list[bytes | None] = [
    b"hello",
    None,
    b"",
    b"null",
    b"[]",
    b"{}",
    b'{"geoZone":"Zone A", "windSpeed":"thirty-one"}',
    b'{"geoZone":"Zone A", "windSpeed":true}',
    b'{"geoZone":"Zone A", "windSpeed":null}',
    b'{"geoZone":7, "windSpeed":31}',
    b'{"geoZone":"Zone A"}',
    b'{"windSpeed":31}',
    b'{"geoZone":"Zo"ne", "windSpeed":31}',
    b'{"geoZone":"", "windSpeed":31}',
    b'{"geoZone":"Zone A", "windSpeed":}',
    b'{"geoZone":"Zone A", "windSpeed":NaN}',
    b'{"geoZone":"Zone A", "windSpeed":-Infinity}',
    b'{"geoZone":"Zone A", "windSpeed":1e400}',
    b'{"geoZone":"Zone A", "windSpeed":-1}',
    b'{"geoZone":"Zone A", "windSpeed":12345678901234567890}',
    b'{"geoZone":"Zone A", "windSpeed":31} trailing',
    b'{"geoZone":"Zone A", "windSpeed":31, "windSpeed":32}',
    b'{"geoZone":"Zone \xff", "windSpeed":31}',
    b'{"geoZone":"Zone\\u0000A", "windSpeed":31}',
    b"\xef\xbb\xbf" + b'{"geoZone":"Zone A", "windSpeed":31}',
    b'{"geoZone":"' + b"z" * 256 + b'", "windSpeed":31}',
    b"[" * 100_000,
    b'{"geoZone":"Zone A", "windSpeed":31, "deep":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    b"y" * 1_000_000,
]


def reading(value: bytes | None) -> tuple[str, float] | None:
    if value in GARBAGE or value is None:
        return None
    document = json.loads(value)
    return document["geoZone"], float(document["windSpeed"])


@pytest.mark.long
def test_100_000_records_with_garbage_of_many_kinds_are_counted_exactly(jobs: JobFactory) -> None:
    random_ = random.Random(7)
    topic = jobs.topic(partitions=3)
    producer = jobs.producer(**{"queue.buffering.max.messages": 200_000, "message.max.bytes": 2_000_000})
    zones = ["Zone A", "Zone B", "Österreich", 'with "quotes"', "a/b"]
    # Huge invalid records are rare, to keep the test below 100 MB of records.
    kinds = [value for value in GARBAGE if len(value or b"") < 10_000]
    huge = [value for value in GARBAGE if len(value or b"") >= 10_000]
    garbage = huge * 4 + [random_.choice(kinds) for _ in range(1000 - 4 * len(huge))]
    places = dict(zip(random_.sample(range(100_000), 1000), garbage, strict=True))
    for number in range(100_000):
        if number in places:
            value = places[number]
        else:
            wind = random_.choice([random_.randint(30, 60), round(random_.uniform(0, 60), 6), random_.uniform(0, 1e9)])
            value = json.dumps({"geoZone": random_.choice(zones), "windSpeed": wind}, ensure_ascii=False).encode()
        producer.produce(topic, value, partition=random_.randrange(3))
        if number % 25_000 == 24_999:
            producer.flush()
            time.sleep(0.4)
    sink = jobs.sink()

    summary = jobs.run(topic, sink)

    expected = jobs.expected_values(topic, reading)
    assert len({ts for _, ts in expected}) >= 2
    assert sink.values() == expected
    assert len(sink.posts()) == len(expected)
    assert (summary.records, summary.valid, sum(summary.rejects.values())) == (100_000, 99_000, 1000)
    assert (summary.windows_posted, summary.corrections, summary.open_windows) == (len(expected), 0, 0)
    view = JobView(jobs.folder / "job")
    kept = {(record.partition, record.offset): record.value for record in view.invalid_records()}
    reasons = {record.reason for record in view.invalid_records()}
    view.close()
    assert kept == {
        (record.partition, record.offset): record.value
        for record in read_records(jobs.endpoint, topic)
        if reading(record.value) is None
    }
    assert reasons == set(summary.rejects)
    assert len(reasons) >= 11

    again = jobs.run(topic, sink)
    assert (again.records, again.windows_posted) == (0, 0)

    other = jobs.sink("replay")
    jobs.run(topic, other, checkpoint="replay")
    assert other.values() == expected


def test_late_records_correct_their_window_and_the_newest_stays_the_latest(jobs: JobFactory) -> None:
    topic = jobs.topic(timestamp_type=CREATE_TIME)
    producer = jobs.producer()
    base = int(time.time()) * 1000 - 20_000
    sink = jobs.sink()

    def send(zone: str, wind: float, at_ms: int) -> None:
        producer.produce(topic, json.dumps({"geoZone": zone, "windSpeed": wind}), timestamp=at_ms)

    for second in range(6):
        send("A", 10, base + 1000 * second + 500)
    producer.flush()
    running = jobs.start(topic, sink, analytics={"lateness": "3s"})
    running.wait_for(lambda: len(sink.values()) == 6)
    assert sink.latest() == {"A": base + 6000}

    send("A", 20, base + 3900)
    send("B", 7, base + 4100)
    send("A", 99, base + 100)
    producer.flush()
    running.wait_for(lambda: ("B", base + 5000) in sink.values() and sink.values()["A", base + 4000][0] == 2)
    running.wait_for(lambda: sink.latest()["A"] == base + 6000)
    summary = running.finish()

    values = sink.values()
    assert values["A", base + 4000] == (2, 15.0)
    assert values["A", base + 1000] == (1, 10.0)
    assert values["B", base + 5000] == (1, 7.0)
    assert summary.corrections == 1
    assert summary.rejects == {"too late: its window was closed for good": 1}


def test_the_last_window_is_posted_soon_after_its_end_without_later_records(jobs: JobFactory) -> None:
    topic = jobs.topic()
    producer = jobs.producer()
    sink = jobs.sink()
    producer.produce(topic, b'{"geoZone":"warm-up", "windSpeed":1}')
    producer.flush()
    running = jobs.start(topic, sink, analytics={"window": "2s"})
    running.wait_for(sink.values)
    for _ in range(3):
        time.sleep(2 - time.time() % 2 + 0.2)
        for wind in (31, 32):
            producer.produce(topic, b'{"geoZone":"Zone A", "windSpeed":%d}' % wind)
        producer.flush()
        end = (int(time.time() * 1000) // 2000 + 1) * 2000
        running.wait_for(lambda end=end: ("Zone A", end) in sink.values(), 5)
    running.finish()

    posts = [post for post in sink.posts() if post[0] == "Zone A"]
    assert [(count, mean) for _, _, count, mean, _ in posts] == [(2, 31.5)] * 3
    delays = [posted_at - ts / 1000 for _, ts, _, _, posted_at in posts]
    assert all(0 <= delay < 2 for delay in delays), delays


def test_what_the_topic_holds_now_is_counted_without_a_start_of_spark(jobs: JobFactory) -> None:
    topic, sink = jobs.topic(), jobs.sink()
    producer = jobs.producer()
    for number in range(1000):
        producer.produce(topic, f'{{"geoZone":"Zone {number % 3}", "windSpeed":{number}}}'.encode())
    assert producer.flush(60) == 0
    config = jobs.config(topic, available_now=True)
    with SparkRuntime(config.spark, jobs.folder / "jvm") as runtime:
        summary = AggregationJob(config, sink, runtime=runtime).run(threading.Event())
        assert runtime.ready_context is None
    assert (summary.valid, summary.stopped_by) == (1000, "end of topic")
    assert sink.values() == jobs.expected_values(topic, reading)


def test_a_spark_that_does_not_start_ends_the_job_after_what_was_counted_before(jobs: JobFactory) -> None:
    topic, sink = jobs.topic(), jobs.sink()
    producer = jobs.producer()
    producer.produce(topic, b'{"geoZone":"Zone A", "windSpeed":31}')
    assert producer.flush(60) == 0
    config = jobs.config(topic)
    too_small = replace(config, spark=replace(config.spark, memory="300m"))  # enough for Java, and not for Spark
    with pytest.raises(AggregationError, match=r"Spark did not start .*memory 2\d+ must be at least"):
        AggregationJob(too_small, sink).run(threading.Event())
    view = JobView.open(config.checkpoint)
    assert view is not None
    with contextlib.closing(view):
        assert [batch.records for batch in view.batches()] == [1]
