"""Platforms that change names: a clear refusal, instead of two zones in one asset."""

from __future__ import annotations

import time
import unicodedata
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from pacifictool.errors import NameChanged, PacificToolError
from pacifictool.rest import Platform
from pacifictool.rest.forwarding.chain_store import ChainStore
from pacifictool.rest.forwarding.plugin_rule import PluginRuleForwarding
from pacifictool.server_version import ServerVersion
from tests.support.scripted_platform import NOT_FOUND, Reply, Request, ScriptedPlatform, platform_error

TENANT = {"entityType": "TENANT", "id": str(uuid.uuid4())}
TAKEN = platform_error(400, "Asset with such name already exists!", 31)
KINDS = {
    "/api/device": "DEVICE",
    "/api/asset": "ASSET",
    "/api/dashboard": "DASHBOARD",
    "/api/plugin": "PLUGIN",
    "/api/rule": "RULE",
    "/api/ruleChain": "RULE_CHAIN",
}
CHANGES: dict[str, tuple[Callable[[str], str], str, str]] = {
    "trims": (str.strip, "Zone A ", "Zone A"),
    "composes": (lambda text: unicodedata.normalize("NFC", text), "Zone Zu\u0308rich", "Zone Z\u00fcrich"),
    "lowers": (str.lower, "Zone A", "zone a"),
}


class ChangingServer:
    """Stores objects under changed names; the names of devices and assets are unique."""

    def __init__(self, server: ScriptedPlatform, change: Callable[[str], str]) -> None:
        self.kept: list[dict[str, Any]] = []
        self.change = change
        self.change_type: Callable[[str], str] = lambda text: text
        self.looks_up_changed = False
        self.age_ms = 0
        """Of what is created: an old one is one that was there."""
        for path in KINDS:
            server.on("POST", path, self.create)
        for path in ("/api/tenant/devices", "/api/tenant/assets"):
            server.on("GET", path, self.find)

    def create(self, request: Request) -> Reply:
        name = "title" if "title" in request.json else "name"
        document = {**request.json, name: self.change(request.json[name])}
        if "type" in document:
            document["type"] = self.change_type(document["type"])
        if "dashboard" not in request.path and any(each[name] == document[name] for each in self.kept):
            return TAKEN
        document |= {
            "id": {"entityType": KINDS[request.path], "id": str(uuid.uuid4())},
            "createdTime": int(time.time() * 1000) - self.age_ms,
            "tenantId": TENANT,
            "state": "SUSPENDED",
        }
        self.kept.append(document)
        return Reply(json=document)

    def find(self, request: Request) -> Reply:
        name = request.query.get("deviceName") or request.query["assetName"]
        wanted = self.change(name) if self.looks_up_changed else name
        found = next((each for each in self.kept if each["name"] == wanted), None)
        return NOT_FOUND if found is None else Reply(json=found)


def create_asset(platform: Platform, name: str) -> Any:
    return platform.assets.create(name, "WeatherStation")


def create_device(platform: Platform, name: str) -> Any:
    return platform.devices.create(name, "Turbine")


def get_or_create_asset(platform: Platform, name: str) -> Any:
    return platform.assets.get_or_create(name, "WeatherStation")


def create_dashboard(platform: Platform, name: str) -> Any:
    return platform.dashboards.create(name, {"description": "ours"})


def create_plugin(platform: Platform, name: str) -> Any:
    wanted = {"name": name, "apiToken": "kafka", "clazz": "K", "configuration": {}}
    return PluginRuleForwarding(platform.session, platform.events)._create_plugin(wanted)


def create_rule(platform: Platform, name: str) -> Any:
    wanted = {"name": name, "pluginToken": "kafka", "filters": [], "action": {"clazz": "A"}}
    return PluginRuleForwarding(platform.session, platform.events)._create_rule(wanted)


def create_chain(platform: Platform, name: str) -> Any:
    return ChainStore(platform.session, None, ServerVersion.parse("4.0")).create({"name": name})  # type: ignore[arg-type]


CREATIONS = [
    create_asset,
    create_device,
    get_or_create_asset,
    create_dashboard,
    create_plugin,
    create_rule,
    create_chain,
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("create", CREATIONS)
def test_a_changed_name_is_refused_with_the_id_of_what_was_made(
    server: ScriptedPlatform, platform: Platform, create: Callable[[Platform, str], Any], change: str
) -> None:
    changing, wanted, kept = CHANGES[change]
    changing_server = ChangingServer(server, changing)
    with pytest.raises(NameChanged) as raised:
        create(platform, wanted)
    error = raised.value
    (document,) = changing_server.kept
    show = ascii if change == "composes" else repr  # else both would look the same
    assert f"{show(wanted)} as {show(kept)}" in error.message
    assert "created just now" in error.message
    assert document["id"]["id"] in error.message
    assert error.details["id"] == document["id"]["id"]
    assert not [request for request in server.requests if request.method == "DELETE"]


@pytest.mark.parametrize("create", CREATIONS)
def test_a_name_that_is_kept_is_fine(
    server: ScriptedPlatform, platform: Platform, create: Callable[[Platform, str], Any]
) -> None:
    ChangingServer(server, str.strip)
    create(platform, "Zone A")


@pytest.mark.parametrize("looks_up_changed", [False, True])
def test_two_zones_never_become_one_asset(server: ScriptedPlatform, platform: Platform, looks_up_changed: bool) -> None:
    changing_server = ChangingServer(server, str.strip)
    changing_server.looks_up_changed = looks_up_changed
    first = platform.assets.get_or_create("Zone A", "WeatherStation")
    with pytest.raises(PacificToolError) as raised:
        platform.assets.get_or_create("Zone A ", "WeatherStation")
    assert len(changing_server.kept) == 1
    assert platform.assets.find("Zone A ") is None
    if looks_up_changed:
        assert isinstance(raised.value, NameChanged)
        assert first.id in raised.value.message
        assert "there before" in raised.value.message


def test_one_that_was_there_before_is_reported_as_such(server: ScriptedPlatform, platform: Platform) -> None:
    ChangingServer(server, str.strip).age_ms = 3_600_000
    with pytest.raises(NameChanged, match="there before"):
        platform.assets.create("Zone A ", "WeatherStation")


def test_a_type_that_is_spelled_otherwise_is_refused_and_another_is_not(
    server: ScriptedPlatform, platform: Platform
) -> None:
    changing_server = ChangingServer(server, lambda text: text)
    changing_server.change_type = str.strip
    with pytest.raises(NameChanged, match="'Station ' as 'Station'"):
        platform.assets.create("Zone A", "Station ")
    changing_server.change_type = lambda _: "default"
    asset = platform.assets.create("Zone B", "Station")
    assert asset.type == "default"

    def save(request: Request) -> Reply:
        return Reply(json={**request.json, "type": request.json["type"].strip()})

    server.on("POST", "/api/asset", save)
    with pytest.raises(NameChanged, match="changed just now"):
        platform.assets.change_type(asset, "Station ")
