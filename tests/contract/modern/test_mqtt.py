"""MQTT, gateways and the HTTP device API: docs/servers/4.x.md#mqtt, docs/servers/4.x.md#gateway, docs/servers/4.x.md#http-device-api."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.contract.api import Api, bare, silent
from tests.contract.factories import Made
from tests.contract.facts import Facts
from tests.contract.modern.factories import ModernEntityFactory
from tests.contract.modern.wire import CONNACK, ModernConnect, ModernWire, puback, publish_packet_5, refused
from tests.contract.server import Server
from tests.contract.versions import ByVersion, Version
from tests.contract.waiting import eventually
from tests.contract.wire import (
    ATTRIBUTES,
    RESPONSE_SECONDS,
    SILENCE_SECONDS,
    TELEMETRY,
    Ending,
    connect_packet,
    subscribe_packet,
)

SECTION = "modern 5"
NOWHERE = "20 characters without"
ACKNOWLEDGED, CLOSED, SILENT = "PUBACK", Ending.CLOSED, Ending.SILENT


@pytest.fixture
def wire(server: Server) -> Iterator[ModernWire]:
    """A connection on which nothing was sent yet."""
    with ModernWire(server.settings.mqtt) as wire:
        yield wire


def response_to(wire: ModernWire, packet: bytes) -> Any:
    wire.send(packet)
    return wire.receive()


@pytest.mark.parametrize("level", [3, 4])
@pytest.mark.parametrize(("client_id", "password"), [("contract", None), ("", None), ("contract", "any")])
def test_accepted_connections(
    wire: ModernWire, device: Made, fact: Facts, level: int, client_id: str, password: str | None
) -> None:
    packet = connect_packet(device.token, level=level, client_id=client_id, password=password)
    is_nameless = level == 3 and not client_id
    expected = ByVersion({"4.3.1": CONNACK, "3.9.1, 4.3.1.3": CLOSED}) if is_nameless else CONNACK
    text = f"CONNECT level {level}, id {client_id!r}, password {password!r}"
    fact(SECTION, text, response_to(wire, packet), expected)


def test_a_lasting_session(wire: ModernWire, device: Made, fact: Facts) -> None:
    packet = connect_packet(device.token, clean=False)
    fact(SECTION, "clean=false: session present", response_to(wire, packet), bytes.fromhex("20020100"))


def test_mqtt_5(wire: ModernWire, server: Server, device: Made, fact: Facts) -> None:
    accepted = response_to(wire, connect_packet(device.token, level=5))
    fact(SECTION, "CONNECT of MQTT 5", accepted, bytes.fromhex("2003000000"))
    good = response_to(wire, publish_packet_5(TELEMETRY, '{"windSpeed":31}', 1))
    fact.holds(SECTION, "PUBLISH of MQTT 5", good[:4] == puback(1)[:1] + good[1:2] + (1).to_bytes(2), good)
    bad = response_to(wire, publish_packet_5(TELEMETRY, "{bad", 2))
    fact(SECTION, "a malformed payload: PUBACK with a reason", (bad[:1], bad[2:5]), (b"\x40", b"\x00\x02\x99"))
    fact(SECTION, "and the session stays", wire.is_alive(), True)
    with ModernWire(server.settings.mqtt) as other:
        fact(SECTION, "a bad token", response_to(other, connect_packet(NOWHERE, level=5)), bytes.fromhex("2003008600"))
        fact(SECTION, "then DISCONNECT", other.receive(), bytes.fromhex("e0028600"))
        fact(SECTION, "and the end", other.receive(), CLOSED)


@pytest.mark.parametrize(
    ("username", "client_id", "code"),
    [(NOWHERE, "contract", 5), ("", "contract", 5), (None, "contract", 2), (None, "", 5)],
)
def test_refused_connections(wire: ModernWire, fact: Facts, username: str | None, client_id: str, code: int) -> None:
    found = response_to(wire, connect_packet(username, client_id=client_id))
    fact(SECTION, f"CONNECT of {username!r} as {client_id!r}", found, refused(code))
    fact(SECTION, "then it is closed", wire.receive(), CLOSED)


def test_a_second_connection_ends_the_first(device: Made, connect: ModernConnect, fact: Facts) -> None:
    first = connect(device)
    second = connect(device)
    fact(SECTION, "one session per device", first.receive(), CLOSED)
    fact(SECTION, "the second one lives", second.is_alive(), True)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ('{"windSpeed":31}', ACKNOWLEDGED),
        ('{"windSpeed":"31"}', ACKNOWLEDGED),
        ('{"windSpeed":true}', ACKNOWLEDGED),
        ('{"windSpeed":null}', ACKNOWLEDGED),
        ('{"windSpeed":{"a":[1,2]}}', ACKNOWLEDGED),
        ("{}", ACKNOWLEDGED),
        ('{"ts":1795470000000}', ACKNOWLEDGED),
        ('{"ts":1795470000000,"values":{"windSpeed":1}}', ACKNOWLEDGED),
        ("{bad", CLOSED),
        ("", CLOSED),
        ('"x"', CLOSED),
        ("5", CLOSED),
        ("null", CLOSED),
        ('{"windSpeed":}', CLOSED),
        ('{"ts":"abc","values":{"windSpeed":1}}', CLOSED),
        (b"\xff\xfe", CLOSED),
        ("x" * 70_000, CLOSED),
    ],
)
def test_telemetry(device: Made, connect: ModernConnect, fact: Facts, payload: str | bytes, expected: Any) -> None:
    wire = connect(device)
    packet_id = wire.publish(TELEMETRY, payload)
    wanted = puback(packet_id) if expected == ACKNOWLEDGED else expected
    fact(SECTION, f"telemetry {payload[:60]!r}", wire.receive(), wanted)


def test_an_empty_array_gets_no_response(device: Made, connect: ModernConnect, fact: Facts) -> None:
    wire = connect(device)
    wire.publish(TELEMETRY, "[]")
    fact(SECTION, "telemetry []", wire.receive(1), SILENT)
    packet_id = wire.publish(TELEMETRY, '{"windSpeed":1}')
    fact(SECTION, "the next one is", wire.receive(), puback(packet_id))


def test_other_topics(device: Made, connect: ModernConnect, fact: Facts) -> None:
    wire = connect(device)
    for topic in ("v1/devices/me/nosuch", "foo/bar"):
        packet_id = wire.publish(topic, "{}")
        fact(SECTION, f"a message to {topic}", wire.receive(), puback(packet_id))
    wire.publish("v1/gateway/telemetry", '{"x":[{"a":1}]}')
    fact(SECTION, "a gateway's topic on a plain device", wire.receive(1), SILENT)
    for topic in ("foo/#", TELEMETRY):
        wire.send(subscribe_packet(topic, 77))
        fact(SECTION, f"SUBSCRIBE {topic}", wire.receive(), bytes.fromhex("9003004d80"))
    packet_id = wire.publish(TELEMETRY, '{"windSpeed":2}', qos=2)
    fact(SECTION, "QoS 2 gets a PUBACK", wire.receive(), puback(packet_id))


def test_before_connect_nothing_gets_a_response(wire: ModernWire, fact: Facts) -> None:
    wire.publish(TELEMETRY, '{"windSpeed":1}')
    fact(SECTION, "PUBLISH before CONNECT", wire.receive(1.5), SILENT)


def test_attributes_and_asking_for_them(device: Made, connect: ModernConnect, fact: Facts, api: Api) -> None:
    wire = connect(device)
    wire.deliver(ATTRIBUTES, '{"deviceType":"WeatherStation","geoZone":"Zone A"}')

    def stored() -> dict[str, Any]:
        found = api.get(f"{device.path}/values/attributes/CLIENT_SCOPE")
        return {item["key"]: item["value"] for item in found}

    expected = {"deviceType": "WeatherStation", "geoZone": "Zone A"}
    fact(SECTION, "client attributes are stored", eventually(stored, lambda found: found == expected), expected)
    wire.send(subscribe_packet("v1/devices/me/attributes/response/+", 5))
    assert wire.receive() == bytes.fromhex("9003000501")
    wire.publish("v1/devices/me/attributes/request/1", '{"clientKeys":"deviceType,geoZone"}', qos=0)
    packet = wire.receive()
    assert isinstance(packet, bytes)
    body = json.loads(packet[packet.index(b"{") :])
    fact(SECTION, "asking for client attributes", body, {"client": expected})


def test_changed_credentials_and_deletion_end_the_session(
    api: Api, factory: ModernEntityFactory, connect: ModernConnect, fact: Facts
) -> None:
    device = factory.device("changing")
    wire = connect(device)
    credentials = api.get(f"/api/device/{device.id}/credentials")
    token = factory.name("T")[:20] + "N"
    api.call("POST", "/api/device/credentials", json=credentials | {"credentialsId": token})
    fact(SECTION, "a changed token ends the session", wire.receive(), CLOSED)
    second = connect(Made("DEVICE", device.id, device.name, device.type, token))
    assert api.call("DELETE", f"/api/device/{device.id}").status_code == 200
    factory.forget("device", device.id)
    fact(SECTION, "deletion ends the session", second.receive(), CLOSED)


def test_gateway(api: Api, factory: ModernEntityFactory, version: Version, connect: ModernConnect, fact: Facts) -> None:
    gateway = factory.device("gateway", additionalInfo={"gateway": True})
    wire = connect(gateway)
    names = [factory.name_for_gateway() for _ in range(3)]
    content = {name: [{"ts": 1_795_470_000_000, "values": {"windSpeed": 7}}] for name in names[:2]}
    packet_id = wire.publish("v1/gateway/telemetry", json.dumps(content))
    fact(SECTION, "two devices: a PUBACK", wire.receive_many(1), [puback(packet_id)])
    second = ByVersion({"3.9.1": puback(packet_id), "4.3.1 to 4.3.1.3": SILENT})
    fact(SECTION, "and whether there is one per device", wire.receive(1), second)
    found = eventually(lambda: factory.find_device(names[0]), bool)
    assert found is not None
    fact(SECTION, "a new device's type", found["type"], "default")
    fact(SECTION, "and its gateway", found["additionalInfo"]["lastConnectedGateway"], gateway.id)
    path = f"/api/plugins/telemetry/DEVICE/{found['id']['id']}/values/timeseries"

    def value() -> Any:
        return api.get(path, keys="windSpeed")["windSpeed"][0]["value"]

    fact(SECTION, "its telemetry", eventually(value, lambda found: found == "7"), "7")
    wire.deliver("v1/gateway/connect", json.dumps({"device": names[2], "type": factory.type}))
    typed = eventually(lambda: factory.find_device(names[2]), bool)
    fact(SECTION, "connect sets a type", typed and typed["type"], factory.type)
    packet_id = wire.publish("v1/gateway/telemetry", json.dumps({names[0]: [{"windSpeed": 8}]}))
    fact(SECTION, "an array without times", wire.receive(), puback(packet_id))
    packet_id = wire.publish("v1/gateway/telemetry", json.dumps({names[0]: {"windSpeed": 8}}))
    seconds = SILENCE_SECONDS if version < (4,) else RESPONSE_SECONDS
    expected = ByVersion({"3.9.1": SILENT, "4.3.1": CLOSED, "4.3.1.3": puback(packet_id)})
    fact(SECTION, "an object instead of an array", wire.receive(seconds), expected)


def device_post(server: Server, token: str, body: str, what: str = "telemetry") -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Content-Type": "application/json"}
        return session.post(f"{server.settings.url}/api/v1/{token}/{what}", data=body, headers=headers, timeout=60)


def test_http_device_api(server: Server, api: Api, device: Made, fact: Facts) -> None:
    good = device_post(server, device.token, '{"windSpeed":3}')
    fact(SECTION, "telemetry over HTTP", (good.status_code, good.content), (200, b""))

    def value() -> Any:
        return api.get(f"{device.path}/values/timeseries", keys="windSpeed")["windSpeed"][0]["value"]

    fact(SECTION, "is stored", eventually(value, lambda found: found == "3"), "3")
    fact(SECTION, "a bad token", silent(device_post(server, "nosuchtoken", "{}")), (401, ""))
    malformed = device_post(server, device.token, "{bad")
    fact(SECTION, "a malformed body", malformed.status_code, 500)
    fact.holds(SECTION, "its text", malformed.text.startswith("java.io.EOFException"), malformed.text)
    fact(SECTION, "its media type", bare(malformed)[2], "text/plain;charset=UTF-8")
