"""Publishes a turbine's attributes in a session of its own, as `setup` does."""

from __future__ import annotations

import pytest

from pacifictool.errors import MqttError
from pacifictool.mqtt import ATTRIBUTES_TOPIC
from pacifictool.mqtt.session import publish_and_confirm
from pacifictool.settings import MqttEndpoint, Secret

TOKEN = Secret("token-of-turbine-1")
ATTRIBUTES = b'{"deviceType":"WeatherStation","geoZone":"Zone A"}'


def publish(endpoint: MqttEndpoint, *, timeout_seconds: float = 5.0) -> None:
    publish_and_confirm(
        endpoint, TOKEN, ATTRIBUTES_TOPIC, ATTRIBUTES, timeout_seconds=timeout_seconds, device="Wind Turbine 1"
    )


def failure(endpoint: MqttEndpoint, *, timeout_seconds: float = 5.0) -> MqttError:
    with pytest.raises(MqttError) as caught:
        publish(endpoint, timeout_seconds=timeout_seconds)
    assert TOKEN.reveal() not in f"{caught.value.message} {caught.value.hint} {caught.value.details}"
    return caught.value
