from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from pacifictool.local.launcher import SandboxProcess
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import KAFKA_BROKER, ensure_jars
from pacifictool.runtime.java import find_java
from pacifictool.runtime.kafka_broker import KafkaBroker
from tests.support.sandbox_clients import (
    ATTRIBUTES,
    TELEMETRY,
    RawDevice,
    Tenant,
    plugin_document,
    rule_document,
)

pytestmark = pytest.mark.kafka

STATION = '{"deviceType":"WeatherStation","geoZone":"Zone A"}'


class Pipeline:
    """A separate sandbox with the tutorial's plugin and rule on one topic of the shared broker."""

    def __init__(self, sandbox: SandboxProcess, bootstrap: str, topic: str) -> None:
        self.sandbox = sandbox
        self.tenant = Tenant(sandbox.url)
        self.bootstrap = bootstrap
        self.topic = topic
        self._devices: list[RawDevice] = []
        self.plugin = self.tenant.post("/api/plugin", plugin_document("kafka", bootstrap))
        self.post("plugin", self.plugin, "activate")
        self.rule = self.add_rule()

    def add_rule(self, **options: Any) -> Any:
        rule = self.tenant.post("/api/rule", rule_document("kafka", self.topic, **options))
        self.post("rule", rule, "activate")
        return rule

    def post(self, kind: str, document: Any, verb: str) -> None:
        self.tenant.post(f"/api/{kind}/{document['id']['id']}/{verb}")

    def device(self, name: str, attributes: str | None = STATION) -> RawDevice:
        device = self.connect(self.tenant.device(name)[1])
        if attributes is not None:
            device.acknowledged(attributes, topic=ATTRIBUTES)
        return device

    def connect(self, token: str) -> RawDevice:
        self._devices.append(RawDevice(self.sandbox.mqtt_port, token))
        return self._devices[-1]

    def close(self) -> None:
        for device in self._devices:
            device.close()
        self.sandbox.stop()

    def records(self, partitions: int = 1) -> list[Message]:
        """Everything in the topic, partition by partition."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "tests", "enable.auto.commit": False})
        found: list[Message] = []
        try:
            for partition in range(partitions):
                place = TopicPartition(self.topic, partition, 0)
                _, end = consumer.get_watermark_offsets(place, timeout=10)
                consumer.assign([place])
                while end and (not found or found[-1].partition() != partition or found[-1].offset() != end - 1):
                    message = consumer.poll(10)
                    assert message is not None
                    assert message.error() is None
                    found.append(message)
        finally:
            consumer.close()
        return found

    def values(self) -> list[bytes]:
        return [value for message in self.records() if (value := message.value()) is not None]


def make_topic(bootstrap: str, topic: str, partitions: int = 1, **config: str) -> None:
    client = AdminClient({"bootstrap.servers": bootstrap})
    for future in client.create_topics([NewTopic(topic, partitions, 1, config=config)]).values():
        future.result(30)


@pytest.fixture
def make_pipeline(broker: KafkaBroker, tmp_path: Path, unique: str) -> Iterator[Callable[..., Pipeline]]:
    running: list[Pipeline] = []

    def make(partitions: int = 1, **config: str) -> Pipeline:
        topic = f"topic-{unique}"
        if partitions:
            make_topic(broker.bootstrap, topic, partitions, **config)
        sandbox = SandboxProcess(tmp_path / "data")
        sandbox.start()
        running.append(Pipeline(sandbox, broker.bootstrap, topic))
        return running[-1]

    yield make
    for pipeline in running:
        pipeline.close()


@pytest.fixture
def pipeline(make_pipeline: Callable[..., Pipeline]) -> Pipeline:
    return make_pipeline()


def record(zone: str, text: str) -> bytes:
    return f'{{"geoZone":"{zone}", "windSpeed":{text}}}'.encode()


def test_a_record_is_the_templates_text_without_key_headers_or_time(pipeline: Pipeline) -> None:
    device = pipeline.device("WS")
    device.acknowledged('{"windSpeed":"31"}')
    (message,) = pipeline.records()
    assert message.value() == b'{"geoZone":"Zone A", "windSpeed":31}'
    assert message.key() is None
    assert message.headers() is None
    assert message.timestamp() == (TIMESTAMP_CREATE_TIME, -1)


def test_a_topic_can_set_timestamps_itself(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline = make_pipeline(1, **{"message.timestamp.type": "LogAppendTime"})
    pipeline.device("WS").acknowledged('{"windSpeed":"31"}')
    (message,) = pipeline.records()
    kind, timestamp = message.timestamp()
    assert kind == TIMESTAMP_LOG_APPEND_TIME
    assert abs(timestamp / 1000 - time.time()) < 30


def test_values_reach_kafka_as_java_prints_them_and_unescaped(pipeline: Pipeline) -> None:
    device = pipeline.device("WS")
    literals = ['"31"', "31", "31.0", "31.5", "1.5e3", "1.0e-7", "12345678.9", "true", '"gale"', '""', r'"3\"1"', "NaN"]
    for literal in literals:
        device.acknowledged(f'{{"windSpeed":{literal}}}')
    texts = ["31", "31", "31.0", "31.5", "1500.0", "1.0E-7", "1.23456789E7", "true", "gale", "", '3"1', "NaN"]
    assert pipeline.values() == [record("Zone A", text) for text in texts]


def test_zone_names_reach_kafka_unescaped_and_unexpanded(pipeline: Pipeline) -> None:
    zones: list[str | int] = ['Zo"ne', "Zo\\ne\n", 7, "", "Zürich ☃", "$windSpeed.valueAsString"]
    device = pipeline.device("WS")
    for zone in zones:
        # Without waiting: the very next message sees the new attribute.
        device.publish(json.dumps({"geoZone": zone}), topic=ATTRIBUTES, packet_id=1)
        device.publish('{"windSpeed":1}', packet_id=2)
        assert len(device.read(8)) == 8
    assert pipeline.values() == [record(str(zone), "1") for zone in zones]


def test_what_does_not_pass_the_filters_is_acknowledged_and_stored_only(pipeline: Pipeline) -> None:
    tenant = pipeline.tenant
    for name, attributes in (
        ("none", None),
        ("no zone", '{"deviceType":"WeatherStation"}'),
        ("no type", '{"geoZone":"Zone A"}'),
        ("other type", '{"deviceType":"Other","geoZone":"Zone A"}'),
    ):
        device = pipeline.device(name, attributes)
        device.acknowledged('{"windSpeed":5}')
        identifier = tenant.get(f"/api/tenant/devices?deviceName={name}")["id"]["id"]
        assert tenant.latest(identifier, "windSpeed") == {"windSpeed": "5"}
        for scope in ("SERVER_SCOPE", "SHARED_SCOPE"):
            document = {"deviceType": "WeatherStation", "geoZone": "Zone A"}
            tenant.post(f"/api/plugins/telemetry/DEVICE/{identifier}/attributes/{scope}", document)
        device.acknowledged('{"windSpeed":6}')
    pipeline.device("calm").acknowledged('{"temperature":5}')
    assert pipeline.values() == []


def test_without_the_attributes_filter_an_unknown_zone_stays_a_reference(pipeline: Pipeline) -> None:
    pipeline.post("rule", pipeline.rule, "suspend")
    pipeline.add_rule(station_filter=None)
    pipeline.device("WS", None).acknowledged('{"windSpeed":77}')
    assert pipeline.values() == [record("$cs.get('geoZone')", "77")]


def test_server_attributes_reach_scripts_as_ss_and_shared(pipeline: Pipeline) -> None:
    pipeline.post("rule", pipeline.rule, "suspend")
    pipeline.add_rule(station_filter="ss.a == 1 && shared.b === 'x' && a == 1 && b === 'x'", template="$ss.a$shared.b")
    device = pipeline.device("WS", None)
    identifier = pipeline.tenant.get("/api/tenant/devices?deviceName=WS")["id"]["id"]
    device.acknowledged('{"windSpeed":1}')
    for scope, document in (("SERVER_SCOPE", {"a": 1}), ("SHARED_SCOPE", {"b": "x"})):
        pipeline.tenant.post(f"/api/plugins/telemetry/DEVICE/{identifier}/attributes/{scope}", document)
    device.acknowledged('{"windSpeed":1}')
    assert pipeline.values() == [b"1x"]


def test_arrays_give_one_record_and_flat_ones_the_last(pipeline: Pipeline) -> None:
    device = pipeline.device("WS")
    device.acknowledged('[{"windSpeed":1},{"windSpeed":2}]')
    several = ",".join(
        f'{{"ts":{1_500_000_000_000 + number},"values":{{"windSpeed":{number}}}}}' for number in (7, 8, 9)
    )
    device.acknowledged(f"[{several}]")
    first, second = pipeline.values()
    assert first == record("Zone A", "2")
    assert second in [record("Zone A", str(number)) for number in (7, 8, 9)]


def test_telemetry_of_devices_is_forwarded_and_that_of_users_is_not(pipeline: Pipeline) -> None:
    tenant = pipeline.tenant
    device = pipeline.device("WS")
    identifier = tenant.get("/api/tenant/devices?deviceName=WS")["id"]["id"]
    token = tenant.get(f"/api/device/{identifier}/credentials")["credentialsId"]
    tenant.post(f"/api/plugins/telemetry/DEVICE/{identifier}/timeseries/ANY", {"windSpeed": 1})
    device.publish('{"windSpeed":2}', qos=0)
    device.acknowledged('{"windSpeed":3}')
    tenant.post(f"/api/v1/{token}/telemetry", {"windSpeed": 4})
    _, gateway_token = tenant.device("GW", "default", additionalInfo={"gateway": True})
    gateway = pipeline.connect(gateway_token)
    for topic, content in (
        ("attributes", {"deviceType": "WeatherStation", "geoZone": "Zone G"}),
        ("telemetry", [{"ts": 1, "values": {"windSpeed": 5}}]),
    ):
        gateway.publish(json.dumps({"G1": content, "G2": content}), topic=f"v1/gateway/{topic}", packet_id=2)
        gateway.expect(b"\x42\x02\x00\x02" * 2)
    assert pipeline.values() == [record("Zone A", text) for text in "234"] + [record("Zone G", "5")] * 2


def test_two_equal_active_rules_give_two_records_and_a_suspended_one_none(pipeline: Pipeline) -> None:
    device = pipeline.device("WS")
    duplicate = pipeline.add_rule()
    device.acknowledged('{"windSpeed":1}')
    for rule in (duplicate, pipeline.rule):
        pipeline.post("rule", rule, "suspend")
    device.acknowledged('{"windSpeed":2}')
    assert pipeline.values() == [record("Zone A", "1")] * 2


def test_an_update_of_an_active_rule_applies_immediately(pipeline: Pipeline, unique: str) -> None:
    device = pipeline.device("WS")
    device.acknowledged('{"windSpeed":1}')
    changed = {**pipeline.rule, "state": None}
    changed["action"]["configuration"]["template"] = "$windSpeed.valueAsString in $deviceName"
    pipeline.tenant.post("/api/rule", changed)
    device.acknowledged('{"windSpeed":2}')
    assert pipeline.values() == [record("Zone A", "1"), b"2 in WS"]


def test_records_are_assigned_to_partitions_round_robin(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline = make_pipeline(3)
    device = pipeline.device("WS")
    for number in range(12):
        device.acknowledged(f'{{"windSpeed":{number}}}')
    by_partition: dict[int, list[int]] = {}
    for message in pipeline.records(3):
        by_partition.setdefault(message.partition() or 0, []).append(json.loads(message.value() or b"")["windSpeed"])
    first = [numbers[0] for numbers in by_partition.values()]
    assert sorted(first) == [0, 1, 2]
    assert all(numbers == list(range(numbers[0], 12, 3)) for numbers in by_partition.values())


def test_a_missing_topic_is_created_and_nothing_is_lost_meanwhile(make_pipeline: Callable[..., Pipeline]) -> None:
    pipeline = make_pipeline(0)
    device = pipeline.device("WS")
    for packet_id in range(1, 41):
        device.publish(f'{{"windSpeed":{packet_id}}}', packet_id=packet_id)
    assert len(device.read(160, 60)) == 160
    assert len(pipeline.values()) == 40


def test_states_survive_a_restart_and_forwarding_goes_on(pipeline: Pipeline) -> None:
    sandbox = pipeline.sandbox
    device = pipeline.device("WS")
    device.acknowledged('{"windSpeed":1}')
    token = pipeline.tenant.get(
        f"/api/device/{pipeline.tenant.get('/api/tenant/devices?deviceName=WS')['id']['id']}/credentials"
    )["credentialsId"]
    for end in (sandbox.stop, sandbox.kill):
        end()
        assert device.is_closed()
        sandbox.start()
        assert pipeline.tenant.get(f"/api/rule/{pipeline.rule['id']['id']}")["state"] == "ACTIVE"
        device = pipeline.connect(token)
        device.acknowledged('{"windSpeed":2}')
    assert pipeline.values() == [record("Zone A", text) for text in "122"]


def test_without_sync_the_acknowledgement_does_not_wait_for_kafka(tenant: Tenant, sandbox: Any, unique: str) -> None:
    for sync in (False, True):
        token = f"nowhere-{unique}-{sync}"
        plugin = tenant.post("/api/plugin", plugin_document(token, "localhost:1"))
        tenant.post(f"/api/plugin/{plugin['id']['id']}/activate")
        document = rule_document(token, "topic", station_filter=f"cs.me === '{token}'", sync=sync)
        rule = tenant.post("/api/rule", document)
        tenant.post(f"/api/rule/{rule['id']['id']}/activate")
        with RawDevice(sandbox.mqtt_port, tenant.device(token)[1]) as device:
            device.acknowledged(json.dumps({"me": token}), topic=ATTRIBUTES)
            device.publish('{"windSpeed":1}')
            assert device.is_silent() == sync
        tenant.post(f"/api/rule/{rule['id']['id']}/suspend")


def test_while_kafka_is_down_messages_are_stored_unacknowledged_and_lost_for_kafka(tmp_path: Path, unique: str) -> None:
    java = find_java(os.environ)
    jars = ensure_jars(KAFKA_BROKER, java=java, cache_dir=default_cache_dir(os.environ), environ=os.environ)
    broker = KafkaBroker(tmp_path / "kafka", java=java, jars=jars)
    with broker, SandboxProcess(tmp_path / "data") as sandbox, ExitStack() as opened:
        make_topic(broker.bootstrap, unique)
        pipeline = opened.enter_context(closing(Pipeline(sandbox, broker.bootstrap, unique)))
        configuration = plugin_document("kafka", broker.bootstrap)["configuration"]
        configuration["otherProperties"] = [{"key": "request.timeout.ms", "value": "1000"}]
        pipeline.tenant.post("/api/plugin", {**pipeline.plugin, "state": None, "configuration": configuration})
        device = pipeline.device("WS")
        device.acknowledged('{"windSpeed":1}')
        broker.stop(graceful=False)
        device.publish('{"windSpeed":2}', packet_id=2)
        assert device.is_silent(3)
        identifier = pipeline.tenant.get("/api/tenant/devices?deviceName=WS")["id"]["id"]
        assert pipeline.tenant.latest(identifier, "windSpeed") == {"windSpeed": "2"}
        assert pipeline.tenant.events("RULE", pipeline.rule["id"]["id"])[0]["type"] == "ERROR"
        broker.start()
        deadline = time.monotonic() + 60
        sent: list[int] = []
        acknowledged = b""
        while not acknowledged:
            assert time.monotonic() < deadline
            sent.append(3 + len(sent))
            device.publish(f'{{"windSpeed":{sent[-1]}}}', packet_id=sent[-1])
            acknowledged = device.read(4, 1.5)
        # Others of them may have arrived too: on a busy machine, acknowledgements come later than is waited here.
        first, *others = pipeline.values()
        assert first == record("Zone A", "1")
        assert record("Zone A", str(int.from_bytes(acknowledged[2:], "big"))) in others
        assert Counter(others) <= Counter(record("Zone A", str(number)) for number in sent)


def test_thousands_in_flight_from_many_devices_are_all_forwarded_once(pipeline: Pipeline) -> None:
    devices = [pipeline.device(f"WS {number}") for number in range(5)]
    for packet_id in range(1, 1001):
        for device in devices:
            device.publish(
                f'{{"ts":{packet_id},"values":{{"windSpeed":{packet_id}}}}}', topic=TELEMETRY, packet_id=packet_id
            )
    for device in devices:
        responses = device.read(4000, 60)
        assert {int.from_bytes(responses[at + 2 : at + 4], "big") for at in range(0, 4000, 4)} == set(range(1, 1001))
    counted: dict[bytes, int] = {}
    for value in pipeline.values():
        counted[value] = counted.get(value, 0) + 1
    assert counted == {record("Zone A", str(number)): 5 for number in range(1, 1001)}
