"""docs/servers/1.x.md#forwarding-to-kafka: from a device through a rule to Kafka, record by record.

Two rules serve all tests: one stays as in the tutorial, the other is changed by its id to what a test needs. A
rule completes when Kafka has the record, so that after a PUBACK the topic holds whatever it will ever hold.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

from pacifictool.kafka.topics import CREATE_TIME
from pacifictool.rest import RecordAttribute, RecordSpec, rule_descriptor
from tests.contract.api import Api
from tests.contract.conftest import Connect
from tests.contract.factories import EntityFactory, Made
from tests.contract.facts import Facts
from tests.contract.forwarding import (
    HAS_WIND_SPEED,
    Component,
    action,
    attributes_filter,
    plugin_document,
    rule_document,
    telemetry_filter,
    weather_stations,
)
from tests.contract.server import Server
from tests.contract.topic import Received, Topic
from tests.contract.waiting import eventually
from tests.contract.wire import ATTRIBUTES, TELEMETRY, Ending, Wire, all_silent, connected, puback

START = 1_500_000_000_000
BLOCK_MS = 500
"""How long a producer without a broker may hold up its plugin in the server; the default is a minute."""


class Way:
    """Topics, plugin, two rules, and the names of this run's devices.

    `topic` has one partition and gets timestamps from the broker, `wide_topic` has two and gets them from the producer.
    """

    def __init__(self, server: Server, factory: EntityFactory, topic: Topic, wide_topic: Topic) -> None:
        self.factory = factory
        self.topic = topic
        self.wide_topic = wide_topic
        self.device_type = factory.name("WeatherStation")
        self.second_type = factory.name("SecondStation")
        self.plugin = Component(factory, "plugin", plugin_document(factory, server.kafka_address))
        self.plugin.activate()
        self.plugin_token: str = self.plugin.saved["apiToken"]
        self.rule = Component(factory, "rule", self.tutorial(self.device_type))
        self.rule.activate()
        self._second: Component | None = None

    def close(self) -> None:
        """Closes the topics: the server's producer would create a deleted one again."""
        for component in (self._second, self.rule, self.plugin):
            if component is not None:
                component.suspend()

    def tutorial(self, device_type: str) -> dict[str, Any]:
        filters = [weather_stations(device_type), telemetry_filter(HAS_WIND_SPEED)]
        return rule_document(self.factory, self.plugin_token, filters, action(self.topic.name))

    @property
    def second(self) -> Component:
        """The other rule; at first a duplicate of the first, name and all. Every test leaves it suspended."""
        if self._second is None:
            first = self.rule.read()
            sent = ("name", "weight", "pluginToken", "filters", "processor", "action")
            self._second = Component(self.factory, "rule", {key: first[key] for key in sent})
        return self._second

    def change_second(self, filters: list[dict[str, Any]], rule_action: dict[str, Any], plugin_token: str = "") -> None:
        """Changes the second rule to what a test needs, and activates it."""
        self.second.update(filters=filters, action=rule_action, pluginToken=plugin_token or self.plugin_token)
        self.second.activate()

    def station(self, connect: Connect, *, zone: Any = "Zone A", device_type: str = "") -> tuple[Made, Wire]:
        """A device with this run's type, and its session."""
        device = self.factory.device("station")
        wire = connect(device)
        wire.deliver(ATTRIBUTES, json.dumps({"deviceType": device_type or self.device_type, "geoZone": zone}))
        return device, wire


@pytest.fixture(scope="module")
def way(server: Server, factory: EntityFactory) -> Iterator[Way]:
    kafka = server.settings.kafka
    with (
        Topic(kafka, factory.name("topic")) as topic,
        Topic(kafka, factory.name("wide-topic"), partitions=2, timestamp_type=CREATE_TIME) as wide_topic,
    ):
        way = Way(server, factory, topic, wide_topic)
        yield way
        way.close()


@pytest.fixture(scope="module")
def turbine(server: Server, way: Way) -> Iterator[Wire]:
    """The tutorial's turbine, connected, for tests without special needs."""
    with contextlib.ExitStack() as wires:
        yield way.station(lambda device: wires.enter_context(connected(server.settings.mqtt, device.token)))[1]


def values(records: list[Received]) -> list[str]:
    return [(record.value or b"").decode() for record in records]


def forwarded(way: Way, wire: Wire, payload: str) -> list[str]:
    """What one acknowledged message leaves in the topic."""
    start = way.topic.end()
    wire.deliver(TELEMETRY, payload)
    return values(way.topic.since(start))


def zone_a(literal: str) -> list[str]:
    return [f'{{"geoZone":"Zone A", "windSpeed":{literal}}}']


def latest(api: Api, made: Made, key: str) -> Any:
    return api.get(f"{made.path}/values/timeseries", keys=key)[key][0]["value"]


def test_the_record_to_the_byte(way: Way, turbine: Wire, api: Api, fact: Facts) -> None:
    start, before = way.topic.end(), api.server_time_ms()
    turbine.deliver(TELEMETRY, '{"windSpeed":"31"}')
    records = way.topic.since(start)
    fact("7", "one message makes one record", len(records), 1)
    record = records[0]
    fact("7", "the value to the byte", record.value, b'{"geoZone":"Zone A", "windSpeed":31}')
    fact("7", "the key is null", record.key, None)
    fact("7", "there are no headers", record.headers, [])
    fact("7", "on a LogAppendTime topic the time is the broker's", record.is_broker_time, True)
    distance = abs(record.timestamp_ms - before)
    fact.holds("7", "the broker's time is now", distance < 60_000, distance)


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ('"31"', "31"),
        ("31", "31"),
        ("31.0", "31.0"),
        ("31.5", "31.5"),
        ("1.5e3", "1500.0"),
        ("1.0e-7", "1.0E-7"),
        ("12345678.9", "1.23456789E7"),
        ("true", "true"),
        ("NaN", "NaN"),
        ('"gale"', "gale"),
        ('""', ""),
        ('"3\\"1"', '3"1'),
    ],
)
def test_values_as_the_template_shows_them(way: Way, turbine: Wire, fact: Facts, literal: str, text: str) -> None:
    fact("7", f"windSpeed {literal}", forwarded(way, turbine, f'{{"windSpeed":{literal}}}'), zone_a(text))


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ('Zo"ne', 'Zo"ne'),
        ("Zo\\ne\n", "Zo\\ne\n"),
        (7, "7"),
        ("", ""),
        ("Zóna 風", "Zóna 風"),
        ("$windSpeed.valueAsString", "$windSpeed.valueAsString"),
    ],
)
def test_zones_are_not_escaped(way: Way, connect: Connect, fact: Facts, zone: Any, shown: str) -> None:
    _, wire = way.station(connect, zone=zone)
    expected = [f'{{"geoZone":"{shown}", "windSpeed":31}}']
    fact("7", f"geoZone {zone!r}", forwarded(way, wire, '{"windSpeed":"31"}'), expected)


@pytest.mark.parametrize("missing", ["deviceType", "geoZone"])
def test_both_attributes_are_needed(way: Way, connect: Connect, api: Api, fact: Facts, missing: str) -> None:
    device = way.factory.device("half-station")
    wire = connect(device)
    attributes = {"deviceType": way.device_type, "geoZone": "Zone A"}
    del attributes[missing]
    wire.deliver(ATTRIBUTES, json.dumps(attributes))
    fact("7", f"without {missing} nothing is forwarded", forwarded(way, wire, '{"windSpeed":"31"}'), [])
    fact("7", f"without {missing} it is stored", latest(api, device, "windSpeed"), "31")


def test_other_devices_are_not_forwarded(way: Way, connect: Connect, fact: Facts) -> None:
    _, wire = way.station(connect, device_type=way.factory.name("another"))
    fact("7", "another deviceType is not forwarded", forwarded(way, wire, '{"windSpeed":"31"}'), [])


def test_other_telemetry_is_not_forwarded(way: Way, turbine: Wire, fact: Facts) -> None:
    fact("7", "a message without windSpeed", forwarded(way, turbine, '{"temperature":20}'), [])
    fact("7", "an empty message", forwarded(way, turbine, "{}"), [])


def test_only_what_the_device_says_counts(way: Way, connect: Connect, api: Api, fact: Facts) -> None:
    device = way.factory.device("server-side")
    attributes = {"deviceType": way.device_type, "geoZone": "Zone A"}
    response = api.call("POST", f"{device.path}/attributes/SERVER_SCOPE", json=attributes)
    assert response.status_code == 200
    fact("7", "attributes in SERVER_SCOPE only", forwarded(way, connect(device), '{"windSpeed":"31"}'), [])


def test_the_type_of_the_device_is_irrelevant(way: Way, connect: Connect, fact: Facts) -> None:
    device = way.factory.device("typed", type="default")
    wire = connect(device)
    wire.deliver(ATTRIBUTES, json.dumps({"deviceType": way.device_type, "geoZone": "Zone A"}))
    fact("7", "a device of another type", forwarded(way, wire, '{"windSpeed":"31"}'), zone_a("31"))


def test_rest_telemetry_passes_no_rule(way: Way, connect: Connect, api: Api, fact: Facts) -> None:
    device, wire = way.station(connect)
    start = way.topic.end()
    written = api.call("POST", f"{device.path}/timeseries/ANY", json={"windSpeed": 66})
    fact("5", "telemetry over REST is stored", (written.status_code, latest(api, device, "windSpeed")), (200, "66"))
    wire.deliver(TELEMETRY, '{"windSpeed":"31"}')
    fact("5", "telemetry over REST is not forwarded", values(way.topic.since(start)), zone_a("31"))


def test_telemetry_over_http_is_forwarded(way: Way, connect: Connect, api: Api, fact: Facts) -> None:
    device, _ = way.station(connect)
    start = way.topic.end()
    response = api.call("POST", f"/api/v1/{device.token}/telemetry", json={"windSpeed": "201"}, authorization=None)
    fact("6", "the HTTP device API", (response.status_code, response.content), (200, b""))
    fact("6", "telemetry over HTTP passes the rules", values(way.topic.since(start)), zone_a("201"))


def test_qos_0_is_forwarded(way: Way, turbine: Wire, fact: Facts) -> None:
    start = way.topic.end()
    turbine.publish(TELEMETRY, '{"windSpeed":"40"}', qos=0)
    records = eventually(lambda: way.topic.since(start), bool)
    fact("7", "QoS 0", values(records), zone_a("40"))


def test_one_message_makes_one_record(way: Way, turbine: Wire, fact: Facts) -> None:
    several = json.dumps([{"ts": START + n, "values": {"windSpeed": n}} for n in (7, 8, 9)])
    found = forwarded(way, turbine, several)
    fact("7", "an array of three timestamps makes one record", len(found), 1)
    fact.holds("7", "its value is one of the three", found[0] in [zone_a(str(n))[0] for n in (7, 8, 9)], found)


def test_whatever_is_acknowledged_is_in_kafka(way: Way, connect: Connect, fact: Facts) -> None:
    _, wire = way.station(connect)
    start = way.topic.end()
    sent = {
        puback(wire.publish(TELEMETRY, f'{{"ts":{START + number},"values":{{"windSpeed":{number}}}}}'))
        for number in range(20)
    }
    fact("6", "20 in flight through the rule are acknowledged", set(wire.receive_many(20)), sent)
    expected = sorted(zone_a(str(number))[0] for number in range(20))
    fact("7", "every acknowledged message is in Kafka, once", sorted(values(way.topic.since(start))), expected)


def test_attributes_count_at_once(way: Way, connect: Connect, fact: Facts) -> None:
    _, wire = way.station(connect, zone="before")
    start = way.topic.end()
    sent = {
        puback(wire.publish(ATTRIBUTES, '{"geoZone":"after"}')),
        puback(wire.publish(TELEMETRY, '{"windSpeed":"31"}')),
    }
    fact("7", "attributes and telemetry pipelined", set(wire.receive_many(2)), sent)
    expected = ['{"geoZone":"after", "windSpeed":31}']
    fact("7", "the new attribute is used already", values(way.topic.since(start)), expected)


def test_devices_behind_a_gateway(way: Way, connect: Connect, fact: Facts) -> None:
    wire = connect(way.factory.gateway())
    zones = {way.factory.name_for_gateway(): f"Zone {letter}" for letter in "AB"}
    attributes = {name: {"deviceType": way.device_type, "geoZone": zone} for name, zone in zones.items()}
    packet_id = wire.publish("v1/gateway/attributes", json.dumps(attributes))
    fact("6", "attributes of two devices", wire.receive_many(2), [puback(packet_id)] * 2)
    start = way.topic.end()
    telemetry = {name: [{"ts": START, "values": {"windSpeed": "31"}}] for name in zones}
    packet_id = wire.publish("v1/gateway/telemetry", json.dumps(telemetry))
    fact("6", "telemetry of two devices", wire.receive_many(2), [puback(packet_id)] * 2)
    expected = [f'{{"geoZone":"Zone {letter}", "windSpeed":31}}' for letter in "AB"]
    fact("7", "one record a device", sorted(values(way.topic.since(start))), expected)


def test_a_suspended_rule_forwards_nothing(way: Way, connect: Connect, api: Api, fact: Facts) -> None:
    device, wire = way.station(connect)
    way.rule.suspend()
    try:
        fact("7", "a suspended rule", forwarded(way, wire, '{"windSpeed":"1"}'), [])
        fact("7", "a suspended rule does not keep it from being stored", latest(api, device, "windSpeed"), "1")
    finally:
        way.rule.activate()
    fact("2", "an activated rule forwards", forwarded(way, wire, '{"windSpeed":"2"}'), zone_a("2"))


def test_duplicates_double_every_record(way: Way, connect: Connect, fact: Facts) -> None:
    duplicate = way.second
    _, wire = way.station(connect)
    alone = forwarded(way, wire, '{"windSpeed":"1"}')
    duplicate.update(name=way.rule.read()["name"], **{key: way.rule.read()[key] for key in ("filters", "action")})
    names = [rule.read()["name"] for rule in (way.rule, duplicate)]
    fact("2", "two rules of one name", (names[0] == names[1], way.rule.id == duplicate.id), (True, False))
    fact("7", "a suspended duplicate does no harm", alone, zone_a("1"))
    duplicate.activate()
    try:
        fact("7", "two equal active rules", forwarded(way, wire, '{"windSpeed":"2"}'), zone_a("2") * 2)
    finally:
        duplicate.suspend()


def test_an_update_takes_effect_on_an_active_rule(way: Way, connect: Connect, fact: Facts) -> None:
    _, wire = way.station(connect, device_type=way.second_type)
    filters = [weather_stations(way.second_type), telemetry_filter(HAS_WIND_SPEED)]
    way.change_second(filters, action(way.topic.name))
    try:
        fact("2", "the rule before the update", forwarded(way, wire, '{"windSpeed":"1"}'), zone_a("1"))
        updated = way.second.update(action=action(way.wide_topic.name))
        fact("2", "an updated rule stays ACTIVE", updated["state"], "ACTIVE")
        start = way.wide_topic.end()
        fact("2", "the old topic gets nothing more", forwarded(way, wire, '{"windSpeed":"2"}'), [])
        fact("2", "the new topic gets it", values(way.wide_topic.since(start)), zone_a("2"))
    finally:
        way.second.suspend()


def test_unresolved_references_stay_as_text(way: Way, connect: Connect, fact: Facts) -> None:
    marker = f"marker{way.factory.run}"
    device = way.factory.device("no-zone")
    only_ours = telemetry_filter(f"typeof {marker} !== 'undefined' && {HAS_WIND_SPEED}")
    way.change_second([only_ours], action(way.topic.name))
    try:
        found = forwarded(way, connect(device), f'{{"windSpeed":77,"{marker}":1}}')
    finally:
        way.second.suspend()
    fact("7", "a zone that nobody has set", found, ['{"geoZone":"$cs.get(\'geoZone\')", "windSpeed":77}'])


def test_without_sync_the_record_comes_too(way: Way, connect: Connect, fact: Facts) -> None:
    _, wire = way.station(connect, device_type=way.second_type)
    filters = [weather_stations(way.second_type), telemetry_filter(HAS_WIND_SPEED)]
    way.change_second(filters, action(way.topic.name, sync=False))
    try:
        start = way.topic.end()
        wire.deliver(TELEMETRY, '{"windSpeed":"31"}')
        records = eventually(lambda: way.topic.since(start), bool)
    finally:
        way.second.suspend()
    fact("7", "sync:false", values(records), zone_a("31"))


def test_a_filter_that_throws_silences_its_devices(way: Way, connect: Connect, fact: Facts) -> None:
    _, wire = way.station(connect, device_type=way.second_type)
    thrower = attributes_filter("cs.nosuch.x === 1")
    way.change_second([weather_stations(way.second_type), thrower], action(way.topic.name))
    try:
        start = way.topic.end()
        wire.publish(TELEMETRY, '{"windSpeed":"31"}')
        fact("7", "a filter that throws: no PUBACK", all_silent([wire]), [Ending.SILENT])
        fact("7", "a filter that throws: nothing is forwarded", values(way.topic.since(start)), [])
        events = eventually(way.second.all_events, lambda found: any(event["type"] == "ERROR" for event in found))
        fact("7", "a filter that throws leaves an ERROR event", "ERROR" in {event["type"] for event in events}, True)
    finally:
        way.second.suspend()
    fact("7", "a filter that throws: the session is still there", wire.is_alive(), True)


def test_without_a_broker_there_is_no_puback(way: Way, connect: Connect, api: Api, fact: Facts) -> None:
    other = [{"key": "max.block.ms", "value": str(BLOCK_MS)}]
    document = plugin_document(way.factory, "localhost:1", otherProperties=other)
    plugin = Component(way.factory, "plugin", document)
    plugin.activate()
    device, wire = way.station(connect, device_type=way.second_type)
    filters = [weather_stations(way.second_type), telemetry_filter(HAS_WIND_SPEED)]
    way.change_second(filters, action(way.topic.name), plugin_token=plugin.saved["apiToken"])
    try:
        wire.publish(TELEMETRY, '{"windSpeed":"31"}')
        fact("7", "Kafka unreachable: no PUBACK", all_silent([wire]), [Ending.SILENT])
        fact("7", "Kafka unreachable: the connection stays", wire.is_alive(), True)
        stored = eventually(lambda: latest(api, device, "windSpeed"), lambda value: value is not None)
        fact("7", "Kafka unreachable: stored all the same", stored, "31")
    finally:
        way.second.suspend()
        way.second.update(pluginToken=way.plugin_token)
        plugin.suspend()


def test_records_are_dealt_out_to_all_partitions(way: Way, connect: Connect, fact: Facts) -> None:
    _, wire = way.station(connect, device_type=way.second_type)
    filters = [weather_stations(way.second_type), telemetry_filter(HAS_WIND_SPEED)]
    way.change_second(filters, action(way.wide_topic.name))
    start = way.wide_topic.end()
    try:
        for number in range(6):
            wire.deliver(TELEMETRY, f'{{"windSpeed":{number}}}')
    finally:
        way.second.suspend()
    records = way.wide_topic.since(start)
    fact("7", "all of them arrive", sorted(values(records)), [zone_a(str(number))[0] for number in range(6)])
    fact("7", "without a key both partitions are used", {record.partition for record in records}, {0, 1})
    timestamps = {(record.timestamp_ms, record.is_broker_time) for record in records}
    fact("7", "the server sets no timestamp: on a CreateTime topic the time is -1", timestamps, {(-1, False)})


RECORD = RecordSpec(
    "",
    (
        RecordAttribute("site id"),
        RecordAttribute("tier", "server", required=False),
        RecordAttribute("size", "shared", required=False),
    ),
    ("temp-celsius", "humidity"),
    device=True,
)
"""Everything that a scenario can ask for; its type is the run's."""


def test_records_of_several_attributes_and_keys(way: Way, connect: Connect, api: Api, fact: Facts) -> None:
    device = way.factory.device("cold room")
    wire = connect(device)
    wire.deliver(ATTRIBUTES, json.dumps({"deviceType": way.second_type, "site id": "North", "tier": "no"}))
    rule = rule_descriptor("", "", way.topic.name, dataclasses.replace(RECORD, device_type=way.second_type))
    way.change_second(rule["filters"], rule["action"])
    own = f', "deviceName":"{device.name}", "ts":{START}}}'

    def record(values: str) -> list[str]:
        return forwarded(way, wire, f'{{"ts":{START},"values":{values}}}')

    try:
        fact("8", "one of two keys", record('{"humidity":40}'), [f'{{"site id":"North", "humidity":40{own}'])
        fact(
            "8",
            "both keys, in the order of the template",
            record('{"humidity":40.0,"temp-celsius":-2,"other":1}'),
            [f'{{"site id":"North", "temp-celsius":-2, "humidity":40.0{own}'],
        )
        fact("8", "no key of the record", record('{"other":1}'), [])
        fact(
            "8",
            "a text is in quotes",
            record('{"humidity":"n/a","temp-celsius":"31"}'),
            [f'{{"site id":"North", "temp-celsius":"31", "humidity":"n/a"{own}'],
        )
        api.call("POST", f"{device.path}/SERVER_SCOPE", json={"tier": "gold"})
        api.call("POST", f"{device.path}/SHARED_SCOPE", json={"size": "XL"})
        expected = [f'{{"site id":"North", "tier":"gold", "size":"XL", "humidity":40{own}']
        found = eventually(lambda: record('{"humidity":40}'), lambda found: found == expected, seconds=5)
        fact("8", "attributes of the server and shared ones", found, expected)
        other = way.factory.device("no site")
        other_wire = connect(other)
        other_wire.deliver(ATTRIBUTES, json.dumps({"deviceType": way.second_type}))
        fact("8", "a required attribute is missing", forwarded(way, other_wire, '{"humidity":1}'), [])
    finally:
        way.second.suspend()


def test_a_record_whose_members_are_all_optional(way: Way, connect: Connect, fact: Facts) -> None:
    loose = RecordSpec(way.second_type, (RecordAttribute("room", required=False),), ("temperature", "humidity"))
    rule = rule_descriptor("", "", way.topic.name, loose)
    wire = connect(way.factory.device("no room"))
    wire.deliver(ATTRIBUTES, json.dumps({"deviceType": way.second_type}))
    way.change_second(rule["filters"], rule["action"])
    try:
        fact("8", "no comma in front", forwarded(way, wire, '{"humidity":1}'), ['{"humidity":1}'])
        both = forwarded(way, wire, '{"humidity":1,"temperature":2}')
        fact("8", "one comma between two", both, ['{"temperature":2, "humidity":1}'])
        wire.deliver(ATTRIBUTES, json.dumps({"room": "1"}))
        fact("8", "with the attribute", forwarded(way, wire, '{"humidity":1}'), ['{"room":"1", "humidity":1}'])
    finally:
        way.second.suspend()
