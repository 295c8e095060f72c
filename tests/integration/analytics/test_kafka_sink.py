from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from pacifictool.analytics.sinks.kafka import KafkaSink
from pacifictool.analytics.windows import WindowResult
from pacifictool.errors import KafkaUnreachable, PacificToolError, UsageError
from pacifictool.kafka.records import Record, read_records
from pacifictool.kafka.topics import CREATE_TIME, KafkaAdmin
from pacifictool.local.stack import LocalStack
from pacifictool.settings import KafkaEndpoint
from tests.support.recorders import RecordingCallback
from tests.support.scenarios import mean_scenario, rules_of, window_result
from tests.support.waiting import SOON_SECONDS


@pytest.fixture
def endpoint(stack: LocalStack) -> KafkaEndpoint:
    return KafkaEndpoint(stack.broker.bootstrap)


@pytest.fixture
def topic(endpoint: KafkaEndpoint) -> Iterator[str]:
    name = f"means-{uuid4().hex[:8]}"
    yield name
    KafkaAdmin(endpoint).delete(name)


def sink(endpoint: KafkaEndpoint, topic: str, delivery_seconds: float = 20.0) -> KafkaSink:
    return KafkaSink(endpoint, topic, mean_scenario().analytics, delivery_seconds=delivery_seconds)


def result(zone: str, end: int = 1_795_477_550_000, mean: float = 2.5, count: int = 4) -> WindowResult:
    return window_result(zone, end, mean, count)


def records(endpoint: KafkaEndpoint, topic: str) -> list[Record]:
    return list(read_records(endpoint, topic))


def test_a_result_is_a_json_record_with_the_zone_as_key(endpoint: KafkaEndpoint, topic: str) -> None:
    book = RecordingCallback()
    kafka = sink(endpoint, topic)
    kafka.deliver([result("Zone A", mean=32.5, count=200), result('Zo"ne ü', mean=7.0)], book)
    kafka.close()

    assert [accepted.entity for accepted in book.accepted_results] == ["Zone A", 'Zo"ne ü']
    info = KafkaAdmin(endpoint).describe(topic)
    assert info is not None
    assert info.timestamp_type == CREATE_TIME
    first, second = records(endpoint, topic)
    assert first.key == b"Zone A"
    assert first.value == b'{"geoZone":"Zone A","windSpeed":32.5,"ts":1795477550000,"count":200,"analytics":"zones"}'
    assert first.timestamp_ms == 1_795_477_550_000
    assert second.key == 'Zo"ne ü'.encode()
    assert json.loads(second.value or b"") == {
        "geoZone": 'Zo"ne ü', "windSpeed": 7.0, "ts": 1795477550000, "count": 4, "analytics": "zones"
    }  # fmt: skip


def test_the_records_of_a_zone_are_in_one_partition_and_in_order(endpoint: KafkaEndpoint, topic: str) -> None:
    KafkaAdmin(endpoint).create(topic, partitions=5, replication=1)
    book = RecordingCallback()
    results = [result(f"Z{zone}", end * 10_000, end) for end in range(1, 41) for zone in range(50)]
    sink(endpoint, topic).deliver(results, book)

    assert sorted(book.accepted_results, key=repr) == sorted(results, key=repr)
    places: dict[bytes | None, set[int]] = {}
    ends: dict[bytes | None, list[int]] = {}
    for record in records(endpoint, topic):
        places.setdefault(record.key, set()).add(record.partition)
        ends.setdefault(record.key, []).append(json.loads(record.value or b"")["ts"])
    assert len(ends) == 50
    assert {len(partitions) for partitions in places.values()} == {1}
    assert len(set.union(*places.values())) == 5
    assert all(timestamps == [end * 10_000 for end in range(1, 41)] for timestamps in ends.values())


def test_a_topic_that_exists_stays_as_it_is(endpoint: KafkaEndpoint, topic: str) -> None:
    admin = KafkaAdmin(endpoint)
    admin.create(topic, partitions=3, replication=1)
    before = None
    until = time.monotonic() + SOON_SECONDS
    while before is None and time.monotonic() < until:
        before = admin.describe(topic)  # a new topic is not known at once
    assert before is not None
    sink(endpoint, topic).deliver([result("A")], RecordingCallback())
    assert admin.describe(topic) == before


def test_what_kafka_will_never_take_is_refused(endpoint: KafkaEndpoint, topic: str) -> None:
    book = RecordingCallback()
    huge = "x" * 1_100_000
    sink(endpoint, topic).deliver([result("A"), result(huge), result("\ud800"), result("B")], book)
    assert [accepted.entity for accepted in book.accepted_results] == ["A", "B"]
    assert set(book.refusals) == {huge, "\ud800"}
    assert "too large" in book.refusals[huge]


def test_a_deleted_topic_is_made_again_by_a_later_delivery(endpoint: KafkaEndpoint, topic: str) -> None:
    book = RecordingCallback()
    kafka = sink(endpoint, topic, delivery_seconds=5)
    kafka.deliver([result("A")], book)
    KafkaAdmin(endpoint).delete(topic)
    for _ in range(5):
        try:
            kafka.deliver([result("B")], book)
        except PacificToolError:
            continue
        break
    assert [accepted.entity for accepted in book.accepted_results] == ["A", "B"]


def test_kafka_away_is_an_error_and_nothing_is_accepted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    book = RecordingCallback()
    with pytest.raises(KafkaUnreachable):
        sink(KafkaEndpoint(f"127.0.0.1:{port}"), "means").deliver([result("A")], book)
    assert book.accepted_results == []


def test_keys_that_the_record_has_itself_are_refused(endpoint: KafkaEndpoint) -> None:
    with pytest.raises(UsageError, match="'ts'"):
        KafkaSink(endpoint, "means", rules_of({"group_by": ["site"], "telemetry": {"ts": "count()"}}).analytics)
    with pytest.raises(UsageError, match="'count'"):
        KafkaSink(endpoint, "means", mean_scenario("count").analytics)
    both = rules_of({"group_by": ["site"], "telemetry": {"site": "count_distinct(temperature)"}})
    with pytest.raises(UsageError, match="'site'"):
        KafkaSink(endpoint, "means", both.analytics)


def test_a_closed_sink_delivers_no_more(endpoint: KafkaEndpoint, topic: str) -> None:
    kafka = sink(endpoint, topic)
    kafka.close()
    kafka.close()
    with pytest.raises(PacificToolError, match="stopped"):
        kafka.deliver([result("A")], RecordingCallback())


def test_results_of_a_function_name_their_entity(endpoint: KafkaEndpoint, topic: str) -> None:
    scores = {"name": "scores", "group_by": ["site"], "function": "scoring:score"}
    kafka, book = KafkaSink(endpoint, topic, rules_of(scores).analytics), RecordingCallback()

    def scored(entity: str, **values: float) -> WindowResult:
        return WindowResult("scores", ("North",), "device", entity, 0, 10_000, 10_000, 3, values)

    kafka.deliver([scored("Sensor 1", score=1.5), scored("Sensor 2", ts=2.0), scored("Sensor 3", site=1.0)], book)
    kafka.close()

    (only,) = records(endpoint, topic)
    assert json.loads(only.value or b"") == {
        "site": "North", "score": 1.5, "ts": 10_000, "count": 3, "analytics": "scores", "entity": "Sensor 1",
        "entity_kind": "device",
    }  # fmt: skip
    assert book.refusals.keys() == {"Sensor 2", "Sensor 3"}
    assert "the key 'ts' is one of every result record's own" in book.refusals["Sensor 2"]
