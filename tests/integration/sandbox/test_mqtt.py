from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from pacifictool.local.launcher import SandboxProcess
from pacifictool.sandbox.mqtt import wire
from tests.support.sandbox_clients import ATTRIBUTES, TELEMETRY, RawDevice, Tenant, connect_packet, subscribe_packet
from tests.support.waiting import SOON_SECONDS

Connect = Callable[[str | None], RawDevice]
SCOPED = "/api/plugins/telemetry/DEVICE/{}/values/attributes/{}"


@pytest.fixture
def station(tenant: Tenant, unique: str) -> tuple[str, str]:
    return tenant.device(f"WS {unique}")


@pytest.mark.parametrize(
    "options",
    [{}, {"level": 3}, {"is_clean": False, "client_id": "me"}, {"client_id": "me"}, {"keep_alive_seconds": 0}],
)
def test_a_good_token_is_accepted_with_session_present(
    connect: Connect, station: tuple[str, str], options: Any
) -> None:
    device = connect(None)
    device.send(connect_packet(station[1], **options))
    device.expect(b"\x20\x02\x01\x00")


@pytest.mark.parametrize(("username", "code"), [("nosuchtoken", 5), ("", 4), (None, 4)])
def test_refused_connections_get_a_return_code_and_are_closed(
    connect: Connect, username: str | None, code: int
) -> None:
    device = connect(None)
    device.send(connect_packet(username))
    device.expect(bytes((0x20, 2, 1, code)))
    assert device.is_closed()


@pytest.mark.parametrize("how", ["mqtt5", "publish first", "no mqtt", "connect twice", "too long"])
def test_invalid_first_packets_close_the_connection_without_a_response(
    connect: Connect, station: tuple[str, str], how: str
) -> None:
    if how == "connect twice":
        device = connect(station[1])
        device.send(connect_packet(station[1]))
    elif how == "too long":
        device = connect(station[1])
        device.publish(b" " * 70_000)
    else:
        device = connect(None)
        first = {
            "mqtt5": connect_packet(station[1], level=5),
            "publish first": wire.publish_packet(TELEMETRY, b"{}", 1, 1),
            "no mqtt": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        }
        device.send(first[how])
    assert device.is_closed()


def test_two_sessions_can_share_a_token_and_a_client_id(connect: Connect, station: tuple[str, str]) -> None:
    devices = [connect(None) for _ in range(2)]
    for device in devices:
        device.send(connect_packet(station[1], client_id="same"))
        device.expect(b"\x20\x02\x01\x00")
    for device in devices:
        device.acknowledged('{"a":1}')


def test_telemetry_and_attributes_are_stored_when_acknowledged(
    tenant: Tenant, connect: Connect, station: tuple[str, str]
) -> None:
    identifier, token = station
    device = connect(token)
    device.acknowledged('{"deviceType":"WeatherStation","geoZone":"Zone A","n":7}', topic=ATTRIBUTES, packet_id=513)
    found = tenant.get(SCOPED.format(identifier, "CLIENT_SCOPE"))
    assert {item["key"]: item["value"] for item in found} == {
        "deviceType": "WeatherStation",
        "geoZone": "Zone A",
        "n": 7,
    }
    payloads: tuple[str | bytes, ...] = (
        '{"windSpeed":"31"}',
        '{"windSpeed":31}',
        '{"ts":1500000000000,"values":{"windSpeed":"32"}}',
        '[{"ts":1500000000000,"values":{"windSpeed":1}},{"ts":1500000000001,"values":{"windSpeed":2.5}}]',
        '[{"windSpeed":1},{"windSpeed":"7"}]',
        "{}",
        "[]",
        '{"windSpeed":NaN}',
        b'{"windSpeed":"\xff"}',
    )
    for packet_id, payload in enumerate(payloads, start=1):
        device.acknowledged(payload, packet_id=packet_id)
    assert tenant.latest(identifier, "windSpeed") == {"windSpeed": "\ufffd"}
    window = f"/api/plugins/telemetry/DEVICE/{identifier}/values/timeseries?keys=windSpeed&interval=0"
    assert tenant.get(f"{window}&startTs=1499999999999&endTs=1500000000002") == {
        "windSpeed": [{"ts": 1500000000001, "value": "2.5"}, {"ts": 1500000000000, "value": "1"}]
    }


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (TELEMETRY, "{"),
        (TELEMETRY, ""),
        (TELEMETRY, '"abc"'),
        (TELEMETRY, "5"),
        (TELEMETRY, '{"a":null}'),
        (TELEMETRY, '{"a":{"b":1}}'),
        (TELEMETRY, '{"a":1e3}'),
        (TELEMETRY, '{"a":12345678901234567890}'),
        (ATTRIBUTES, '[{"a":1}]'),
        (ATTRIBUTES, '{"a":null}'),
        ("v1/devices/me/nosuch", '{"a":1}'),
        ("v1/devices/+/telemetry", '{"a":1}'),
    ],
)
@pytest.mark.parametrize("qos", [0, 1])
def test_malformed_messages_close_the_connection_without_a_puback(
    tenant: Tenant, connect: Connect, station: tuple[str, str], topic: str, payload: str, qos: int
) -> None:
    device = connect(station[1])
    device.publish(payload, topic=topic, qos=qos)
    assert device.is_closed()
    assert tenant.get(f"/api/plugins/telemetry/DEVICE/{station[0]}/keys/timeseries") == []


def test_messages_before_a_malformed_one_are_acknowledged(connect: Connect, station: tuple[str, str]) -> None:
    device = connect(station[1])
    good, bad = wire.publish_packet(TELEMETRY, b'{"a":1}', 1, 1), wire.publish_packet(TELEMETRY, b"{", 1, 2)
    device.send(good)
    device.expect(b"\x42\x02\x00\x01")
    device.send(bad + good)
    assert device.is_closed()


def test_qos_0_is_stored_without_and_qos_2_with_a_puback(
    tenant: Tenant, connect: Connect, station: tuple[str, str]
) -> None:
    device = connect(station[1])
    device.publish('{"zero":1}', qos=0)
    device.publish('{"two":1}', qos=2, packet_id=9)
    device.expect(b"\x42\x02\x00\x09")
    assert device.is_silent()
    assert tenant.latest(station[0], "zero", "two") == {"zero": "1", "two": "1"}


def test_packets_may_come_in_pieces_or_many_at_once(connect: Connect, station: tuple[str, str]) -> None:
    device = connect(None)
    for byte in connect_packet(station[1]) + wire.publish_packet(TELEMETRY, b'{"a":1}', 1, 1):
        device.send(bytes((byte,)))
    device.expect(b"\x20\x02\x01\x00\x42\x02\x00\x01")
    count = 2000
    device.send(b"".join(wire.publish_packet(TELEMETRY, b'{"a":%d}' % i, 1, i) for i in range(1, count + 1)))
    responses = device.read(4 * count)
    assert {int.from_bytes(responses[at + 2 : at + 4], "big") for at in range(0, 4 * count, 4)} == set(
        range(1, count + 1)
    )


def test_subscriptions_pings_and_disconnects(tenant: Tenant, connect: Connect, station: tuple[str, str]) -> None:
    identifier, token = station
    device = connect(token)
    device.send(subscribe_packet(7, (ATTRIBUTES, 2), ("nosuch", 1), (f"{ATTRIBUTES}/response/+", 0)))
    device.expect(b"\x92\x05\x00\x07\x01\x80\x00")
    shared = f"/api/plugins/telemetry/DEVICE/{identifier}/attributes/SHARED_SCOPE"
    tenant.post(shared, {"limit": 5})
    notification = wire.publish_packet(ATTRIBUTES, b'{"limit":5}', 1, 1)
    device.expect(notification)
    device.send(b"\x40\x02\x00\x01")
    tenant.post(shared.replace("SHARED", "SERVER"), {"secret": 5})
    assert device.is_silent(0.2)
    device.publish('{"clientKeys":"c","sharedKeys":"limit,x"}', topic=f"{ATTRIBUTES}/request/3", qos=0)
    device.expect(wire.publish_packet(f"{ATTRIBUTES}/response/3", b'{"shared":{"limit":5}}', 0, 0))
    tenant.delete(f"/api/plugins/telemetry/DEVICE/{identifier}/SHARED_SCOPE?keys=limit")
    device.expect(wire.publish_packet(ATTRIBUTES, b'{"deleted":["limit"]}', 1, 3))
    device.send(b"\xa2\x1c\x00\x08\x00\x18" + ATTRIBUTES.encode())
    device.expect(b"\xb2\x02\x00\x08")
    device.send(b"\xc0\x00")
    device.expect(b"\xd0\x00")
    device.send(b"\xe0\x00")
    assert device.is_closed()


def test_a_silent_device_is_closed_after_one_and_a_half_keep_alives(connect: Connect, station: tuple[str, str]) -> None:
    device = connect(None)
    device.send(connect_packet(station[1], keep_alive_seconds=1))
    device.expect(b"\x20\x02\x01\x00")
    for _ in range(3):
        time.sleep(1)
        device.send(b"\xc0\x00")
        device.expect(b"\xd0\x00")
    # A packet that is never completed is not a sign of life.
    device.send(b"\x30")
    started = time.monotonic()
    assert device.is_closed()
    assert 1.4 < time.monotonic() - started < SOON_SECONDS


def test_deleting_a_device_leaves_its_session_alive(tenant: Tenant, connect: Connect, station: tuple[str, str]) -> None:
    device = connect(station[1])
    device.acknowledged('{"a":1}')
    tenant.delete(f"/api/device/{station[0]}")
    device.acknowledged('{"a":2}')
    other = connect(None)
    other.send(connect_packet(station[1]))
    other.expect(b"\x20\x02\x01\x05")


def test_a_thousand_idle_and_half_open_connections_delay_nothing(
    sandbox: SandboxProcess, connect: Connect, station: tuple[str, str]
) -> None:
    idle = [RawDevice(sandbox.mqtt_port, station[1] if number % 2 else None) for number in range(1000)]
    try:
        for device in idle[::50]:
            device.send(b"\x10")
        busy = connect(station[1])
        started = time.monotonic()
        for packet_id in range(1, 101):
            busy.acknowledged('{"a":1}', packet_id=packet_id)
        assert time.monotonic() - started < SOON_SECONDS
        idle[999].acknowledged('{"a":1}')
    finally:
        for device in idle:
            device.close()


def test_paho_can_publish_and_subscribe(sandbox: SandboxProcess, tenant: Tenant, station: tuple[str, str]) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(station[1])
    acknowledged = threading.Semaphore(0)
    client.on_publish = lambda *_arguments: acknowledged.release()
    client.connect("127.0.0.1", sandbox.mqtt_port)
    client.loop_start()
    try:
        for number in range(200):
            client.publish(TELEMETRY, json.dumps({"ts": 1_600_000_000_000 + number, "values": {"n": number}}), qos=1)
        for _ in range(200):
            assert acknowledged.acquire(timeout=60)
    finally:
        client.disconnect()
        client.loop_stop()
    assert tenant.latest(station[0], "n") == {"n": "199"}


@pytest.fixture
def gateway(tenant: Tenant, unique: str, connect: Connect) -> tuple[str, RawDevice]:
    identifier, token = tenant.device(f"GW {unique}", "default", additionalInfo={"gateway": True})
    return identifier, connect(token)


def by_name(tenant: Tenant, name: str) -> Any:
    return tenant.get(f"/api/tenant/devices?deviceName={name}")


def test_gateway_telemetry_creates_devices_and_is_acknowledged_once_per_device(
    tenant: Tenant, unique: str, gateway: tuple[str, RawDevice]
) -> None:
    identifier, device = gateway
    names = [f"GD-{unique}-{number}" for number in (1, 2)]
    reading = [{"ts": 1500000000000, "values": {"windSpeed": "1"}}]
    device.publish(json.dumps(dict.fromkeys(names, reading)), topic="v1/gateway/telemetry", packet_id=5)
    device.expect(b"\x42\x02\x00\x05" * 2)
    assert device.is_silent()
    found = [by_name(tenant, name) for name in names]
    for entity in found:
        assert (entity["type"], entity["additionalInfo"]) == ("default", None)
        assert tenant.latest(entity["id"]["id"], "windSpeed") == {"windSpeed": "1"}
    relations = tenant.get(f"/api/relations?fromId={identifier}&fromType=DEVICE")
    assert {(item["type"], item["to"]["id"]) for item in relations} == {("Created", e["id"]["id"]) for e in found}


def test_gateway_connect_attributes_and_disconnect(tenant: Tenant, unique: str, gateway: tuple[str, RawDevice]) -> None:
    _, device = gateway
    typed, plain = f"GC-{unique}", f"GK-{unique}"
    for type_ in ("WeatherStation", "Other"):
        document = json.dumps({"device": typed, "type": type_})
        device.acknowledged(document, topic="v1/gateway/connect")
        assert by_name(tenant, typed)["type"] == "WeatherStation"
    device.publish(json.dumps({typed: {"z": "A"}, plain: {"z": "B"}}), topic="v1/gateway/attributes", packet_id=8)
    device.expect(b"\x42\x02\x00\x08" * 2)
    found = tenant.get(SCOPED.format(by_name(tenant, plain)["id"]["id"], "CLIENT_SCOPE"))
    assert [(item["key"], item["value"]) for item in found] == [("z", "B")]
    device.acknowledged(json.dumps({"device": typed}), topic="v1/gateway/disconnect")


@pytest.mark.parametrize(
    ("topic", "document", "creates"),
    [
        ("telemetry", {"NAME": [{"windSpeed": 1}]}, True),
        ("telemetry", {"NAME": {"ts": 1, "values": {"a": 1}}}, True),
        ("attributes", {"NAME": {"a": None}}, True),
        ("telemetry", ["NAME"], False),
        ("connect", {"type": "x"}, False),
        ("telemetry", None, False),
    ],
)
def test_invalid_gateway_messages_get_no_puback_and_keep_the_session(
    tenant: Tenant, unique: str, gateway: tuple[str, RawDevice], topic: str, document: Any, creates: bool
) -> None:
    _, device = gateway
    payload = "{" if document is None else json.dumps(document).replace("NAME", f"GB-{unique}")
    device.publish(payload, topic=f"v1/gateway/{topic}", packet_id=3)
    assert device.is_silent()
    device.acknowledged('{"a":1}', packet_id=4)
    status = tenant.call("GET", f"/api/tenant/devices?deviceName=GB-{unique}").status_code
    assert status == (200 if creates else 404)


def test_gateway_topics_of_a_plain_device_are_ignored(connect: Connect, station: tuple[str, str]) -> None:
    device = connect(station[1])
    device.publish('{"X":[{"ts":1,"values":{"a":1}}]}', topic="v1/gateway/telemetry", packet_id=3)
    assert device.is_silent()
    device.acknowledged('{"a":1}', packet_id=4)


def test_the_http_device_api(tenant: Tenant, sandbox: SandboxProcess, station: tuple[str, str]) -> None:
    identifier, token = station
    response = tenant.call("POST", f"/api/v1/{token}/telemetry", {"windSpeed": "201"})
    assert (response.status_code, response.content) == (200, b"")
    assert tenant.latest(identifier, "windSpeed") == {"windSpeed": "201"}
    assert tenant.call("POST", f"/api/v1/{token}/attributes", {"geoZone": "A"}).status_code == 200
    assert tenant.get(f"/api/v1/{token}/attributes?clientKeys=geoZone,x") == {"client": {"geoZone": "A"}}
    assert tenant.call("POST", f"/api/v1/{token}/telemetry", {"a": None}).status_code == 400
    bad = tenant.call("POST", "/api/v1/nosuchtoken/telemetry", {"a": 1})
    assert (bad.status_code, bad.content) == (401, b"")


def test_lone_surrogates_are_replaced(tenant: Tenant, connect: Connect, station: tuple[str, str]) -> None:
    identifier, token = station
    device = connect(token)
    device.acknowledged('{"half":"a\\ud800b","\\udc00":1,"whole":"\\ud83d\\ude00"}')
    device.acknowledged('{"half":"\\uDFFF","big":1.0e999}', topic=ATTRIBUTES)
    assert tenant.latest(identifier, "half", "?", "whole") == {"half": "a?b", "?": "1", "whole": "😀"}
    found = tenant.get(SCOPED.format(identifier, "CLIENT_SCOPE"))
    assert {item["key"]: item["value"] for item in found} == {"half": "?", "big": "Infinity"}
