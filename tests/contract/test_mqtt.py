"""Devices on MQTT, byte by byte, and the HTTP device API: docs/servers/1.x.md#mqtt, docs/servers/1.x.md#http-device-api."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from pacifictool.mqtt.connection import tls_context
from tests.contract.api import Api
from tests.contract.conftest import Connect
from tests.contract.factories import EntityFactory, Made
from tests.contract.facts import Facts
from tests.contract.server import Server
from tests.contract.waiting import eventually
from tests.contract.wire import (
    ATTRIBUTES,
    CONNECTED,
    DISCONNECT,
    RESPONSE_SECONDS,
    TELEMETRY,
    Ending,
    Wire,
    all_silent,
    connect_packet,
    puback,
    publish_packet,
    subscribe_packet,
)

START = 1_500_000_000_000
NOT_AUTHORISED = bytes.fromhex("20020105")
BAD_USERNAME = bytes.fromhex("20020104")


@pytest.fixture(scope="module")
def device(factory: EntityFactory) -> Made:
    return factory.device("mqtt")


def latest(api: Api, made: Made, key: str) -> Any:
    return api.get(f"{made.path}/values/timeseries", keys=key)[key][0]["value"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"level": 3},
        {"clean": False, "client_id": "contract-kept"},
        {"client_id": ""},
        {"password": "any password will do"},
    ],
)
def test_a_good_token_is_accepted(server: Server, device: Made, fact: Facts, options: dict[str, Any]) -> None:
    with Wire(server.settings.mqtt) as wire:
        wire.send(connect_packet(device.token, **options))
        fact("6", f"CONNECT with a good token and {options}", wire.receive(), CONNECTED)
        fact("6", "a ping gets a response", wire.is_alive(), True)


@pytest.mark.parametrize(
    ("username", "connack"), [("no-such-token-of-ours", NOT_AUTHORISED), ("", BAD_USERNAME), (None, BAD_USERNAME)]
)
def test_other_user_names_are_refused(server: Server, fact: Facts, username: str | None, connack: bytes) -> None:
    with Wire(server.settings.mqtt) as wire:
        wire.send(connect_packet(username))
        fact("6", f"CONNECT with the user name {username!r}", wire.receive(), connack)
        fact("6", "then the connection is closed", wire.receive(), Ending.CLOSED)


def test_mqtt_5_is_not_spoken(server: Server, device: Made, fact: Facts) -> None:
    with Wire(server.settings.mqtt) as wire:
        wire.send(connect_packet(device.token, level=5))
        fact("6", "CONNECT of MQTT 5 is closed without CONNACK", wire.receive(), Ending.CLOSED)


def test_sessions_with_one_client_id_live_side_by_side(connect: Connect, device: Made, fact: Facts) -> None:
    wires = [connect(device), connect(device)]
    for number, wire in enumerate(wires):
        packet_id = wire.publish(TELEMETRY, f'{{"ts":{START + number},"values":{{"side":{number}}}}}')
        fact("6", f"session {number + 1} of one client id publishes", wire.receive(), puback(packet_id))
    fact("6", "both are still there", [wire.is_alive() for wire in wires], [True, True])


def test_publish_before_connect(server: Server, fact: Facts) -> None:
    with Wire(server.settings.mqtt) as wire:
        wire.send(publish_packet(TELEMETRY, '{"a":1}', 1))
        fact("6", "PUBLISH before CONNECT", wire.receive(), Ending.CLOSED)


@pytest.mark.parametrize(
    ("topic", "qos", "granted"), [(ATTRIBUTES, 1, 1), (ATTRIBUTES, 2, 1), ("v1/devices/me/nosuch", 1, 0x80)]
)
def test_subscribing(connect: Connect, device: Made, fact: Facts, topic: str, qos: int, granted: int) -> None:
    wire = connect(device)
    wire.send(subscribe_packet(topic, 7, qos))
    fact("6", f"SUBSCRIBE {topic} with QoS {qos}", wire.receive(), bytes((0x92, 3, 0, 7, granted)))


@pytest.mark.parametrize(
    "payload",
    [
        '{"windSpeed":"31"}',
        '{"windSpeed":31}',
        '{"ts":1500000000000,"values":{"windSpeed":"31"}}',
        '[{"ts":1500000001000,"values":{"windSpeed":1}},{"ts":1500000002000,"values":{"windSpeed":2}}]',
        '[{"a":1},{"b":2}]',
        "{}",
        '{"a":NaN}',
        b'{"a":"\xff\xfe"}',
    ],
)
def test_accepted_telemetry(connect: Connect, device: Made, fact: Facts, payload: str | bytes) -> None:
    wire = connect(device)
    packet_id = wire.publish(TELEMETRY, payload)
    fact("6", f"telemetry {payload!r}", wire.receive(), puback(packet_id))


def test_accepted_attributes(connect: Connect, device: Made, fact: Facts) -> None:
    wire = connect(device)
    wire.send(publish_packet(ATTRIBUTES, '{"deviceType":"none of ours","geoZone":"Zone A"}', 0xABCD))
    fact("6", "PUBACK repeats both bytes of the id", wire.receive(), bytes.fromhex("4202abcd"))


REFUSED = ['{"windSpeed":', "", '"abc"', "5", '{"a":null}', '{"a":{"b":1}}', '{"a":1e3}', '{"a":12345678901234567890}']


@pytest.mark.parametrize(
    ("topic", "payload"),
    [(TELEMETRY, payload) for payload in REFUSED]
    + [(ATTRIBUTES, payload) for payload in ('[{"a":1}]', '{"a":null}')]
    + [("v1/devices/me/nosuch", "{}")],
)
def test_what_closes_the_connection(connect: Connect, device: Made, fact: Facts, topic: str, payload: str) -> None:
    wire = connect(device)
    wire.publish(topic, payload)
    fact("6", f"{topic} {payload!r}: neither PUBACK nor DISCONNECT", wire.receive(), Ending.CLOSED)


def test_a_puback_means_stored(connect: Connect, api: Api, device: Made, fact: Facts) -> None:
    wire = connect(device)
    seen = []
    for number in range(5):
        wire.deliver(TELEMETRY, f'{{"ts":{START + number},"values":{{"stored":{number}}}}}')
        seen.append(latest(api, device, "stored"))
    fact("6", "what was acknowledged is readable", seen, ["0", "1", "2", "3", "4"])


def test_all_of_a_burst_are_acknowledged(connect: Connect, device: Made, fact: Facts) -> None:
    wire = connect(device)
    sent = {
        puback(wire.publish(TELEMETRY, f'{{"ts":{START + number},"values":{{"burst":{number}}}}}'))
        for number in range(20)
    }
    # Their order is not guaranteed.
    fact("6", "20 in flight with distinct ts", set(wire.receive_many(20)), sent)


def test_qos_2_gets_a_puback(connect: Connect, device: Made, fact: Facts) -> None:
    wire = connect(device)
    packet_id = wire.publish(TELEMETRY, f'{{"ts":{START},"values":{{"two":2}}}}', qos=2)
    fact("6", "PUBLISH with QoS 2", wire.receive(), puback(packet_id))


def test_qos_0_is_stored_without_a_response(connect: Connect, api: Api, device: Made, fact: Facts) -> None:
    wire = connect(device)
    wire.publish(TELEMETRY, f'{{"ts":{START},"values":{{"zero":"kept"}}}}', qos=0)
    found = eventually(lambda: latest(api, device, "zero"), lambda value: value is not None)
    fact("6", "PUBLISH with QoS 0 is stored", found, "kept")
    fact("6", "PUBLISH with QoS 0 is not acknowledged", wire.is_alive(), True)


def test_gateway_topics_of_a_plain_device_are_ignored(connect: Connect, device: Made, fact: Facts) -> None:
    topics = ("telemetry", "attributes", "connect")
    wires = [connect(device) for _ in topics]
    for topic, wire in zip(topics, wires, strict=True):
        wire.publish(f"v1/gateway/{topic}", '{"device":"contract-never-made"}')
    for topic, wire, response in zip(topics, wires, all_silent(wires), strict=True):
        fact("6", f"v1/gateway/{topic} of a plain device is not acknowledged", response, Ending.SILENT)
        fact("6", f"v1/gateway/{topic} of a plain device leaves the session", wire.is_alive(), True)


def test_a_new_token_ends_the_session(
    connect: Connect, server: Server, api: Api, factory: EntityFactory, fact: Facts
) -> None:
    device = factory.device("new-token")
    wire = connect(device)
    credentials = api.get(f"/api/device/{device.id}/credentials")
    new = f"new{factory.run}{device.token}"[:20]
    api.call("POST", "/api/device/credentials", json=credentials | {"credentialsId": new})
    # On a busy machine the DISCONNECT did not come within the wait (docs/servers/1.x.md#devices, row 10).
    response = wire.receive(3 * RESPONSE_SECONDS)
    fact("6", "a new token: the old session gets a DISCONNECT", response, DISCONNECT)
    fact("6", "a new token: then the connection is closed", wire.receive(), Ending.CLOSED)
    fact("6", "the new token works", connect(replace(device, token=new)).is_alive(), True)


def test_a_deleted_device_keeps_its_session(
    connect: Connect, server: Server, api: Api, factory: EntityFactory, fact: Facts
) -> None:
    device = factory.device("deleted")
    wire = connect(device)
    wire.deliver(TELEMETRY, '{"before":1}')
    api.call("DELETE", f"/api/device/{device.id}")
    factory.forget("device", device.id)
    packet_id = wire.publish(TELEMETRY, '{"after":1}')
    fact("6", "a deleted device is still acknowledged", wire.receive(), puback(packet_id))
    with Wire(server.settings.mqtt) as again:
        again.send(connect_packet(device.token))
        fact("6", "a deleted device cannot connect again", again.receive(), NOT_AUTHORISED)


def test_paho_gets_along(server: Server, api: Api, factory: EntityFactory, fact: Facts) -> None:
    device = factory.device("paho")
    connected, flags = threading.Event(), []

    def on_connect(_client: Any, _data: Any, connect_flags: paho.ConnectFlags, code: Any, _properties: Any) -> None:
        flags.append((connect_flags.session_present, str(code)))
        connected.set()

    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(device.token)
    client.on_connect = on_connect
    endpoint = server.settings.mqtt
    if endpoint.tls:
        client.tls_set_context(tls_context(endpoint))
    client.connect(endpoint.host, endpoint.port)
    client.loop_start()
    try:
        assert connected.wait(RESPONSE_SECONDS)
        sent = [
            client.publish(TELEMETRY, f'{{"ts":{START + number},"values":{{"windSpeed":"{number}"}}}}', qos=1)
            for number in range(30, 50)
        ]
        for message in sent:
            message.wait_for_publish(RESPONSE_SECONDS)
        published = [message.is_published() for message in sent]
    finally:
        client.disconnect()
        client.loop_stop()
    fact("6", "paho sees session-present even with a clean session", flags, [(True, "Success")])
    fact("6", "paho's messages are all acknowledged", all(published), True)
    points = api.get(f"{device.path}/values/timeseries", keys="windSpeed", startTs=START, endTs=START + 100, interval=0)
    fact("6", "all of them are stored", len(points["windSpeed"]), 20)


def test_the_http_device_api(api: Api, device: Made, fact: Facts) -> None:
    path = f"/api/v1/{device.token}/telemetry"
    accepted = api.call("POST", path, json={"overHttp": "201"}, authorization=None)
    fact("6", "telemetry over HTTP", (accepted.status_code, accepted.content), (200, b""))
    fact("6", "telemetry over HTTP is stored", latest(api, device, "overHttp"), "201")
    refused = api.call("POST", "/api/v1/no-such-token-of-ours/telemetry", json={"a": 1}, authorization=None)
    fact("6", "a bad token over HTTP", (refused.status_code, refused.content), (401, b""))
