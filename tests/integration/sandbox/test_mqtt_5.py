"""MQTT 5 on a sandbox of generation 4, with an independent client; 1.x does not support it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from pacifictool.local.launcher import SandboxProcess
from pacifictool.sandbox.mqtt.wire import ProtocolError, parse_publish, parse_subscribe
from tests.support.sandbox_clients import Tenant


@pytest.fixture
def open_client(tmp_path: Path) -> Iterator[Callable[[str], tuple[Client, threading.Event, list[Any]]]]:
    """A paho client with MQTT 5 on a new sandbox of a generation: the client, whether it is admitted, and what it receives."""
    started: list[SandboxProcess] = []
    clients: list[Client] = []

    def start(generation: str) -> tuple[Client, threading.Event, list[Any]]:
        sandbox = SandboxProcess(tmp_path / generation, options=("--generation", generation))
        started.append(sandbox)
        sandbox.start()
        tenant = Tenant(sandbox.url)
        device = tenant.post("/api/device", {"name": "Turbine", "type": "WeatherStation"})
        token = tenant.get(f"/api/device/{device['id']['id']}/credentials")["credentialsId"]
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.username_pw_set(token)
        clients.append(client)
        settled, heard = threading.Event(), []

        def note(kind: str) -> Callable[..., None]:
            def callback(*arguments: Any) -> None:
                heard.append((kind, arguments))
                settled.set()

            return callback

        client.on_connect, client.on_connect_fail = note("connect"), note("fail")
        client.on_disconnect, client.on_message, client.on_subscribe = note("end"), note("message"), note("subscribe")
        client.connect("127.0.0.1", sandbox.mqtt_port)
        client.loop_start()
        return client, settled, heard

    yield start
    for client in clients:
        client.disconnect()
        client.loop_stop()
    for sandbox in started:
        sandbox.stop()


def wait_for(kind: str, settled: threading.Event, heard: list[Any]) -> tuple[Any, ...]:
    while not (found := [arguments for name, arguments in heard if name == kind]):
        assert settled.wait(60), heard
        settled.clear()
    arguments: tuple[Any, ...] = found[-1]
    return arguments


def test_paho_publishes_subscribes_and_gets_responses(open_client: Callable[[str], Any]) -> None:
    client, settled, heard = open_client("4")
    assert wait_for("connect", settled, heard)[3].value == 0
    client.subscribe("v1/devices/me/attributes/response/+", qos=1)
    assert [code.value for code in wait_for("subscribe", settled, heard)[3]] == [1]
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = ("from", "a test")
    publication = client.publish("v1/devices/me/attributes", '{"geoZone":"Zone A"}', qos=1, properties=properties)
    publication.wait_for_publish(10)
    assert publication.is_published()
    client.publish("v1/devices/me/attributes/request/1", '{"clientKeys":"geoZone"}', qos=1)
    message = wait_for("message", settled, heard)[2]
    assert (message.topic, json.loads(message.payload)) == (
        "v1/devices/me/attributes/response/1",
        {"client": {"geoZone": "Zone A"}},
    )


def test_the_first_generation_closes(open_client: Callable[[str], Any]) -> None:
    _, settled, heard = open_client("1")
    wait_for("end", settled, heard)
    assert "connect" not in [kind for kind, _ in heard]


@pytest.mark.parametrize("properties", ["", "ff", "ffffffff7f", "05 01", "80"])
def test_properties_that_do_not_end_are_refused(properties: str) -> None:
    body = b"\x00\x01a\x00\x07" + bytes.fromhex(properties)
    with pytest.raises(ProtocolError):
        parse_publish(0x32, body, is_5=True)
    with pytest.raises(ProtocolError):
        parse_subscribe(0x82, b"\x00\x07" + bytes.fromhex(properties), is_5=True)
