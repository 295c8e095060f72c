from __future__ import annotations

from typing import Any

import pytest

from pacifictool.errors import InvalidRequest, UnexpectedAnswer
from pacifictool.rest import SERVER_SCOPE, EntityId, Platform
from tests.support.scripted_platform import DROP, Reply, ScriptedPlatform

DEVICE = EntityId.device("d7380000-e796-11f1-82e5-03a95f4b7a43")
PREFIX = f"/api/plugins/telemetry/DEVICE/{DEVICE.id}"


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


@pytest.mark.parametrize("response", [{}, ["text"], [{"value": 1}], [{"key": 1, "value": 1}], [{"key": "a"}]])
def test_responses_of_a_lying_server(server: ScriptedPlatform, platform: Platform, response: Any) -> None:
    server.on("GET", f"{PREFIX}/values/attributes", Reply(json=response))
    with pytest.raises(UnexpectedAnswer):
        platform.attributes.get(DEVICE)
