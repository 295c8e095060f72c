from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from pacifictool.errors import (
    AlreadyExists,
    NotFound,
    PlatformUnreachable,
    ServerFault,
    UnexpectedAnswer,
)
from pacifictool.rest import Platform, Rule
from pacifictool.tools.threads import run_all
from tests.support.scripted_platform import DROP, NOT_FOUND, Reply, Request, ScriptedPlatform, platform_error

TAKEN = platform_error(400, "Device with such name already exists!", 31)


class DeviceStore:
    """Devices of a scripted platform. It produces the faults in turn; then it works."""

    def __init__(self, server: ScriptedPlatform) -> None:
        self.devices: dict[str, dict[str, Any]] = {}
        self.faults: list[str] = []
        server.on("POST", "/api/device", self.create)
        server.on("GET", "/api/tenant/devices", self.find)

    def add(self, name: str, type_: str, *, age_seconds: float = 0) -> dict[str, Any]:
        self.devices[name] = {
            "id": {"entityType": "DEVICE", "id": str(uuid.uuid4())},
            "createdTime": int((time.time() - age_seconds) * 1000),
            "additionalInfo": None,
            "tenantId": {"entityType": "TENANT", "id": str(uuid.uuid4())},
            "name": name,
            "type": type_,
        }
        return self.devices[name]

    def create(self, request: Request) -> Reply:
        fault = self.faults.pop(0) if self.faults else None
        if fault == "lost on the way":
            return DROP
        if request.json["name"] in self.devices:
            return TAKEN
        device = self.add(request.json["name"], request.json["type"])
        if fault == "response lost":
            return DROP
        if fault == "gateway timeout":
            return Reply(504)
        if fault == "response cut":
            return Reply(body=b'{"id":', headers={"Content-Length": "400"})
        return Reply(json=device)

    def find(self, request: Request) -> Reply:
        device = self.devices.get(request.query["deviceName"])
        return NOT_FOUND if device is None else Reply(json=device)


@pytest.fixture
def store(server: ScriptedPlatform) -> DeviceStore:
    return DeviceStore(server)


@pytest.mark.parametrize(
    "faults",
    [
        ["response lost"],
        ["gateway timeout"],
        ["response cut"],
        ["lost on the way"],
        ["lost on the way", "response lost"],
        ["lost on the way", "lost on the way", "lost on the way"],
    ],
)
def test_a_create_that_breaks_midway_makes_exactly_one(
    server: ScriptedPlatform, store: DeviceStore, platform: Platform, faults: list[str]
) -> None:
    store.faults = list(faults)
    created = platform.devices.create("WS-1", "WeatherStation")
    assert created.id == store.devices["WS-1"]["id"]["id"]
    posts = [number for number, request in enumerate(server.requests) if request.method == "POST"]
    lookups = [number for number, request in enumerate(server.requests) if request.path == "/api/tenant/devices"]
    assert all(any(one < lookup < other for lookup in lookups) for one, other in itertools.pairwise(posts))
    assert len(posts) == faults.count("lost on the way") + 1


def test_a_create_gives_up_when_nothing_helps(server: ScriptedPlatform, store: DeviceStore, platform: Platform) -> None:
    store.faults = ["lost on the way"] * 10
    with pytest.raises(PlatformUnreachable):
        platform.devices.create("WS-1", "WeatherStation")
    assert server.count("POST", "/api/device") == 4


def test_a_create_has_no_more_attempts_than_the_policy_allows(
    server: ScriptedPlatform, store: DeviceStore, platform: Platform
) -> None:
    busy = platform_error(429, "Too many requests for current tenant!", 33)
    server.on("POST", "/api/device", *[busy, busy, busy, DROP] * 5)
    with pytest.raises(PlatformUnreachable):
        platform.devices.create("WS-1", "WeatherStation")
    assert server.count("POST", "/api/device") == 4


def test_a_look_up_that_fails_is_not_retried_by_the_create_as_well(
    server: ScriptedPlatform, platform: Platform
) -> None:
    server.on("POST", "/api/device", DROP)
    server.on("GET", "/api/tenant/devices", Reply(503))
    with pytest.raises(ServerFault):
        platform.devices.create("WS-1", "WeatherStation")
    assert (server.count("POST", "/api/device"), server.count("GET", "/api/tenant/devices")) == (1, 4)


def test_what_was_there_before_is_not_ours(store: DeviceStore, platform: Platform) -> None:
    store.add("WS-1", "WeatherStation", age_seconds=3600)
    store.faults = ["lost on the way"]
    with pytest.raises(AlreadyExists, match="'WS-1' already exists"):
        platform.devices.create("WS-1", "WeatherStation")


def test_what_is_of_another_type_is_not_ours(store: DeviceStore, platform: Platform) -> None:
    store.add("WS-1", "Pump")
    store.faults = ["lost on the way"]
    with pytest.raises(AlreadyExists):
        platform.devices.create("WS-1", "WeatherStation")


def test_ours_is_recognised_although_the_clocks_differ(
    server: ScriptedPlatform, store: DeviceStore, platform: Platform
) -> None:
    server.clock_offset_seconds = -7200.0
    store.faults = ["response lost"]
    server.on("POST", "/api/device", lambda request: _aged(store, store.create(request), 7200))
    assert platform.devices.create("WS-1", "WeatherStation").name == "WS-1"


def _aged(store: DeviceStore, reply: Reply, seconds: float) -> Reply:
    for device in store.devices.values():
        device["createdTime"] -= int(seconds * 1000)
    return reply


def test_get_or_create_finds_creates_and_loses_races(
    server: ScriptedPlatform, store: DeviceStore, platform: Platform
) -> None:
    created = platform.devices.get_or_create("WS-1", "WeatherStation")
    assert platform.devices.get_or_create("WS-1", "WeatherStation") == created
    assert server.count("POST", "/api/device") == 1
    theirs = store.add("WS-2", "WeatherStation", age_seconds=3600)
    # Missing at the first lookup, taken when it is created.
    server.on("GET", "/api/tenant/devices", NOT_FOUND, store.find)
    assert platform.devices.get_or_create("WS-2", "WeatherStation").id == theirs["id"]["id"]


def test_create_or_get_does_not_ask_first(server: ScriptedPlatform, store: DeviceStore, platform: Platform) -> None:
    created = platform.devices.create_or_get("WS-1", "WeatherStation")
    assert server.count("GET", "/api/tenant/devices") == 0
    assert platform.devices.create_or_get("WS-1", "Other") == created


def test_a_neighbouring_name_is_not_the_one(store: DeviceStore, server: ScriptedPlatform, platform: Platform) -> None:
    server.on("GET", "/api/tenant/devices", Reply(json=store.add("ws-1", "WeatherStation")))
    assert platform.devices.find("WS-1") is None
    assert platform.devices.find("ws-1") is not None


def test_an_empty_name_is_not_asked_for(server: ScriptedPlatform, platform: Platform) -> None:
    assert platform.devices.find("") is None
    assert not server.requests


def test_a_failure_other_than_absence_is_no_absence(server: ScriptedPlatform, platform: Platform) -> None:
    server.on("GET", "/api/tenant/devices", Reply(500))
    with pytest.raises(ServerFault):
        platform.devices.find("WS-1")


def test_an_id_cannot_leave_its_path(server: ScriptedPlatform, platform: Platform) -> None:
    with pytest.raises(NotFound):
        platform.devices.get("../tenant/devices?x=1")
    assert server.requests[0].path == "/api/device/..%2Ftenant%2Fdevices%3Fx%3D1"


def test_an_update_under_another_id_is_noticed(
    store: DeviceStore, server: ScriptedPlatform, platform: Platform
) -> None:
    device = platform.devices.create("WS-1", "WeatherStation")
    server.on("POST", "/api/device", Reply(json=store.add("WS-1", "WeatherStation")))
    with pytest.raises(UnexpectedAnswer, match="under another id"):
        platform.devices.change_type(device, "Pump")


@pytest.mark.parametrize("response", [["text"], [{"type": 5}], [{}]])
def test_types_in_an_unknown_form(server: ScriptedPlatform, platform: Platform, response: list[Any]) -> None:
    server.on("GET", "/api/device/types", Reply(json=response))
    with pytest.raises(UnexpectedAnswer):
        platform.devices.types()


def test_devices_that_a_gateway_created(server: ScriptedPlatform, store: DeviceStore, platform: Platform) -> None:
    gateway = platform.devices.create("Gateway", "gateway")
    relations = [
        {"type": "Created", "to": {"entityType": "DEVICE", "id": "one"}},
        {"type": "Contains", "to": {"entityType": "DEVICE", "id": "two"}},
        {"type": "Created", "to": None},
        "nonsense",
    ]
    server.on("GET", "/api/relations", Reply(json=relations))
    assert platform.devices.created_by(gateway) == {"one"}
    assert server.requests[-1].query == {"fromId": gateway.id, "fromType": "DEVICE"}


def test_the_last_error_of_a_rule(server: ScriptedPlatform, platform: Platform) -> None:
    identifier = str(uuid.uuid4())
    rule = Rule(identifier, "R", 1, str(uuid.uuid4()), {}, "token", "ACTIVE")
    path = f"/api/events/RULE/{identifier}"
    events = [
        {"type": "LC_EVENT", "createdTime": 30, "body": {"event": "STARTED"}},
        {"type": "ERROR", "createdTime": 20, "body": {"error": "\n java.lang.NullPointerException: topic\n\tat org.x"}},
        {"type": "ERROR", "createdTime": 10, "body": {}},
    ]
    server.on("GET", path, Reply(json={"data": events}))
    assert platform.events.last_error(rule, 20) == "java.lang.NullPointerException: topic"
    assert platform.events.last_error(rule, 21) is None
    server.on("GET", path, Reply(json={"data": ["nonsense"]}))
    with pytest.raises(UnexpectedAnswer):
        platform.events.last_error(rule, 0)


@pytest.mark.parametrize("way", ["create", "get_or_create", "change_type"])
def test_the_first_entity_of_a_type_is_sent_alone_and_then_the_others_at_once(
    platform: Platform, server: ScriptedPlatform, way: str
) -> None:
    """A server makes the profile of a type with its first entity, and refuses another request that does the same."""
    store = DeviceStore(server)
    known = threading.Event()
    others = threading.Barrier(2, timeout=20)
    sent: list[str] = []

    def create(request: Request) -> Reply:
        name = request.json["name"]
        sent.append(name)
        if len(sent) == 1:
            assert not known.wait(0.2)  # the others are waiting
            known.set()
        elif len(sent) <= 3:
            assert known.is_set()
            others.wait()
        return Reply(
            json=store.add(name, request.json["type"]) | {"id": request.json.get("id") or store.devices[name]["id"]}
        )

    names = ["A", "B", "C"]
    calls: list[Callable[[], object]]
    if way == "change_type":
        for name in names:
            store.add(name, "Old")
        entities = [platform.devices.find(name) for name in names]
        calls = [partial(platform.devices.change_type, entity, "New") for entity in entities if entity is not None]
    else:
        calls = [partial(getattr(platform.devices, way), name, "New") for name in names]
    server.on("POST", "/api/device", create)
    run_all(calls, workers=3)
    assert sorted(sent) == names


@pytest.mark.parametrize("way", ["create", "get_or_create", "change_type"])
def test_an_entity_whose_profile_another_program_creates_at_the_same_time_is_sent_again(
    platform: Platform, server: ScriptedPlatform, way: str
) -> None:
    """docs/servers/2.x-3.x.md#devices-and-assets, row 2: the request that comes second gets a 500."""
    store = DeviceStore(server)
    changed = {**store.add("A", "New"), "version": 2}
    if way != "change_type":
        del store.devices["A"]
    server.on("POST", "/api/device", platform_error(500, "Database error"), Reply(json=changed))
    if way == "change_type":
        [old] = [platform.devices.find("A")]
        assert old is not None
        assert platform.devices.change_type(old, "New").raw["version"] == 2
    else:
        assert getattr(platform.devices, way)("A", "New").raw["version"] == 2
    assert server.count("POST", "/api/device") == 2


def test_a_database_error_that_stays_is_raised(platform: Platform, server: ScriptedPlatform) -> None:
    DeviceStore(server)
    server.on("POST", "/api/device", *[platform_error(500, "Database error", 46)] * 4)
    with pytest.raises(ServerFault, match="Database error"):
        platform.devices.create("A", "New")
    assert server.count("POST", "/api/device") == 4
