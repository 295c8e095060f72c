from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pacifictool.errors import (
    AuthenticationFailed,
    InvalidRequest,
    NotAPlatform,
    PermissionDenied,
    PlatformError,
    ServerFault,
)
from pacifictool.rest import Session
from tests.support.rest import SPRING_500, THING, OpenSession, get
from tests.support.scripted_platform import (
    TOKEN_EXPIRED,
    Reply,
    Request,
    ScriptedPlatform,
    platform_error,
)


class Clock:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_logs_in_by_itself_and_sends_the_token(server: ScriptedPlatform, session: Session) -> None:
    server.on("GET", "/api/thing", THING)
    assert get(session) == {"a": 1}
    assert server.logins[0].json == {
        "username": "tenant@thingsboard.org",
        "password": "tenant-password-that-must-not-show",
    }
    assert server.logins[0].headers["content-type"] == "application/json"
    assert "x-authorization" not in server.logins[0].headers
    assert server.requests[0].headers["x-authorization"].startswith("Bearer ey")
    assert server.requests[0].headers["user-agent"].startswith("pacifictool/")


def test_sixteen_threads_log_in_once(server: ScriptedPlatform, session: Session) -> None:
    server.on("POST", "/api/auth/login", lambda _: Reply(json=server.tokens().json, delay_seconds=0.2))
    server.on("GET", "/api/thing", THING)
    with ThreadPoolExecutor(16) as pool:
        responses = list(pool.map(lambda _: get(session), range(64)))
    assert responses == [{"a": 1}] * 64
    assert len(server.logins) == 1


@pytest.mark.parametrize("offset", [0.0, -7200.0, 86_400.0])
def test_refreshes_ahead_of_expiry_whatever_the_servers_clock_says(
    server: ScriptedPlatform, open_session: OpenSession, offset: float
) -> None:
    clock = Clock()
    server.clock_offset_seconds = offset
    server.on("GET", "/api/thing", THING)
    session = open_session(clock=clock)
    get(session)
    clock.now += 800
    get(session)
    assert len(server.refreshes) == 0
    clock.now += 50  # 850 s of 900: within the last minute
    get(session)
    assert (len(server.logins), len(server.refreshes)) == (1, 1)
    tokens = [request.headers["x-authorization"] for request in server.requests]
    assert tokens[0] == tokens[1] != tokens[2]


def test_logs_in_again_when_the_refresh_token_is_too_old(server: ScriptedPlatform, open_session: OpenSession) -> None:
    clock = Clock()
    server.on("GET", "/api/thing", THING)
    session = open_session(clock=clock)
    get(session)
    clock.now += 4000
    get(session)
    assert (len(server.logins), len(server.refreshes)) == (2, 0)


@pytest.mark.parametrize(
    "refusal", [TOKEN_EXPIRED, platform_error(401, "Invalid username or password", 10), SPRING_500]
)
def test_logs_in_again_when_the_refresh_is_refused(
    server: ScriptedPlatform, open_session: OpenSession, refusal: Reply
) -> None:
    clock = Clock()
    server.on("GET", "/api/thing", THING)
    server.on("POST", "/api/auth/token", refusal)
    session = open_session(clock=clock)
    get(session)
    clock.now += 890
    get(session)
    assert (len(server.logins), len(server.refreshes)) == (2, 1)


def test_others_go_on_with_the_old_token_while_one_refreshes(
    server: ScriptedPlatform, open_session: OpenSession
) -> None:
    clock = Clock()
    refreshing = threading.Event()
    go_on = threading.Event()

    def slow_refresh(_request: Request) -> Reply:
        refreshing.set()
        go_on.wait(60)
        return server.tokens()

    server.on("GET", "/api/thing", THING)
    server.on("POST", "/api/auth/token", slow_refresh)
    session = open_session(clock=clock)
    get(session)
    clock.now += 850
    with ThreadPoolExecutor(1) as pool:
        refresher = pool.submit(get, session)
        assert refreshing.wait(60)
        assert get(session) == {"a": 1}
        assert not refresher.done()
        go_on.set()
        assert refresher.result() == {"a": 1}
    assert len(server.refreshes) == 1


def test_a_failed_refresh_ahead_of_time_is_no_failure_of_the_request(
    server: ScriptedPlatform, open_session: OpenSession
) -> None:
    clock = Clock()
    server.on("GET", "/api/thing", THING)
    server.on("POST", "/api/auth/token", Reply(503), server.tokens())
    session = open_session(clock=clock)
    get(session)
    clock.now += 850
    assert get(session) == {"a": 1}
    assert get(session) == {"a": 1}  # not every request retries
    assert len(server.refreshes) == 1
    clock.now += 20
    assert get(session) == {"a": 1}
    assert len(server.refreshes) == 2


@pytest.mark.parametrize("repeatable", [True, False])
def test_an_expired_token_is_replaced_and_the_call_repeated(
    server: ScriptedPlatform, session: Session, repeatable: bool
) -> None:
    server.on("POST", "/api/thing", TOKEN_EXPIRED, THING)
    assert session.request("POST", "/api/thing", json={}, repeatable=repeatable, expect=dict) == {"a": 1}
    tokens = [request.headers["x-authorization"] for request in server.requests]
    assert tokens[0] != tokens[1]
    assert len(server.logins) + len(server.refreshes) == 2


def test_many_threads_with_one_expired_token_log_in_once(server: ScriptedPlatform, session: Session) -> None:
    get_ready = threading.Barrier(8)
    first_token: list[str] = []

    def response(request: Request) -> Reply:
        token = request.headers["x-authorization"]
        if not first_token:
            first_token.append(token)
        if token == first_token[0]:
            get_ready.wait(60)
            return TOKEN_EXPIRED
        return THING

    server.on("GET", "/api/thing", response)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: get(session), range(8))) == [{"a": 1}] * 8
    assert len(server.logins) + len(server.refreshes) == 2


def test_a_second_401_says_whose_login_worked(server: ScriptedPlatform, session: Session) -> None:
    server.on("GET", "/api/thing", platform_error(401, "Authentication failed", 10))
    with pytest.raises(AuthenticationFailed) as caught:
        get(session)
    assert "accepted the login of tenant@thingsboard.org" in caught.value.message
    assert "Authentication failed" in caught.value.message
    assert server.count("GET", "/api/thing") == 2
    assert len(server.logins) + len(server.refreshes) == 2


def test_a_refused_password_is_tried_once_and_not_shown(server: ScriptedPlatform, session: Session) -> None:
    server.on("POST", "/api/auth/login", platform_error(401, "Invalid username or password", 10))
    with pytest.raises(AuthenticationFailed) as caught:
        get(session)
    assert "tenant@thingsboard.org" in caught.value.message
    assert "Invalid username or password" in caught.value.message
    assert caught.value.hint is not None
    assert len(server.logins) == 1
    assert not server.requests


def test_threads_that_wait_for_a_login_share_its_refusal(server: ScriptedPlatform, session: Session) -> None:
    refusal = platform_error(401, "Invalid username or password", 10)
    arrived = threading.Barrier(9)
    server.on("POST", "/api/auth/login", Reply(401, refusal.json, delay_seconds=0.5))

    def attempt(_number: int) -> str:
        arrived.wait(60)
        with pytest.raises(AuthenticationFailed) as caught:
            get(session)
        return caught.value.message

    with ThreadPoolExecutor(8) as pool:
        messages = pool.map(attempt, range(8))
        arrived.wait(60)
        assert len(set(messages)) == 1
    assert len(server.logins) == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(200, body=b"<html>A router's page</html>", content_type="text/html"), NotAPlatform),
        (Reply(404, body=b"<!DOCTYPE html><p>nginx", content_type="text/html"), NotAPlatform),
        (Reply(404, body=b"404 page not found", content_type="text/plain"), NotAPlatform),
        (Reply(200, {"access_token": "x"}), NotAPlatform),
        (Reply(200, ["token"]), NotAPlatform),
        (Reply(200, {"token": "two words"}), NotAPlatform),
        (Reply(200, {"token": "line\r\nX-Evil: 1"}), NotAPlatform),
        (Reply(200, body=b""), NotAPlatform),
        (Reply(401, body=b"", headers={"WWW-Authenticate": "Basic"}), NotAPlatform),
        (Reply(302, headers={"Location": "https://login.example/"}), NotAPlatform),
        (platform_error(403, "User account is locked", 10), PermissionDenied),
        (SPRING_500, ServerFault),
    ],
)
def test_what_the_response_to_a_login_means(
    server: ScriptedPlatform, session: Session, reply: Reply, kind: type[PlatformError]
) -> None:
    server.on("POST", "/api/auth/login", reply)
    with pytest.raises(kind) as caught:
        session.log_in()
    assert type(caught.value) is kind
    assert server.url in caught.value.message
    assert caught.value.hint


def test_the_servers_clock_is_never_ahead(server: ScriptedPlatform, session: Session) -> None:
    server.clock_offset_seconds = 5000.0
    session.log_in()
    behind_ms = (time.time() + 5000) * 1000 - session.server_time_ms()
    assert 0 <= behind_ms < 3000


def test_an_error_says_whether_it_is_of_the_login(server: ScriptedPlatform, session: Session) -> None:
    refusal = platform_error(400, "Bad request", 31)
    server.on("POST", "/api/auth/login", refusal, server.tokens())
    server.on("GET", "/api/thing", refusal)
    with pytest.raises(InvalidRequest) as of_login:
        get(session)
    with pytest.raises(InvalidRequest) as of_request:
        get(session)
    assert (of_login.value.during_login, of_request.value.during_login) == (True, False)
