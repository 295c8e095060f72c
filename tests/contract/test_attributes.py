"""docs/servers/1.x.md#attributes-over-rest: attributes over REST, and those that only a device can set."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from pacifictool.rest import CLIENT_SCOPE, SERVER_SCOPE, SHARED_SCOPE, Platform
from tests.contract.api import EMPTY_BAD_REQUEST, EMPTY_OK, NOBODY, Api, bare, plain, silent, text_error
from tests.contract.conftest import Connect
from tests.contract.factories import EntityFactory, Made
from tests.contract.facts import Facts
from tests.contract.waiting import eventually
from tests.contract.wire import ATTRIBUTES


@pytest.fixture
def device(factory: EntityFactory) -> Made:
    return factory.device("attributes")


@pytest.fixture(scope="module", params=["ASSET", "DEVICE"])
def either(request: pytest.FixtureRequest, factory: EntityFactory) -> Made:
    return factory.asset("attributes") if request.param == "ASSET" else factory.device("attributes")


def put(api: Api, path: str, body: Any) -> requests.Response:
    return api.call("POST", path, body=body) if isinstance(body, str) else api.call("POST", path, json=body)


def values(api: Api, made: Made, scope: str = "", **params: str) -> dict[str, Any]:
    found = api.get(f"{made.path}/values/attributes{scope}", **params)
    return {item["key"]: item["value"] for item in found}


def expect_values(api: Api, made: Made, scope: str, expected: dict[str, Any]) -> dict[str, Any]:
    return eventually(lambda: values(api, made, scope), lambda found: found == expected)


@pytest.mark.parametrize("scope", [SERVER_SCOPE, SHARED_SCOPE])
def test_writable_scopes(api: Api, either: Made, fact: Facts, scope: str) -> None:
    fact(
        "5",
        f"writing {scope} with the word attributes",
        bare(put(api, f"{either.path}/attributes/{scope}", {"a": 1})),
        EMPTY_OK,
    )
    fact("5", f"writing {scope} without it", bare(put(api, f"{either.path}/{scope}", {"b": "x"})), EMPTY_OK)
    expected = {"a": 1, "b": "x"}
    fact("5", f"both are in {scope}", expect_values(api, either, f"/{scope}", expected), expected)


def test_a_device_needs_no_type_in_the_path(api: Api, device: Made, fact: Facts) -> None:
    response = put(api, f"/api/plugins/telemetry/{device.id}/{SERVER_SCOPE}", {"short": True})
    fact("5", "the short path", bare(response), EMPTY_OK)
    fact("5", "the short path writes", expect_values(api, device, f"/{SERVER_SCOPE}", {"short": True}), {"short": True})


@pytest.mark.parametrize("scope", [CLIENT_SCOPE, "ANY", "server_scope"])
def test_other_scopes_are_refused(api: Api, either: Made, fact: Facts, scope: str) -> None:
    fact("5", f"writing {scope}", silent(put(api, f"{either.path}/attributes/{scope}", {"a": 1})), EMPTY_BAD_REQUEST)


NO_DATA = "No attributes data found in request body!"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('{"a":', "Unable to parse attributes payload: Invalid JSON body!"),
        ("{}", NO_DATA),
        ('{"a":{"b":1}}', NO_DATA),
    ],
)
def test_refused_bodies(api: Api, device: Made, fact: Facts, body: str, text: str) -> None:
    response = put(api, f"{device.path}/attributes/{SERVER_SCOPE}", body)
    fact("5", f"attributes from {body}", plain(response), text_error(400, text))


def test_an_array_is_refused_without_a_word(api: Api, device: Made, fact: Facts) -> None:
    response = put(api, f"{device.path}/attributes/{SERVER_SCOPE}", '[{"a":1}]')
    fact("5", "attributes from an array", silent(response), EMPTY_BAD_REQUEST)


def test_an_unknown_entity(api: Api, fact: Facts) -> None:
    response = put(api, f"/api/plugins/telemetry/DEVICE/{NOBODY}/attributes/{SERVER_SCOPE}", {"a": 1})
    expected = text_error(404, "Device with requested id wasn't found!")
    fact("5", "attributes of an unknown device", plain(response), expected)


def test_values_are_typed(api: Api, device: Made, fact: Facts) -> None:
    written = {"n": 1.5, "i": 7, "b": True, "s": "31"}
    put(api, f"{device.path}/attributes/{SERVER_SCOPE}", written)
    fact("5", "values keep their types", expect_values(api, device, f"/{SERVER_SCOPE}", written), written)
    found = api.get(f"{device.path}/values/attributes/{SERVER_SCOPE}")
    fact("5", "the keys of an attribute", set(found[0]), {"lastUpdateTs", "key", "value"})
    distance = abs(found[0]["lastUpdateTs"] - api.server_time_ms())
    fact.holds("5", "lastUpdateTs is the server's time in ms", distance < 60_000, distance)


def test_reading_by_scope_and_key(api: Api, device: Made, fact: Facts) -> None:
    put(api, f"{device.path}/attributes/{SERVER_SCOPE}", {"a": 1, "b": 2})
    put(api, f"{device.path}/attributes/{SHARED_SCOPE}", {"c": 3})
    found = expect_values(api, device, "", {"a": 1, "b": 2, "c": 3})
    fact("5", "without a scope all are mixed", found, {"a": 1, "b": 2, "c": 3})
    fact("5", "one scope", values(api, device, f"/{SHARED_SCOPE}"), {"c": 3})
    fact("5", "an unknown scope is empty", api.get(f"{device.path}/values/attributes/NO_SCOPE"), [])
    some = values(api, device, f"/{SERVER_SCOPE}", keys="b,nosuch")
    fact("5", "missing keys are left out", some, {"b": 2})
    fact("5", "the keys of a scope", sorted(api.get(f"{device.path}/keys/attributes/{SERVER_SCOPE}")), ["a", "b"])
    fact("5", "the keys of all scopes", sorted(api.get(f"{device.path}/keys/attributes")), ["a", "b", "c"])


def test_deleting(api: Api, device: Made, fact: Facts) -> None:
    put(api, f"{device.path}/attributes/{SERVER_SCOPE}", {"gone": 1, "stays": 2})
    for key in ("gone", "nosuch"):
        response = api.call("DELETE", f"{device.path}/{SERVER_SCOPE}", params={"keys": key})
        fact("5", f"deleting {key}", response.status_code, 200)
    fact("5", "the other one stays", expect_values(api, device, f"/{SERVER_SCOPE}", {"stays": 2}), {"stays": 2})


def test_only_the_device_sets_client_attributes(
    api: Api, device: Made, connect: Connect, platform: Platform, fact: Facts
) -> None:
    written = {"deviceType": "WeatherStation", "geoZone": "Zone A"}
    connect(device).deliver(ATTRIBUTES, '{"deviceType":"WeatherStation","geoZone":"Zone A"}')
    found = expect_values(api, device, f"/{CLIENT_SCOPE}", written)
    fact("6", "what a device says of itself is in CLIENT_SCOPE", found, written)
    fact("5", "no other scope has it", values(api, device, f"/{SERVER_SCOPE}"), {})
    fact("5", "the client reads it", platform.attributes.get(device.entity, CLIENT_SCOPE), written)


def test_the_rest_client_writes(platform: Platform, device: Made, fact: Facts) -> None:
    platform.attributes.set_server(device.entity, {"limit": 12.5})
    platform.attributes.set_shared(device.entity, {"on": True})
    expected = {"limit": 12.5, "on": True}
    found = eventually(lambda: platform.attributes.get(device.entity), lambda values: values == expected)
    fact("5", "the client writes two scopes", found, expected)
    platform.attributes.delete(device.entity, SHARED_SCOPE, ["on"])
    rest = eventually(lambda: platform.attributes.get(device.entity), lambda values: len(values) == 1)
    fact("5", "the client deletes", rest, {"limit": 12.5})
