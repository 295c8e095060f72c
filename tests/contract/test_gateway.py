"""docs/servers/1.x.md#gateway: one connection for many devices."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from tests.contract.api import Api
from tests.contract.conftest import Connect
from tests.contract.factories import EntityFactory, Made
from tests.contract.facts import Facts
from tests.contract.waiting import eventually
from tests.contract.wire import Ending, all_silent, puback

START = 1_500_000_000_000


@pytest.fixture(scope="module")
def gateway(factory: EntityFactory) -> Made:
    return factory.gateway()


def readings(*values: Any) -> list[dict[str, Any]]:
    return [{"ts": START + number, "values": {"windSpeed": value}} for number, value in enumerate(values)]


def found(factory: EntityFactory, name: str) -> dict[str, Any]:
    """Waits for the device of that name."""
    device = eventually(lambda: factory.find_device(name), lambda device: device is not None)
    assert device is not None, f"The gateway has not created {name}."
    return device


def test_telemetry_creates_devices(
    connect: Connect, api: Api, factory: EntityFactory, gateway: Made, fact: Facts
) -> None:
    names = [factory.name_for_gateway(), factory.name_for_gateway()]
    wire = connect(gateway)
    packet_id = wire.publish("v1/gateway/telemetry", json.dumps({name: readings("1") for name in names}))
    fact("6", "one PUBACK a device, all with one id", wire.receive_many(2), [puback(packet_id)] * 2)
    fact("6", "no third PUBACK", wire.is_alive(), True)
    for name in names:
        device = found(factory, name)
        made = (device["type"], device["additionalInfo"])
        fact("6", "a device made by a gateway has the type default and no additionalInfo", made, ("default", None))
        path = f"/api/plugins/telemetry/DEVICE/{device['id']['id']}/values/timeseries"
        stored = api.get(path, keys="windSpeed")["windSpeed"]
        fact("6", "its telemetry is stored", stored, [{"ts": START, "value": "1"}])


def test_the_gateway_is_related_to_its_devices(
    connect: Connect, api: Api, factory: EntityFactory, gateway: Made, fact: Facts
) -> None:
    name = factory.name_for_gateway()
    connect(gateway).deliver("v1/gateway/telemetry", json.dumps({name: readings(1)}))
    device = found(factory, name)["id"]

    def relations() -> list[tuple[str, dict[str, str]]]:
        listed = api.get("/api/relations", fromId=gateway.id, fromType="DEVICE")
        return [(item["type"], item["to"]) for item in listed if item["to"] == device]

    seen = eventually(relations, bool)
    fact("6", "the relation from the gateway to the device", seen, [("Created", device)])


def test_connect_names_the_type(connect: Connect, factory: EntityFactory, gateway: Made, fact: Facts) -> None:
    typed, plain = factory.name_for_gateway(), factory.name_for_gateway()
    wire = connect(gateway)
    packet_id = wire.publish("v1/gateway/connect", json.dumps({"device": typed, "type": "WeatherStation"}))
    fact("6", "gateway connect with a type", wire.receive(), puback(packet_id))
    fact("6", "the device has that type", found(factory, typed)["type"], "WeatherStation")
    packet_id = wire.publish("v1/gateway/connect", json.dumps({"device": plain}))
    fact("6", "gateway connect without a type", wire.receive(), puback(packet_id))
    fact("6", "the device has the type default", found(factory, plain)["type"], "default")
    wire.deliver("v1/gateway/connect", json.dumps({"device": typed, "type": "Other"}))
    fact("6", "a device that exists keeps its type", found(factory, typed)["type"], "WeatherStation")
    packet_id = wire.publish("v1/gateway/disconnect", json.dumps({"device": typed}))
    fact("6", "gateway disconnect", wire.receive(), puback(packet_id))


def test_attributes_of_devices(connect: Connect, api: Api, factory: EntityFactory, gateway: Made, fact: Facts) -> None:
    names = [factory.name_for_gateway(), factory.name_for_gateway()]
    wire = connect(gateway)
    packet_id = wire.publish("v1/gateway/attributes", json.dumps({name: {"geoZone": name} for name in names}))
    fact("6", "attributes: one PUBACK a device", wire.receive_many(2), [puback(packet_id)] * 2)
    for name in names:
        identifier = found(factory, name)["id"]["id"]
        path = f"/api/plugins/telemetry/DEVICE/{identifier}/values/attributes/CLIENT_SCOPE"
        seen = eventually(partial(api.get, path), bool)
        fact("6", "attributes through a gateway are in CLIENT_SCOPE", [item["value"] for item in seen], [name])


def test_bad_messages_are_passed_over(connect: Connect, factory: EntityFactory, gateway: Made, fact: Facts) -> None:
    without_ts, an_object = factory.name_for_gateway(), factory.name_for_gateway()
    messages = {
        "an array without ts": ("telemetry", json.dumps({without_ts: [{"windSpeed": 1}]})),
        "an object instead of an array": ("telemetry", json.dumps({an_object: {"windSpeed": 1}})),
        "malformed JSON": ("telemetry", '{"x":['),
        "connect without a device": ("connect", "{}"),
    }
    wires = [connect(gateway) for _ in messages]
    for wire, (topic, payload) in zip(wires, messages.values(), strict=True):
        wire.publish(f"v1/gateway/{topic}", payload)
    for what, wire, response in zip(messages, wires, all_silent(wires), strict=True):
        fact("6", f"gateway: {what} is not acknowledged", response, Ending.SILENT)
        fact("6", f"gateway: {what} leaves the session open", wire.is_alive(), True)
    for name in (without_ts, an_object):
        fact("6", "the named device is created all the same", found(factory, name)["name"], name)


def test_what_a_gateway_is_counts_at_connect(connect: Connect, factory: EntityFactory, fact: Facts) -> None:
    name = factory.name_for_gateway()
    document = factory.create("device", {"name": factory.name("later-gateway"), "type": "default"})
    device = factory.made("DEVICE", document)
    wire = connect(device)
    factory.create("device", document | {"additionalInfo": {"gateway": True}})
    wire.publish("v1/gateway/connect", json.dumps({"device": name}))
    fact("6", "a session is not a gateway if the device was none at CONNECT", all_silent([wire]), [Ending.SILENT])
    again = connect(device)
    packet_id = again.publish("v1/gateway/connect", json.dumps({"device": name}))
    fact("6", "the next session is a gateway", again.receive(), puback(packet_id))
