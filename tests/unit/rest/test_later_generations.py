from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pacifictool.errors import (
    AuthenticationFailed,
    InvalidRequest,
    PermissionDenied,
    PlatformError,
    RateLimited,
    ServerFault,
)
from pacifictool.rest import Device, EntityId, Platform, Session
from pacifictool.server_version import parse_server_version
from pacifictool.settings import Secret
from tests.support.scripted_platform import EMPTY, Reply, Request, ScriptedPlatform, make_token, platform_error

ID = "eb54ece0-e799-11f1-9f43-213db154d0ac"
TENANT = "7b2ee740-e799-11f1-9f43-213db154d0ac"
SERIES = f"/api/plugins/telemetry/DEVICE/{ID}/values/timeseries"
CONFLICT = platform_error(409, "Device was already changed by someone else", 35)


def device(name: str = "FN Station 1", **more: Any) -> dict[str, Any]:
    """As docs/servers/4.x.md#devices-and-assets, row 1, describes it."""
    return {
        "id": {"entityType": "DEVICE", "id": ID},
        "createdTime": 1795478368942,
        "tenantId": {"entityType": "TENANT", "id": TENANT},
        "name": name,
        "type": "WeatherStation",
        "label": None,
        "version": 1,
        "additionalInfo": None,
        **more,
    }


@pytest.fixture
def modern(session: Session) -> Platform:
    return Platform(session, server_version=parse_server_version("4.3.1"))


def test_an_update_that_comes_too_late_is_made_once_more(server: ScriptedPlatform, modern: Platform) -> None:
    server.on("POST", "/api/device", CONFLICT, lambda request: Reply(json=request.json))
    server.on("GET", f"/api/device/{ID}", Reply(json=device(label="theirs", version=7)))
    changed = modern.devices.change_type(Device.from_json(device()), "Pump")
    assert changed.type == "Pump"
    first, second = (request.json for request in server.requests if request.method == "POST")
    assert (first["version"], first["label"]) == (1, None)
    assert (second["version"], second["label"], second["type"]) == (7, "theirs", "Pump")


def test_an_update_that_always_comes_too_late(server: ScriptedPlatform, modern: Platform) -> None:
    server.on("POST", "/api/device", CONFLICT)
    server.on("GET", f"/api/device/{ID}", Reply(json=device()))
    with pytest.raises(InvalidRequest, match="already changed by someone else") as caught:
        modern.devices.change_type(Device.from_json(device()), "Pump")
    assert (caught.value.status, server.count("POST", "/api/device")) == (409, 2)


def test_a_token_is_set_whatever_version_the_credentials_are_of(server: ScriptedPlatform, modern: Platform) -> None:
    credentials = {
        "id": {"id": TENANT},
        "createdTime": 1,
        "deviceId": {"entityType": "DEVICE", "id": ID},
        "credentialsType": "ACCESS_TOKEN",
        "credentialsId": "old",
        "credentialsValue": None,
        "version": 1,
    }
    server.on("GET", f"/api/device/{ID}/credentials", Reply(json=credentials))
    server.on("POST", "/api/device/credentials", lambda request: Reply(json=request.json))
    assert modern.devices.set_token(ID, Secret("new")).token.reveal() == "new"
    assert "version" not in server.requests[-1].json


def test_a_limit_of_the_tenant_is_named(server: ScriptedPlatform, modern: Platform) -> None:
    document = {"status": 403, "message": "Devices limit reached", "errorCode": 41, "timestamp": 1}
    server.on("POST", "/api/device", Reply(403, {**document, "entityType": "DEVICE", "limit": 1}))
    with pytest.raises(PermissionDenied, match="Devices limit reached") as caught:
        modern.devices.create("One more", "WeatherStation")
    assert (caught.value.details["entity_type"], caught.value.details["limit"]) == ("DEVICE", 1)
    assert "raise the limit" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        ("JSON parse error: Unexpected character", 2, InvalidRequest),
        ("Content-Type 'text/plain;charset=UTF-8' is not supported", 2, InvalidRequest),
        ("Index 9 out of bounds for length 5", 2, InvalidRequest),
        ("Handler dispatch failed: java.lang.StackOverflowError", 2, InvalidRequest),
        ("Required request parameter 'pageSize' for method parameter type int is not present", 2, InvalidRequest),
        ("Database error", 46, ServerFault),
        ("Something else", 2, ServerFault),
    ],
)
def test_who_is_to_blame_for_a_500(
    server: ScriptedPlatform, session: Session, words: str, code: int, kind: type[PlatformError]
) -> None:
    server.on("POST", "/api/anything", platform_error(500, words, code))
    with pytest.raises(kind, match=re.escape(words)) as caught:
        session.request("POST", "/api/anything", json={})
    assert (type(caught.value), server.count("POST", "/api/anything")) == (kind, 1)


def test_too_many_requests_are_repeated_though_nobody_says_when(server: ScriptedPlatform, session: Session) -> None:
    busy = platform_error(429, "Too many requests for current tenant!", 33)
    server.on("POST", "/api/anything", busy, busy, Reply(json={}))
    session.request("POST", "/api/anything", json={})
    server.on("POST", "/api/anything", busy)
    with pytest.raises(RateLimited, match="Too many requests"):
        session.request("POST", "/api/anything", json={})


def test_every_refresh_token_is_used_once(server: ScriptedPlatform, open_session: Callable[..., Session]) -> None:
    now = [0.0]
    given: list[str] = []
    lock = threading.Lock()

    def rotate(request: Request) -> Reply:
        with lock:
            if given and request.json["refreshToken"] != given[-1]:
                return platform_error(401, "Invalid username or password", 10)
            reply = server.tokens()
            given.append(reply.json["refreshToken"])
            return reply

    server.on("POST", "/api/auth/token", rotate)
    server.on("GET", "/api/anything", Reply(json={}))
    session = open_session(clock=lambda: now[0])
    for _ in range(4):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: session.request("GET", "/api/anything"), range(16)))
        now[0] += 890.0
    assert (len(server.logins), len(given), len(set(given))) == (1, 3, 3)


def test_a_token_that_was_logged_out_is_replaced(server: ScriptedPlatform, session: Session) -> None:
    server.on("GET", "/api/anything", platform_error(401, "Token has expired", 11), Reply(json={}))
    session.request("GET", "/api/anything")
    assert {request.headers["x-authorization"][:7] for request in server.requests} == {"Bearer "}


@pytest.mark.parametrize(
    ("version", "asked"), [("1.4", 999), ("2.5", 999), ("3.9", 999), ("3.9.1", 1000), ("4.3.1", 1000)]
)
def test_a_range_begins_with_its_first_point(
    server: ScriptedPlatform, session: Session, version: str, asked: int
) -> None:
    def response(request: Request) -> Reply:
        assert int(request.query["startTs"]) == asked
        points = [{"ts": ts, "value": "1"} for ts in (1001, 1000, 999) if int(request.query["startTs"]) <= ts]
        return Reply(json={"windSpeed": points})

    server.on("GET", SERIES, response)
    platform = Platform(session, server_version=parse_server_version(version))
    found = platform.telemetry.range(EntityId.device(ID), "windSpeed", 1000, 1002)
    assert [point.ts_ms for point in found] == [1000, 1001]


@pytest.mark.parametrize(
    ("version", "last_written"), [("1.x", True), ("2.0", True), ("3.9", True), ("3.9.1", False), ("4.0", False)]
)
def test_what_latest_means(session: Session, version: str, last_written: bool) -> None:
    platform = Platform(session, server_version=parse_server_version(version))
    assert platform.telemetry.latest_is_last_written() is last_written


@pytest.mark.parametrize(("version", "at_once"), [("1.x", 8), ("2.0", 8), ("3.9", 8), ("3.9.1", 128), ("4.3.1", 128)])
def test_how_many_writes_a_server_is_given_together(session: Session, version: str, at_once: int) -> None:
    platform = Platform(session, server_version=parse_server_version(version))
    assert platform.telemetry.writes_at_once() == at_once


def test_a_search_finds_beginnings_where_the_server_finds_more(server: ScriptedPlatform, modern: Platform) -> None:
    names = ["Zone 1", "zone 2", "Old Zone", "ZONE_3", "Tame zone"]
    ids = [{"entityType": "DEVICE", "id": f"eb54ece0-e799-11f1-9f43-00000000000{number}"} for number in range(5)]
    data = [device(name, id=identity) for name, identity in zip(names, ids, strict=True)]
    page = {"data": data, "totalElements": 5, "totalPages": 1, "hasNext": False}
    server.on("GET", "/api/tenant/devices", Reply(json=page))
    assert [item.name for item in modern.devices.list(text_search="zone")] == ["Zone 1", "zone 2", "ZONE_3"]
    assert server.requests[-1].query["textSearch"] == "zone"


@pytest.mark.parametrize(
    ("version", "query"),
    [
        ("2.5", {"limit": "7"}),
        ("3.0", {"pageSize": "7", "page": "0", "sortProperty": "createdTime", "sortOrder": "DESC"}),
        ("4.3.1", {"pageSize": "7", "page": "0", "sortProperty": "createdTime", "sortOrder": "DESC"}),
    ],
)
def test_events_of_rule_nodes(server: ScriptedPlatform, session: Session, version: str, query: dict[str, str]) -> None:
    error = "java.lang.ClassNotFoundException: org.nosuch.Node\n\tat java.base"
    event = {
        "id": {"id": TENANT},
        "createdTime": 5,
        "body": {"server": "vm", "event": "STARTED", "success": False, "error": error},
    }
    server.on("GET", f"/api/events/RULE_NODE/{ID}/LC_EVENT", Reply(json={"data": [event], "hasNext": False}))
    platform = Platform(session, server_version=parse_server_version(version))
    (found,) = platform.events.lifecycle(EntityId.rule_node(ID), TENANT, 7)
    assert found.reason == "java.lang.ClassNotFoundException: org.nosuch.Node"
    assert server.requests[-1].query == {"tenantId": TENANT, **query}


def test_a_deletion_that_responds_nothing(server: ScriptedPlatform, modern: Platform) -> None:
    server.on("DELETE", f"/api/device/{ID}", EMPTY)
    modern.devices.delete(ID)


@pytest.mark.parametrize("said_next_to_the_token", [True, False])
@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ("PRE_VERIFICATION_TOKEN", "requires a second factor of tenant@thingsboard.org, which a program cannot give"),
        ("MFA_CONFIGURATION_TOKEN", "requires tenant@thingsboard.org to set up a second factor first"),
    ],
)
def test_a_login_that_wants_a_second_factor_is_no_login(
    server: ScriptedPlatform, session: Session, scope: str, words: str, said_next_to_the_token: bool
) -> None:
    if said_next_to_the_token:
        half = {"token": make_token("TENANT_ADMIN", 300), "refreshToken": None, "scope": scope}
    else:
        half = {"token": make_token(scope, 300), "refreshToken": None}
    server.on("POST", "/api/auth/login", Reply(json=half))
    with pytest.raises(AuthenticationFailed, match=words) as caught:
        session.request("GET", "/api/auth/user")
    assert "PACIFICTOOL_API_KEY" in str(caught.value.hint)
    assert (len(server.logins), server.requests) == (1, [])


def test_a_password_that_is_too_old(server: ScriptedPlatform, session: Session) -> None:
    server.on("POST", "/api/auth/login", platform_error(401, "User password expired!", 15))
    with pytest.raises(AuthenticationFailed, match="User password expired") as caught:
        session.log_in()
    assert caught.value.hint == "Set a new password in the platform's web UI."
