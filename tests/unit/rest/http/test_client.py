from __future__ import annotations

import gzip
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pacifictool.errors import (
    InvalidRequest,
    NotFound,
    PacificToolError,
    PlatformUnreachable,
    UnexpectedAnswer,
)
from pacifictool.rest import RetryPolicy, Session
from pacifictool.settings import Secret
from tests.support.rest import SPRING_500, THING, OpenSession, get
from tests.support.scripted_platform import (
    DROP,
    Reply,
    Request,
    ScriptedPlatform,
    platform_error,
)
from tests.support.waiting import SOON_SECONDS


def secrets_of(server: ScriptedPlatform) -> set[str]:
    sent = {request.headers.get("x-authorization", "").removeprefix("Bearer ") for request in server.requests}
    return {"tenant-password-that-must-not-show"} | (sent - {""})


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


@pytest.mark.parametrize("announced", [True, False])
def test_a_response_is_not_read_beyond_the_limit(
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
        get(open_session(timeout_seconds=(2.0, 0.5), retry=RetryPolicy(attempts=1)))
    assert time.monotonic() - began < SOON_SECONDS


def test_a_slow_response_times_out(server: ScriptedPlatform, open_session: OpenSession) -> None:
    session = open_session(timeout_seconds=(2.0, 0.2), retry=RetryPolicy(attempts=1))
    server.on("GET", "/api/thing", Reply(json={}, delay_seconds=1))
    with pytest.raises(PlatformUnreachable) as caught:
        get(session)
    assert "0.2 s" in caught.value.message
    assert caught.value.details["sent"] is True


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
    with pytest.raises(InvalidRequest, match="GET /api/thing cannot be sent"):
        Session("http://[::1", api_key=Secret("key")).request("GET", "/api/thing")


def test_requests_do_not_share_headers(server: ScriptedPlatform, session: Session) -> None:
    for method in ("POST", "GET"):
        server.on(method, "/api/thing", Reply(json={}))
    session.request("POST", "/api/thing", json={})
    session.request("GET", "/api/thing")
    with_body, bare = server.requests
    assert with_body.headers["content-type"] == "application/json"
    assert {"content-length", "content-type"}.isdisjoint(bare.headers)


@pytest.mark.parametrize("document", [{"name": "\ud800"}, {"a": float("nan")}, {"a": object()}])
def test_documents_that_cannot_be_sent(server: ScriptedPlatform, session: Session, document: Any) -> None:
    with pytest.raises(InvalidRequest, match="cannot be sent"):
        session.request("POST", "/api/thing", json=document)
    assert not server.requests


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
