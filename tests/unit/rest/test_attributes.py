from __future__ import annotations

from typing import Any

import pytest

from pacifictool.errors import InvalidRequest, NotFound, UnexpectedAnswer
from pacifictool.rest import CLIENT_SCOPE, SERVER_SCOPE, SHARED_SCOPE, EntityId, Platform
from tests.support.scripted_platform import DROP, Reply, ScriptedPlatform

DEVICE = EntityId.device("d7380000-e796-11f1-82e5-03a95f4b7a43")
PREFIX = f"/api/plugins/telemetry/DEVICE/{DEVICE.id}"


def test_attributes_come_back_with_their_types(real: Platform, unique: str) -> None:
    device = real.devices.create(f"WS {unique}", "WeatherStation")
    values: dict[str, float | int | str | bool] = {"f": 1000.0, "i": 7, "s": "Zone é", "b": False}
    real.attributes.set_server(device, values)
    real.attributes.set_shared(device, {"limit": 3})
    assert real.attributes.get(device, SERVER_SCOPE) == values
    assert real.attributes.get(device, SHARED_SCOPE) == {"limit": 3}
    assert real.attributes.get(device, CLIENT_SCOPE) == {}
    assert real.attributes.get(device) == {**values, "limit": 3}
    assert real.attributes.get(device, SERVER_SCOPE, ["i", "nosuch"]) == {"i": 7}
    real.attributes.delete(device, SERVER_SCOPE, ["i", "nosuch"])
    assert real.attributes.get(device, SERVER_SCOPE, ["i", "f"]) == {"f": 1000.0}


def test_an_entity_that_is_gone(real: Platform) -> None:
    with pytest.raises(NotFound, match="Device with requested id wasn't found"):
        real.attributes.set_server(EntityId.device("13814000-1dd2-11b2-8080-808080808081"), {"a": 1})


def test_setting_is_repeated(server: ScriptedPlatform, platform: Platform) -> None:
    server.on("POST", f"{PREFIX}/attributes/SERVER_SCOPE", DROP, Reply(content_type=""))
    platform.attributes.set_server(DEVICE, {"a": 1})
    assert [request.json for request in server.requests] == [{"a": 1}] * 2


def test_nothing_is_asked_when_nothing_is_wanted(server: ScriptedPlatform, platform: Platform) -> None:
    platform.attributes.set_server(DEVICE, {})
    platform.attributes.delete(DEVICE, SERVER_SCOPE, [])
    assert platform.attributes.get(DEVICE, keys=[]) == {}
    assert not server.requests


@pytest.mark.parametrize("value", [None, {"nested": 1}, [1], float("nan")])
def test_values_that_the_server_would_drop_silently(server: ScriptedPlatform, platform: Platform, value: Any) -> None:
    with pytest.raises(InvalidRequest):
        platform.attributes.set_shared(DEVICE, {"a": 1, "b": value})
    assert not server.requests


def test_unknown_scopes(platform: Platform) -> None:
    with pytest.raises(InvalidRequest, match="CLIENT"):
        platform.attributes.get(DEVICE, "CLIENT")


@pytest.mark.parametrize("answer", [{}, ["text"], [{"value": 1}], [{"key": 1, "value": 1}], [{"key": "a"}]])
def test_answers_of_a_lying_server(server: ScriptedPlatform, platform: Platform, answer: Any) -> None:
    server.on("GET", f"{PREFIX}/values/attributes", Reply(json=answer))
    with pytest.raises(UnexpectedAnswer):
        platform.attributes.get(DEVICE)
