"""The fleet, and the confirmed message of a set-up, against an independent broker."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from pacifictool.errors import MqttError
from pacifictool.models.config import UniformModel
from pacifictool.mqtt import ATTRIBUTES_TOPIC, TELEMETRY_TOPIC
from pacifictool.mqtt.session import publish_and_confirm
from pacifictool.scenario import tutorial_scenario
from pacifictool.settings import MqttEndpoint, Secret
from pacifictool.simulation.fleet import Fleet
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.plan import SimulatedDevice, plan_devices


class Listener:
    """An independent subscriber: it receives what the broker has."""

    def __init__(self, endpoint: MqttEndpoint) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._arrived = threading.Condition()
        self._subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.username_pw_set("listener")
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect(endpoint.host, endpoint.port)
        self._client.loop_start()
        self._client.subscribe("v1/#", qos=1)
        assert self._subscribed.wait(60)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        with self._arrived:
            self.messages.append((message.topic, bytes(message.payload)))
            self._arrived.notify_all()

    def wait_for(self, count: int) -> None:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.messages) >= count, timeout=10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def listener(broker: MqttEndpoint) -> Iterator[Listener]:
    listener = Listener(broker)
    yield listener
    listener.close()


@pytest.mark.parametrize("qos", [0, 1])
def test_the_tutorials_turbines(broker: MqttEndpoint, listener: Listener, qos: int) -> None:
    scenario = tutorial_scenario()
    devices = plan_devices(scenario.devices, lambda name: Secret(f"token of {name}"), rate=20)
    summary = Fleet(broker, devices, FleetOptions(qos=qos, count=30, seed=5)).run()
    assert summary.complete
    assert summary.sent == 90
    listener.wait_for(90)
    assert {topic for topic, _ in listener.messages} == {TELEMETRY_TOPIC}
    documents = [json.loads(payload) for _, payload in listener.messages]
    assert all(sorted(document) == ["ts", "values"] for document in documents)
    speeds = [int(document["values"]["windSpeed"]) for document in documents]
    assert sum(30 <= speed <= 60 for speed in speeds) == 90
    assert sum(45 <= speed <= 50 for speed in speeds) >= 30


def test_every_reading_of_a_hundred_devices_arrives_once(broker: MqttEndpoint, listener: Listener) -> None:
    devices = [
        SimulatedDevice(
            f"Turbine {number}", Secret(f"token-{number}"), {"windSpeed": UniformModel(min=number, max=number)}, 10
        )
        for number in range(100)
    ]
    summary = Fleet(broker, devices, FleetOptions(duration_seconds=2)).run()
    assert (summary.generated, summary.acknowledged, summary.resent, summary.missed) == (2000, 2000, 0, 0)
    listener.wait_for(2000)
    # The wind of a device is its number here, so value and timestamp identify the reading.
    heard = Counter(payload for _, payload in listener.messages)
    assert len(heard) == 2000
    assert set(heard.values()) == {1}
    assert Counter(json.loads(payload)["values"]["windSpeed"] for payload in heard) == {
        str(number): 20 for number in range(100)
    }


def test_a_confirmed_message(broker: MqttEndpoint, listener: Listener) -> None:
    publish_and_confirm(broker, Secret("token"), ATTRIBUTES_TOPIC, b'{"geoZone":"Zone A"}', device="Turbine 1")
    listener.wait_for(1)
    assert listener.messages == [(ATTRIBUTES_TOPIC, b'{"geoZone":"Zone A"}')]


def test_a_broker_that_requires_a_user_name_refuses_an_empty_one(broker: MqttEndpoint) -> None:
    with pytest.raises(MqttError, match="refused the access token of device 'Turbine 1'"):
        publish_and_confirm(broker, Secret(""), ATTRIBUTES_TOPIC, b"{}", device="Turbine 1")
