"""docs/servers/4.x.md#forwarding-to-kafka: from a device through a rule chain to Kafka, record by record.

A PUBACK only says that a message was queued, so every read of the topic waits; where nothing must
arrive, a message that must arrive follows.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pacifictool.kafka.topics import CREATE_TIME
from pacifictool.rest import RecordAttribute, RecordSpec, rule_chain_descriptor
from tests.contract.api import Api
from tests.contract.factories import Made
from tests.contract.facts import Facts
from tests.contract.modern.chains import node, old_fashioned, weather_stations, with_kafka
from tests.contract.modern.factories import ModernEntityFactory
from tests.contract.modern.test_mqtt import device_post
from tests.contract.modern.wire import ModernConnect, ModernWire, connected
from tests.contract.server import Server
from tests.contract.topic import Received, Topic
from tests.contract.versions import Version
from tests.contract.waiting import eventually
from tests.contract.wire import ATTRIBUTES, TELEMETRY

SECTION = "modern 3"
START = 1_795_470_000_000
_marks = itertools.count(900_001)


class Way:
    """A topic, a chain connected to the root chain, and a type that only devices of this run have."""

    def __init__(self, server: Server, version: Version, factory: ModernEntityFactory, topic: Topic) -> None:
        self.server = server
        self.version = version
        self.factory = factory
        self.topic = topic
        self.device_type = factory.name("Station")
        self.body = self.chain_of()
        self.chain = factory.chain()
        self.saved = factory.save_metadata(self.chain, self.body)
        self.root_before = factory.hook(self.chain)

    def chain_of(self, **options: Any) -> dict[str, Any]:
        """The metadata of a chain that forwards this run's stations."""
        return weather_stations(self.version, self.device_type, self.server.kafka_address, self.topic.name, **options)

    def use(self, body: dict[str, Any]) -> None:
        """Gives the chain other nodes."""
        self.saved = self.factory.save_metadata(self.chain, body)
        for found in self.saved["nodes"]:
            event = self.factory.life_cycle(found)
            assert event["success"], event

    def station(
        self, connect: ModernConnect, *, zone: Any = "Zone A", device_type: str = ""
    ) -> tuple[Made, ModernWire]:
        """A device with this run's type, and its session."""
        device = self.factory.device("station")
        wire = connect(device)
        self.describe(device, wire, {"deviceType": device_type or self.device_type, "geoZone": zone})
        return device, wire

    def describe(self, device: Made, wire: ModernWire, attributes: dict[str, Any]) -> None:
        """Publishes attributes, and waits until they are stored: a reading that is sent before may get the old ones
        (docs/servers/4.x.md#forwarding-to-kafka, row 9)."""
        wire.deliver(ATTRIBUTES, json.dumps(attributes))

        def stored() -> dict[str, Any]:
            found = self.factory.api.get(f"{device.path}/values/attributes/CLIENT_SCOPE")
            return {item["key"]: item["value"] for item in found}

        found = eventually(stored, lambda some: some.items() >= attributes.items())
        assert found.items() >= attributes.items(), found

    def since(self, start: dict[int, int], count: int) -> list[Received]:
        """At least `count` records from `start` on, once they are there."""
        return eventually(lambda: self.topic.since(start), lambda found: len(found) >= count, seconds=30)


@pytest.fixture(scope="module")
def way(server: Server, version: Version, factory: ModernEntityFactory) -> Iterator[Way]:
    with Topic(server.settings.kafka, factory.name("topic"), timestamp_type=CREATE_TIME) as topic:
        way = Way(server, version, factory, topic)
        yield way
        factory.unhook()
        # The server's producer would create a deleted topic again.
        factory.save_metadata(way.chain, {"firstNodeIndex": None, "nodes": [], "connections": []})


@pytest.fixture(scope="module")
def turbine(server: Server, way: Way) -> Iterator[ModernWire]:
    """A connected station, for tests without special needs."""
    with contextlib.ExitStack() as wires:
        yield way.station(lambda device: wires.enter_context(connected(server.settings.mqtt, device.token)))[1]


def values(records: list[Received]) -> list[str]:
    return [(record.value or b"").decode() for record in records]


def zone_a(literal: str) -> str:
    return f'{{"geoZone":"Zone A","windSpeed":{literal}}}'


def forwarded(
    way: Way, turbine: ModernWire, *payloads: str, wire: ModernWire | None = None, count: int = 0
) -> list[str]:
    """What messages of `wire` leave in the topic, up to a mark that the turbine sends after them; `count` records are
    waited for besides, as those of an array and of other devices may come after the mark."""
    start, mark = way.topic.end(), zone_a(str(number := next(_marks)))
    for payload in payloads:
        (wire or turbine).deliver(TELEMETRY, payload)
    if wire is not None and not count:
        time.sleep(0.3)
    turbine.deliver(TELEMETRY, json.dumps({"windSpeed": number}))
    found = eventually(
        lambda: values(way.topic.since(start)), lambda texts: mark in texts and len(texts) > count, seconds=30
    )
    assert mark in found, found
    return sorted(set(found) - {mark}) if len(set(found)) == len(found) else sorted(found)


def test_the_record_to_the_byte(way: Way, turbine: ModernWire, api: Api, fact: Facts) -> None:
    start, before = way.topic.end(), api.server_time_ms()
    turbine.deliver(TELEMETRY, '{"windSpeed":31}')
    record = way.since(start, 1)[0]
    fact(SECTION, "the value to the byte", record.value, b'{"geoZone":"Zone A","windSpeed":31}')
    fact(SECTION, "the key is null", record.key, None)
    fact(SECTION, "there are no headers", record.headers, [])
    distance = abs(record.timestamp_ms - before)
    fact.holds(SECTION, "CreateTime is the time of sending", distance < 60_000, distance)


@pytest.mark.parametrize(
    ("literal", "printed"),
    [
        ("31.0", "31.0"),
        ("31.7", "31.7"),
        ("0", "0"),
        ("-1", "-1"),
        ("1e2", "100"),
        ("1e-7", "1.0E-7"),
        ('"31"', "31"),
        ('"31.50"', "31.5"),
    ],
)
def test_numbers(way: Way, turbine: ModernWire, fact: Facts, literal: str, printed: str) -> None:
    found = forwarded(way, turbine, f'{{"windSpeed":{literal},"more":1}}')
    fact(SECTION, f"windSpeed {literal}", found, [zone_a(printed)])


@pytest.mark.parametrize("literal", ['"abc"', "true", '{"a":1}', "12345678901234567890", "null"])
def test_what_is_no_number_is_dropped(way: Way, turbine: ModernWire, fact: Facts, literal: str) -> None:
    fact(SECTION, f"windSpeed {literal}", forwarded(way, turbine, f'{{"windSpeed":{literal}}}'), [])


def test_other_keys_are_dropped(way: Way, turbine: ModernWire, fact: Facts) -> None:
    fact(SECTION, "other keys only", forwarded(way, turbine, '{"temperature":1}'), [])


def test_arrays_make_a_record_per_element(way: Way, turbine: ModernWire, fact: Facts) -> None:
    expected = [zone_a("7"), zone_a("8")]
    fact(SECTION, "an array", forwarded(way, turbine, '[{"windSpeed":7},{"windSpeed":8}]', count=2), expected)
    with_times = [{"ts": START + number, "values": {"windSpeed": number}} for number in (7, 8)]
    fact(SECTION, "an array with times", forwarded(way, turbine, json.dumps(with_times), count=2), expected)
    one = {"ts": START, "values": {"windSpeed": 7}}
    fact(SECTION, "one with a time", forwarded(way, turbine, json.dumps(one)), [zone_a("7")])


@pytest.mark.parametrize(
    ("zone", "printed"),
    [('Zone B "q" é', '{"geoZone":"Zone B \\"q\\" é","windSpeed":4}'), (5, '{"geoZone":"5","windSpeed":4}')],
)
def test_zones(way: Way, turbine: ModernWire, connect: ModernConnect, fact: Facts, zone: Any, printed: str) -> None:
    _, wire = way.station(connect, zone=zone)
    fact(SECTION, f"zone {zone!r}", forwarded(way, turbine, '{"windSpeed":4}', wire=wire, count=1), [printed])


def test_devices_that_are_dropped(way: Way, turbine: ModernWire, connect: ModernConnect, api: Api, fact: Facts) -> None:
    _, other = way.station(connect, device_type="Other")
    fact(SECTION, "another deviceType", forwarded(way, turbine, '{"windSpeed":4}', wire=other), [])
    _, empty = way.station(connect, zone="")
    fact(SECTION, "an empty zone", forwarded(way, turbine, '{"windSpeed":4}', wire=empty), [])
    device = way.factory.device("mute")
    mute = connect(device)
    fact(SECTION, "no attributes", forwarded(way, turbine, '{"windSpeed":4}', wire=mute), [])
    said = {"deviceType": way.device_type, "geoZone": "Zone A"}
    api.call("POST", f"{device.path}/SERVER_SCOPE", json=said)
    fact(SECTION, "server attributes only", forwarded(way, turbine, '{"windSpeed":4}', wire=mute), [])


def test_attributes_count_once_they_are_stored(way: Way, connect: ModernConnect, fact: Facts) -> None:
    start = way.topic.end()
    device, wire = way.station(connect, zone="before")
    wire.deliver(TELEMETRY, '{"windSpeed":1}')
    way.since(start, 1)  # a reading that is still in the queue may get the attributes that come after it
    way.describe(device, wire, {"geoZone": "after"})
    wire.deliver(TELEMETRY, '{"windSpeed":2}')
    expected = ['{"geoZone":"before","windSpeed":1}', '{"geoZone":"after","windSpeed":2}']
    fact(SECTION, "each with its zone", values(way.since(start, 2)), expected)


def test_other_ways_in(way: Way, server: Server, connect: ModernConnect, api: Api, fact: Facts) -> None:
    device, _ = way.station(connect)
    start = way.topic.end()
    rest = api.call("POST", f"{device.path}/timeseries/ANY", json={"windSpeed": 55})
    assert rest.status_code == 200
    assert device_post(server, device.token, '{"windSpeed":56}').status_code == 200
    found = values(way.since(start, 1))
    fact(SECTION, "telemetry over HTTP is forwarded, telemetry over REST is not", found, [zone_a("56")])


def test_gateway_telemetry(way: Way, factory: ModernEntityFactory, connect: ModernConnect, fact: Facts) -> None:
    gateway = connect(factory.device("gateway", additionalInfo={"gateway": True}))
    name = factory.name_for_gateway()
    said = {"deviceType": way.device_type, "geoZone": "Zone A"}
    gateway.deliver("v1/gateway/attributes", json.dumps({name: said}))
    start = way.topic.end()
    entries = [{"ts": START + number, "values": {"windSpeed": number}} for number in (1, 2)]
    gateway.deliver("v1/gateway/telemetry", json.dumps({name: entries}))
    fact(SECTION, "a record per entry", sorted(values(way.since(start, 2))), [zone_a("1"), zone_a("2")])


def test_a_save_is_live_soon(way: Way, turbine: ModernWire, fact: Facts) -> None:
    """On a busy machine not at once (docs/servers/4.x.md#rule-chains, row 2)."""

    def by_the_new_chain(payload: str, expected: list[str]) -> list[str]:
        return eventually(
            lambda: forwarded(way, turbine, payload, count=len(expected)), lambda found: found == expected
        )

    try:
        way.use(way.chain_of(language="JS"))
        fact(
            SECTION,
            "JavaScript knows no doubles",
            by_the_new_chain('{"windSpeed":31.0}', [zone_a("31")]),
            [zone_a("31")],
        )
        way.use(old_fashioned(way.device_type, way.server.kafka_address, way.topic.name))
        fact(SECTION, "a chain of 2.x forwards, too", by_the_new_chain('{"windSpeed":6}', [zone_a("6")]), [zone_a("6")])
        way.use(way.chain_of(guard="msg.windSpeed != null"))
        for literal, printed in (
            ('"abc"', '"abc"'),
            ("true", "true"),
            ('{"a":1}', '{"a":1}'),
            ("12345678901234567890", '"12345678901234567890"'),
            ("0.1234567890123456789", '"0.1234567890123456789"'),
        ):
            found = by_the_new_chain(f'{{"windSpeed":{literal}}}', [zone_a(printed)])
            fact(SECTION, f"without the guard {literal} passes", found, [zone_a(printed)])
    finally:
        way.use(way.body)


def test_records_of_several_attributes_and_keys(way: Way, connect: ModernConnect, api: Api, fact: Facts) -> None:
    """The chain that a scenario's setup makes."""
    attributes = (
        RecordAttribute("site id"),
        RecordAttribute("tier", "server"),
        RecordAttribute("size", "shared", False),
    )
    record = RecordSpec(way.device_type, attributes, ("temp-celsius", "site"), device=True)
    body = rule_chain_descriptor("", way.topic.name, record)["metadata"]
    body["nodes"][3]["configuration"]["bootstrapServers"] = way.server.kafka_address
    device = way.factory.device("cold room")
    wire = connect(device)
    way.describe(device, wire, {"deviceType": way.device_type, "site id": "North", "tier": "no"})
    assert api.call("POST", f"{device.path}/SERVER_SCOPE", json={"tier": "gold"}).status_code == 200
    own = f'"deviceName":"{device.name}","ts":{START}}}'
    try:
        way.use(body)
        start = way.topic.end()
        # What must not come is followed by what must.
        for values_ in ({"other": 1}, {"site": None, "temp-celsius": None}, {"site": True}, {"site": 5}):
            wire.deliver(TELEMETRY, json.dumps({"ts": START, "values": values_}))
        expected = [f'{{"site id":"North","tier":"gold","site":5,{own}']
        fact(SECTION, "only what carries a key", values(way.since(start, 1)), expected)
        start = way.topic.end()
        wire.deliver(TELEMETRY, json.dumps({"ts": START, "values": {"site": "n/a", "temp-celsius": -2.5, "more": 1}}))
        expected = [f'{{"site id":"North","tier":"gold","temp-celsius":-2.5,"site":"n/a",{own}']
        fact(SECTION, "all keys, in the order of the script", values(way.since(start, 1)), expected)
    finally:
        way.use(way.body)


def test_keys_and_headers(way: Way, connect: ModernConnect, fact: Facts) -> None:
    device, wire = way.station(connect)
    settings = {"addMetadataKeyValuesAsKafkaHeaders": True, "keyPattern": "${deviceName}"}
    try:
        way.use(with_kafka(way.body, **settings))
        start = way.topic.end()
        wire.deliver(TELEMETRY, '{"windSpeed":1}')
        record = way.since(start, 1)[0]
    finally:
        way.use(way.body)
    fact(SECTION, "a key by its pattern", record.key, device.name.encode())
    expected = {"deviceType", "cs_deviceType", "cs_geoZone", "deviceName", "ts"}
    fact(SECTION, "metadata as headers", {name for name, _ in record.headers}, {f"tb_msg_md_{key}" for key in expected})


def test_kafka_out_of_reach(way: Way, turbine: ModernWire, connect: ModernConnect, api: Api, fact: Facts) -> None:
    device, wire = way.station(connect)
    try:
        way.factory.save_metadata(way.chain, with_kafka(way.body, bootstrapServers="no-such-host.invalid:9092"))
        wire.deliver(TELEMETRY, '{"windSpeed":77}')
    finally:
        way.use(way.body)

    def value() -> Any:
        return api.get(f"{device.path}/values/timeseries", keys="windSpeed")["windSpeed"][0]["value"]

    fact(SECTION, "it is acknowledged and stored all the same", eventually(value, lambda found: found == "77"), "77")
    fact(SECTION, "and lost for Kafka", forwarded(way, turbine, '{"windSpeed":78}'), [zone_a("78")])


def test_a_profile_with_a_chain_of_its_own_goes_round_the_root_chain(
    way: Way, turbine: ModernWire, factory: ModernEntityFactory, connect: ModernConnect, api: Api, fact: Facts
) -> None:
    profile = {
        "name": factory.name("round"),
        "type": "DEFAULT",
        "transportType": "DEFAULT",
        "profileData": {"configuration": {"type": "DEFAULT"}, "transportConfiguration": {"type": "DEFAULT"}},
        "defaultRuleChainId": way.chain["id"],
    }
    saved = factory.create("deviceProfile", profile)
    device = factory.device("round", deviceProfileId=saved["id"])
    fact(SECTION, "the profile gives the type", device.type, profile["name"])
    wire = connect(device)
    wire.deliver(ATTRIBUTES, json.dumps({"deviceType": way.device_type, "geoZone": "Zone A"}))
    fact(SECTION, "nothing is forwarded", forwarded(way, turbine, '{"windSpeed":4}', wire=wire), [])
    fact(SECTION, "no attributes are stored", api.get(f"{device.path}/keys/attributes/CLIENT_SCOPE"), [])
    fact(SECTION, "nor telemetry", api.get(f"{device.path}/keys/timeseries"), [])


def test_a_hook_keeps_the_root_chain_and_a_deleted_chain_leaves_it_dangling(
    way: Way, factory: ModernEntityFactory, turbine: ModernWire, connect: ModernConnect, api: Api, fact: Facts
) -> None:
    hooked = factory.metadata(factory.root_id)
    kept = {one["id"]["id"] for one in way.root_before["nodes"]}
    fact(
        SECTION,
        "all nodes of the root chain keep their ids",
        kept - {one["id"]["id"] for one in hooked["nodes"]},
        set(),
    )
    doomed = factory.chain()
    filter_ = node("org.thingsboard.rule.engine.filter.TbMsgTypeFilterNode", "any", {"messageTypes": []})
    factory.save_metadata(doomed, {"firstNodeIndex": 0, "nodes": [filter_], "connections": []})
    factory.hook(doomed)
    deleted = api.call("DELETE", f"/api/ruleChain/{doomed['id']['id']}")
    fact(SECTION, "a chain that the root chain leads to can be deleted", deleted.status_code, 200)
    factory.forget("ruleChain", doomed["id"]["id"])
    names = [one["name"] for one in factory.metadata(factory.root_id)["nodes"]]
    fact.holds(SECTION, "the node that led to it stays", doomed["name"] in names, names)
    fact(SECTION, "the others go on", forwarded(way, turbine, '{"windSpeed":9}'), [zone_a("9")])


def test_debug_events_show_failures(way: Way, api: Api, turbine: ModernWire, fact: Facts) -> None:
    watched = way.chain_of(guard="msg.windSpeed")
    watched["nodes"][2]["debugSettings"] = {"failuresEnabled": True, "allEnabled": False}
    try:
        way.use(watched)
        turbine.deliver(TELEMETRY, '{"windSpeed":1}')
        found = way.saved["nodes"][2]
        query = {"tenantId": api.tenant_id, "pageSize": 10, "page": 0}

        def read_events() -> list[dict[str, Any]]:
            page = api.get(f"/api/events/RULE_NODE/{found['id']['id']}/DEBUG_RULE_NODE", **query)
            return [event["body"] for event in page["data"] if event["body"].get("relationType") == "Failure"]

        bodies = eventually(read_events, bool)
        fact.holds(SECTION, "a filter that gives no Boolean fails", bool(bodies and bodies[0].get("error")), bodies)
    finally:
        way.use(way.body)
