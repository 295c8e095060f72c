from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from scripted_platform import (
    DROP,
    NOT_FOUND,
    TOKEN_EXPIRED,
    Reply,
    Request,
    ScriptedPlatform,
    platform_error,
)

from pacifictool.errors import (
    AlreadyExists,
    AuthenticationFailed,
    InvalidRequest,
    NotAPlatform,
    NotFound,
    PacificToolError,
    PermissionDenied,
    PlatformError,
    PlatformUnreachable,
    RateLimited,
    ServerFault,
    UnexpectedAnswer,
)
from pacifictool.rest import RetryPolicy, Session

OpenSession = Callable[..., Session]
THING = Reply(json={"a": 1})
SPRING_500 = Reply(
    500,
    {
        "timestamp": 1,
        "status": 500,
        "error": "Internal Server Error",
        "exception": "java.lang.NullPointerException",
        "message": "No message available",
        "path": "/api/thing",
    },
)


class Clock:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def get(session: Session) -> dict[str, Any]:
    return session.request("GET", "/api/thing", expect=dict)


def secrets_of(server: ScriptedPlatform) -> set[str]:
    sent = {request.headers.get("x-authorization", "").removeprefix("Bearer ") for request in server.requests}
    return {"tenant-password-that-must-not-show"} | (sent - {""})


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
        answers = list(pool.map(lambda _: get(session), range(64)))
    assert answers == [{"a": 1}] * 64
    assert len(server.logins) == 1


def test_no_more_connections_than_the_pool_holds(server: ScriptedPlatform, open_session: OpenSession) -> None:
    open_now, most, lock = 0, 0, threading.Lock()

    def count(_request: Request) -> Reply:
        nonlocal open_now, most
        with lock:
            open_now += 1
            most = max(most, open_now)
        time.sleep(0.02)
        with lock:
            open_now -= 1
        return THING

    server.on("GET", "/api/thing", count)
    session = open_session(pool_size=3)
    with ThreadPoolExecutor(12) as pool:
        assert len(list(pool.map(lambda _: get(session), range(36)))) == 36
    assert 2 <= most <= 3


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
        go_on.wait(5)
        return server.tokens()

    server.on("GET", "/api/thing", THING)
    server.on("POST", "/api/auth/token", slow_refresh)
    session = open_session(clock=clock)
    get(session)
    clock.now += 850
    with ThreadPoolExecutor(1) as pool:
        refresher = pool.submit(get, session)
        assert refreshing.wait(5)
        began = time.monotonic()
        assert get(session) == {"a": 1}
        assert time.monotonic() - began < 1
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
    assert get(session) == {"a": 1}  # not every request tries again
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

    def answer(request: Request) -> Reply:
        token = request.headers["x-authorization"]
        if not first_token:
            first_token.append(token)
        if token == first_token[0]:
            get_ready.wait(5)
            return TOKEN_EXPIRED
        return THING

    server.on("GET", "/api/thing", answer)
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
        arrived.wait(5)
        with pytest.raises(AuthenticationFailed) as caught:
            get(session)
        return caught.value.message

    with ThreadPoolExecutor(8) as pool:
        messages = pool.map(attempt, range(8))
        arrived.wait(5)
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
def test_what_the_answer_to_a_login_means(
    server: ScriptedPlatform, session: Session, reply: Reply, kind: type[PlatformError]
) -> None:
    server.on("POST", "/api/auth/login", reply)
    with pytest.raises(kind) as caught:
        session.log_in()
    assert type(caught.value) is kind
    assert server.url in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (
            platform_error(400, "Device name should be specified!", 31),
            InvalidRequest,
            "Device name should be specified",
        ),
        (platform_error(400, "Device with such name already exists!", 31), AlreadyExists, "already exists"),
        (platform_error(400, "API token is already reserved!", 31), AlreadyExists, "already reserved"),
        (
            platform_error(400, "Specified credentials are already registered!", 31),
            AlreadyExists,
            "already registered",
        ),
        (platform_error(403, "You don't have permission", 20), PermissionDenied, "You don't have permission"),
        (NOT_FOUND, NotFound, "Requested item wasn't found"),
        (
            Reply(404, {"timestamp": 1, "status": 404, "error": "Not Found", "message": "No message available"}),
            NotFound,
            "No message available",
        ),
        (Reply(404, body=b"Asset with requested id wasn't found!", content_type="text/plain"), NotFound, "Asset with"),
        (Reply(400, body=b"Can't parse value: null", content_type="text/plain"), InvalidRequest, "parse value: null"),
        (Reply(400, content_type=""), InvalidRequest, "400 Bad Request"),
        (Reply(415, {"status": 415, "error": "Unsupported Media Type", "path": "/"}), InvalidRequest, "Unsupported"),
        (SPRING_500, ServerFault, "No message available"),
        (Reply(500, content_type=""), ServerFault, "500"),
        (Reply(500, body=b"<html>oops</html>", content_type="text/html"), ServerFault, "500"),
        (Reply(404, body=b"<html>nope</html>", content_type="text/html"), NotAPlatform, "web page"),
        (Reply(599, body=b"\x00\x1b[31m\xff" + b"x" * 5000, content_type="text/plain"), ServerFault, "599"),
    ],
)
def test_failures_become_exceptions_with_the_servers_words(
    server: ScriptedPlatform, session: Session, reply: Reply, kind: type[PlatformError], words: str
) -> None:
    server.on("GET", "/api/thing", reply)
    with pytest.raises(PlatformError) as caught:
        get(session)
    assert type(caught.value) is kind
    assert words in caught.value.message
    assert len(caught.value.message) < 600
    assert caught.value.message.isprintable()
    assert (caught.value.status, caught.value.request) == (reply.status, "GET /api/thing")
    assert server.count("GET", "/api/thing") == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(body=b'{"a": 1'), UnexpectedAnswer),
        (Reply(body=b""), UnexpectedAnswer),
        (Reply(body=b"\xff\xfe"), UnexpectedAnswer),
        (Reply(body=b'{"a": NaN}'), UnexpectedAnswer),
        (Reply(body=b'{"a":' + b"9" * 5000 + b"}"), UnexpectedAnswer),
        (Reply(body=b"[" * 200_000), UnexpectedAnswer),
        (Reply(json=[1]), UnexpectedAnswer),
        (Reply(body=b"null"), UnexpectedAnswer),
        (Reply(body=b"not gzip", headers={"Content-Encoding": "gzip"}), UnexpectedAnswer),
        (Reply(body=b"<html></html>", content_type="text/html"), NotAPlatform),
        (Reply(body=b"  <!DOCTYPE HTML>", content_type="application/json"), NotAPlatform),
    ],
)
def test_a_yes_that_makes_no_sense(
    server: ScriptedPlatform, session: Session, reply: Reply, kind: type[PlatformError]
) -> None:
    server.on("GET", "/api/thing", reply)
    with pytest.raises(PlatformError) as caught:
        get(session)
    assert type(caught.value) is kind


def test_a_web_page_is_no_confirmation_of_a_write(server: ScriptedPlatform, session: Session) -> None:
    server.on("POST", "/api/thing", Reply(body=b"<html>Please accept our terms</html>", content_type="text/html"))
    with pytest.raises(NotAPlatform):
        session.request("POST", "/api/thing", json={})


def test_redirects_are_not_followed(server: ScriptedPlatform, session: Session) -> None:
    server.on("GET", "/api/thing", Reply(302, headers={"Location": f"{server.url}/login"}))
    with pytest.raises(NotAPlatform) as caught:
        get(session)
    assert f"{server.url}/login" in caught.value.message
    assert server.count("GET", "/login") == 0


def test_a_redirect_to_https_is_explained(server: ScriptedPlatform, session: Session) -> None:
    server.on("POST", "/api/auth/login", Reply(301, headers={"Location": "https://127.0.0.1/api/auth/login"}))
    with pytest.raises(NotAPlatform) as caught:
        get(session)
    assert caught.value.hint == "Use https:// in --url."


@pytest.mark.parametrize("announced", [True, False])
def test_an_answer_is_not_read_beyond_the_limit(
    server: ScriptedPlatform, open_session: OpenSession, announced: bool
) -> None:
    body = b'"' + b"x" * 3_000_000 + b'"'
    server.on("GET", "/api/thing", Reply(body=body, headers={} if announced else {"Connection": "close"}))
    with pytest.raises(UnexpectedAnswer) as caught:
        get(open_session(max_answer_bytes=1_000_000))
    assert "1000000 bytes" in caught.value.message


def test_a_trickling_response_times_out(server: ScriptedPlatform, open_session: OpenSession) -> None:
    server.on("GET", "/api/thing", Reply(body=b"1" * 4000, trickle_seconds=0.01))
    began = time.monotonic()
    with pytest.raises(PlatformUnreachable, match="did not finish its response"):
        get(open_session(timeout_seconds=(2.0, 0.2), retry=RetryPolicy(attempts=1)))
    assert time.monotonic() - began < 5


def test_a_slow_answer_times_out(server: ScriptedPlatform, open_session: OpenSession) -> None:
    session = open_session(timeout_seconds=(2.0, 0.2), retry=RetryPolicy(attempts=1))
    server.on("GET", "/api/thing", Reply(json={}, delay_seconds=1))
    with pytest.raises(PlatformUnreachable) as caught:
        get(session)
    assert "0.2 s" in caught.value.message
    assert caught.value.details["sent"] is True


@pytest.mark.parametrize(
    "fault", [DROP, Reply(502), Reply(503), Reply(504), Reply(body=b'{"a', headers={"Content-Length": "8"})]
)
def test_passing_faults_are_waited_out_for_calls_that_may_be_repeated(
    server: ScriptedPlatform, session: Session, fault: Reply
) -> None:
    server.on("GET", "/api/thing", fault, fault, THING)
    assert get(session) == {"a": 1}
    assert server.count("GET", "/api/thing") == 3
    server.on("POST", "/api/post", fault, THING)
    assert session.request("POST", "/api/post", json={}, repeatable=True, expect=dict) == {"a": 1}


@pytest.mark.parametrize("fault", [DROP, Reply(502), Reply(503), Reply(504)])
def test_a_call_with_an_unknown_outcome_is_not_repeated_by_itself(
    server: ScriptedPlatform, session: Session, fault: Reply
) -> None:
    server.on("POST", "/api/thing", fault, THING)
    with pytest.raises((PlatformUnreachable, ServerFault)):
        session.request("POST", "/api/thing", json={}, expect=dict)
    assert server.count("POST", "/api/thing") == 1


def test_retries_end(server: ScriptedPlatform, session: Session) -> None:
    server.on("GET", "/api/thing", Reply(503))
    with pytest.raises(ServerFault):
        get(session)
    assert server.count("GET", "/api/thing") == 4


@pytest.mark.parametrize("status", [400, 403, 404, 409, 500, 501])
def test_other_failures_are_not_repeated(server: ScriptedPlatform, session: Session, status: int) -> None:
    server.on("GET", "/api/thing", Reply(status), THING)
    with pytest.raises(PlatformError):
        get(session)
    assert server.count("GET", "/api/thing") == 1


def test_retry_after_is_honoured_even_for_calls_that_must_not_be_doubled(
    server: ScriptedPlatform, session: Session
) -> None:
    server.on("POST", "/api/thing", Reply(429, headers={"Retry-After": "1"}), THING)
    began = time.monotonic()
    assert session.request("POST", "/api/thing", json={}, expect=dict) == {"a": 1}
    assert 1 <= time.monotonic() - began < 3


def test_a_retry_after_beyond_patience_ends_at_once(server: ScriptedPlatform, session: Session) -> None:
    server.on("GET", "/api/thing", Reply(429, headers={"Retry-After": "3600"}))
    began = time.monotonic()
    with pytest.raises(RateLimited) as caught:
        get(session)
    assert time.monotonic() - began < 1
    assert caught.value.details["retry_after"] == 3600


@pytest.mark.parametrize("text", ["soon", "-1", "", "Fri, 99 Foo 2026"])
def test_a_senseless_retry_after_is_ignored(server: ScriptedPlatform, session: Session, text: str) -> None:
    server.on("GET", "/api/thing", Reply(429, headers={"Retry-After": text}), THING)
    assert get(session) == {"a": 1}


def test_a_retry_after_may_be_a_date(server: ScriptedPlatform, session: Session) -> None:
    server.on("GET", "/api/thing", Reply(503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), THING)
    assert get(session) == {"a": 1}


def test_nobody_listens(open_session: OpenSession, reporter: Any, free_port: int) -> None:
    session = open_session(f"http://127.0.0.1:{free_port}")
    with pytest.raises(PlatformUnreachable) as caught:
        session.request("POST", "/api/thing", json={})
    assert "connection refused" in caught.value.message
    assert caught.value.details["sent"] is False
    assert len(reporter.details) == 3  # four attempts: login is not waited out twice


def test_a_host_without_an_address(open_session: OpenSession) -> None:
    with pytest.raises(PlatformUnreachable, match="cannot be found"):
        get(open_session("http://nosuch.invalid:8080"))


def test_something_that_does_not_speak_http(server: ScriptedPlatform, session: Session) -> None:
    server.on("POST", "/api/auth/login", Reply(raw=b"SSH-2.0-OpenSSH_9.6\r\n"))
    with pytest.raises(NotAPlatform, match="does not speak HTTP"):
        get(session)


def test_the_stop_signal_ends_the_wait_at_once(server: ScriptedPlatform, open_session: OpenSession) -> None:
    stop = threading.Event()
    session = open_session(stop=stop, retry=RetryPolicy(attempts=10, first_wait_seconds=30, longest_wait_seconds=60))
    server.on("GET", "/api/thing", Reply(503, headers={"Retry-After": "60"}))
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    with pytest.raises(ServerFault):
        get(session)
    assert time.monotonic() - began < 1.5
    assert server.count("GET", "/api/thing") == 1


def test_a_delete_that_finds_nothing_on_its_repeat_is_done(server: ScriptedPlatform, session: Session) -> None:
    server.on("DELETE", "/api/thing", DROP, NOT_FOUND)
    session.request("DELETE", "/api/thing")
    assert server.count("DELETE", "/api/thing") == 2


def test_a_delete_that_finds_nothing_at_first_says_so(server: ScriptedPlatform, session: Session) -> None:
    with pytest.raises(NotFound):
        session.request("DELETE", "/api/thing")


def test_no_secret_ever_shows(server: ScriptedPlatform, open_session: OpenSession, reporter: Any) -> None:
    shown = []
    session = open_session()
    for reply in (
        DROP,
        Reply(503),
        platform_error(401, "Authentication failed", 10),
        SPRING_500,
        Reply(body=b"{"),
        Reply(302, headers={"Location": "/login"}),
    ):
        server.on("GET", "/api/thing", reply)
        with pytest.raises(PacificToolError) as caught:
            get(session)
        error: BaseException | None = caught.value
        while error is not None:
            shown += [str(error), repr(error), repr(getattr(error, "details", ""))]
            error = error.__cause__ or error.__context__
    shown += [repr(session), str(vars(session)), *reporter.details]
    for secret in secrets_of(server):
        assert not [text for text in shown if secret in text]


def test_the_environment_and_netrc_play_no_part(
    server: ScriptedPlatform, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.on("GET", "/api/thing", Reply(json={"a": 1}, headers={"Set-Cookie": "JSESSIONID=1; Path=/"}))
    session = open_session()
    get(session)
    assert get(session) == {"a": 1}
    assert all("authorization" not in request.headers for request in server.requests)
    assert all("cookie" not in request.headers for request in server.requests)


def test_texts_that_cannot_be_sent(session: Session) -> None:
    with pytest.raises(InvalidRequest, match="cannot be sent"):
        session.request("GET", "/api/thing", params={"name": "\ud800"}, expect=dict)


@pytest.mark.parametrize("document", [{"name": "\ud800"}, {"a": float("nan")}, {"a": object()}])
def test_documents_that_cannot_be_sent(server: ScriptedPlatform, session: Session, document: Any) -> None:
    with pytest.raises(InvalidRequest, match="cannot be sent"):
        session.request("POST", "/api/thing", json=document)
    assert not server.requests


def test_the_servers_clock_is_never_ahead(server: ScriptedPlatform, session: Session) -> None:
    server.clock_offset_seconds = 5000.0
    session.log_in()
    behind_ms = (time.time() + 5000) * 1000 - session.server_time_ms()
    assert 0 <= behind_ms < 3000


def test_a_proxy_prefix_in_the_url_is_kept(server: ScriptedPlatform, open_session: OpenSession) -> None:
    server.on("POST", "/iot/api/auth/login", server.tokens())
    server.on("GET", "/iot/api/thing", THING)
    assert get(open_session(f"{server.url}/iot/")) == {"a": 1}


@pytest.mark.parametrize(
    "reply",
    [
        THING,
        Reply(json={"a": "x" * 200_000}),
        Reply(body=gzip.compress(b'{"a": 1}'), headers={"Content-Encoding": "gzip"}),
        platform_error(404, "Requested item wasn't found!", 32),
    ],
)
def test_connections_are_kept(server: ScriptedPlatform, session: Session, reply: Reply) -> None:
    server.on("GET", "/api/thing", reply)
    for _ in range(10):
        if reply.status == 200:
            assert "a" in get(session)
        else:
            with pytest.raises(NotFound):
                get(session)
    assert server.connections == 1


def test_a_small_body_that_unpacks_to_a_huge_one(server: ScriptedPlatform, open_session: OpenSession) -> None:
    bomb = gzip.compress(b'"' + b"x" * 50_000_000 + b'"')
    assert len(bomb) < 100_000
    server.on("GET", "/api/thing", Reply(body=bomb, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(UnexpectedAnswer, match="1000000 bytes"):
        get(open_session(max_answer_bytes=1_000_000))
