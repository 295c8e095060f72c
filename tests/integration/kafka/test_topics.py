from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Producer

from pacifictool.errors import KafkaError, KafkaUnreachable
from pacifictool.kafka.records import read_records
from pacifictool.kafka.topics import CREATE_TIME, LOG_APPEND_TIME, KafkaAdmin
from pacifictool.local.stack import LocalStack
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import KAFKA_BROKER, ensure_jars
from pacifictool.runtime.java import find_java
from pacifictool.runtime.kafka_broker import KafkaBroker
from pacifictool.runtime.ports import free_ports
from pacifictool.settings import KafkaEndpoint
from tests.support.waiting import SOON_SECONDS, wait_until

_numbers = itertools.count(1)


@pytest.fixture
def endpoint(stack: LocalStack) -> KafkaEndpoint:
    return KafkaEndpoint(stack.broker.bootstrap)


@pytest.fixture
def admin(endpoint: KafkaEndpoint) -> KafkaAdmin:
    return KafkaAdmin(endpoint)


@pytest.fixture
def topic(admin: KafkaAdmin) -> Iterator[str]:
    """A topic of two partitions, with the broker's time."""
    name = f"topics-{os.getpid()}-{next(_numbers)}"
    admin.create(name, partitions=2, replication=1)
    yield name
    admin.delete(name)


def produce(endpoint: KafkaEndpoint, topic: str, count: int, *, partition: int = 0) -> None:
    producer = Producer({"bootstrap.servers": endpoint.bootstrap})
    for number in range(count):
        producer.produce(topic, value=f"{partition}:{number}".encode(), partition=partition)
    assert producer.flush(60) == 0


def test_a_created_topic_is_described_as_it_was_asked_for(admin: KafkaAdmin, topic: str) -> None:
    found = admin.describe(topic)
    assert found is not None
    assert (found.name, found.partitions, found.replication, found.timestamp_type) == (topic, 2, 1, LOG_APPEND_TIME)


def test_an_unknown_topic_is_none_and_has_no_offsets(admin: KafkaAdmin) -> None:
    assert admin.describe("no-such-topic") is None
    with pytest.raises(KafkaError, match="no topic no-such-topic") as caught:
        admin.offsets("no-such-topic")
    assert "setup" in str(caught.value.hint)


def test_creating_twice_leaves_the_first(admin: KafkaAdmin, topic: str) -> None:
    admin.create(topic, partitions=5, replication=1)
    found = admin.describe(topic)
    assert found is not None
    assert found.partitions == 2


def test_a_topic_that_is_made_again_has_another_identity(admin: KafkaAdmin) -> None:
    name = f"again-{os.getpid()}"
    ids = set()
    for _ in range(2):
        admin.create(name, partitions=1, replication=1)
        found = admin.describe(name)
        assert found is not None
        ids.add(found.topic_id)
        admin.delete(name)
        wait_until(lambda: admin.describe(name) is None)
    assert len(ids) == 2


def test_deleting_what_is_not_there_is_fine(admin: KafkaAdmin) -> None:
    admin.delete("never-was-there")


def test_partitions_and_timestamps_can_be_changed(admin: KafkaAdmin, topic: str) -> None:
    admin.add_partitions(topic, 4)
    admin.set_timestamp_type(topic, CREATE_TIME)

    def is_changed() -> bool:
        # The controller has responded; the broker hears of it a moment later.
        found = admin.describe(topic)
        return found is not None and (found.partitions, found.timestamp_type) == (4, CREATE_TIME)

    wait_until(is_changed, "the change")


def test_fewer_partitions_are_refused_in_kafkas_words(admin: KafkaAdmin, topic: str) -> None:
    with pytest.raises(KafkaError, match=f"add partitions to {topic}"):
        admin.add_partitions(topic, 1)


def test_offsets_at_both_ends(admin: KafkaAdmin, endpoint: KafkaEndpoint, topic: str) -> None:
    assert admin.offsets(topic) == {0: 0, 1: 0}
    produce(endpoint, topic, 3, partition=1)
    assert admin.offsets(topic) == {0: 0, 1: 3}
    assert admin.offsets(topic, at="start") == {0: 0, 1: 0}


def test_advertised_addresses_and_cluster_id(admin: KafkaAdmin, stack: LocalStack) -> None:
    assert [str(broker) for broker in admin.check_reachable()] == [stack.broker.bootstrap]
    assert len(admin.cluster_id()) > 10


def test_a_closed_port_is_reported_at_once_and_in_words() -> None:
    [port] = free_ports(1)
    admin = KafkaAdmin(KafkaEndpoint(f"127.0.0.1:{port}"))
    began = time.monotonic()
    with pytest.raises(KafkaUnreachable, match="cannot be reached: connection refused") as caught:
        admin.check_reachable()
    assert time.monotonic() - began < SOON_SECONDS
    assert caught.value.details == {"bootstrap": f"127.0.0.1:{port}"}


def test_a_name_without_an_address_is_reported_in_words() -> None:
    with pytest.raises(KafkaUnreachable, match=r"the name no-such-host\.invalid has no address"):
        KafkaAdmin(KafkaEndpoint("no-such-host.invalid:9092")).brokers()


def test_one_of_several_bootstrap_servers_is_enough(stack: LocalStack) -> None:
    [port] = free_ports(1)
    assert KafkaAdmin(KafkaEndpoint(f"127.0.0.1:{port},{stack.broker.bootstrap}")).brokers()


def test_a_port_that_takes_connections_but_does_not_speak_kafka() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        admin = KafkaAdmin(KafkaEndpoint(f"127.0.0.1:{listener.getsockname()[1]}"), timeout_seconds=1)
        with pytest.raises(KafkaUnreachable, match="cannot be reached"):
            admin.check_reachable()


def test_a_property_that_librdkafka_does_not_know_is_named() -> None:
    with pytest.raises(KafkaError, match="nonsense") as caught:
        KafkaAdmin(KafkaEndpoint("127.0.0.1:9092", {"nonsense": "1"}))
    assert "-X" in str(caught.value.hint)


@pytest.mark.parametrize("slow", [False, True])
def test_an_advertised_address_that_leads_nowhere_is_reported(tmp_path: Path, slow: bool) -> None:
    java = find_java(os.environ)
    jars = ensure_jars(KAFKA_BROKER, java=java, cache_dir=default_cache_dir(os.environ), environ=os.environ)
    port, nowhere = free_ports(2)
    listeners = {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{nowhere}"}
    broker = KafkaBroker(tmp_path / "kafka", java=java, jars=jars, port=port, extra=listeners)
    broker.start()
    try:
        if slow:
            children = psutil.Process().children(recursive=True)
            [process] = [it for it in children if it.name() == "java" and it.cwd() == str(tmp_path / "kafka")]
            process.suspend()
            threading.Timer(0.8, process.resume).start()
        with pytest.raises(KafkaUnreachable) as caught:
            KafkaAdmin(KafkaEndpoint(f"127.0.0.1:{port}")).check_reachable()
    finally:
        broker.stop(graceful=False)
    assert f"responds, but tells clients to use 127.0.0.1:{nowhere}" in caught.value.message
    assert "advertised.listeners" in str(caught.value.hint)


def test_the_reader_gives_every_record_once_and_stops_at_the_end(endpoint: KafkaEndpoint, topic: str) -> None:
    produce(endpoint, topic, 500, partition=0)
    produce(endpoint, topic, 300, partition=1)
    records = list(read_records(endpoint, topic))
    assert sorted((record.partition, record.offset) for record in records) == [
        *((0, offset) for offset in range(500)),
        *((1, offset) for offset in range(300)),
    ]
    assert all(record.value == f"{record.partition}:{record.offset}".encode() for record in records)
    assert all(record.broker_time and record.timestamp_ms for record in records)
    assert {record.key for record in records} == {None}


def test_the_reader_keeps_to_its_bounds(endpoint: KafkaEndpoint, topic: str) -> None:
    produce(endpoint, topic, 20)
    records = list(read_records(endpoint, topic, start={0: 5}, end={0: 12, 1: 0}))
    assert [record.offset for record in records] == list(range(5, 12))


def test_an_empty_topic_and_an_empty_stretch_hold_no_records(endpoint: KafkaEndpoint, topic: str) -> None:
    assert list(read_records(endpoint, topic)) == []
    produce(endpoint, topic, 3)
    assert list(read_records(endpoint, topic, start={0: 3})) == []


def test_records_without_a_time_of_their_own_are_distinguished(endpoint: KafkaEndpoint, admin: KafkaAdmin) -> None:
    name = f"producer-time-{os.getpid()}"
    admin.create(name, partitions=1, replication=1, timestamp_type=CREATE_TIME)
    producer = Producer({"bootstrap.servers": endpoint.bootstrap})
    producer.produce(name, value=b"x", timestamp=1_500_000_000_000)
    producer.flush(60)
    [record] = read_records(endpoint, name)
    assert (record.timestamp_ms, record.broker_time) == (1_500_000_000_000, False)
    admin.delete(name)


def test_a_stretch_that_begins_behind_the_topics_end_fails_in_words(endpoint: KafkaEndpoint, topic: str) -> None:
    produce(endpoint, topic, 2)
    with pytest.raises(KafkaError, match=topic):
        list(read_records(endpoint, topic, start={0: 10}, end={0: 20}, timeout_seconds=5))


def test_a_transactions_markers_do_not_keep_the_reader_waiting(endpoint: KafkaEndpoint, topic: str) -> None:
    producer = Producer({"bootstrap.servers": endpoint.bootstrap, "transactional.id": topic})
    producer.init_transactions(20)
    for commits in (True, False):
        producer.begin_transaction()
        producer.produce(topic, value=str(commits).encode(), partition=0)
        producer.flush(60)
        if commits:
            producer.commit_transaction(20)
        else:
            producer.abort_transaction(20)
    began = time.monotonic()
    assert [record.value for record in read_records(endpoint, topic)] == [b"True"]
    assert time.monotonic() - began < SOON_SECONDS
