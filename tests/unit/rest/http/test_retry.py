from __future__ import annotations

import copy
import threading
import time

import pytest

from pacifictool.errors import (
    NotFound,
    PlatformError,
    PlatformUnreachable,
    RateLimited,
    ServerFault,
)
from pacifictool.rest import RetryPolicy, Session
from tests.support.rest import THING, OpenSession, get
from tests.support.scripted_platform import (
    DROP,
    NOT_FOUND,
    Reply,
    ScriptedPlatform,
)
from tests.support.waiting import SOON_SECONDS


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
    assert 1 <= time.monotonic() - began < SOON_SECONDS


def test_a_retry_after_beyond_the_limit_ends_at_once(server: ScriptedPlatform, session: Session) -> None:
    server.on("GET", "/api/thing", Reply(429, headers={"Retry-After": "3600"}))
    began = time.monotonic()
    with pytest.raises(RateLimited) as caught:
        get(session)
    assert time.monotonic() - began < SOON_SECONDS
    assert caught.value.details["retry_after"] == 3600


@pytest.mark.parametrize("text", ["soon", "-1", "", "Fri, 99 Foo 2026"])
def test_a_senseless_retry_after_is_ignored(server: ScriptedPlatform, session: Session, text: str) -> None:
    server.on("GET", "/api/thing", Reply(429, headers={"Retry-After": text}), THING)
    assert get(session) == {"a": 1}


def test_a_retry_after_may_be_a_date(server: ScriptedPlatform, session: Session) -> None:
    server.on("GET", "/api/thing", Reply(503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), THING)
    assert get(session) == {"a": 1}


def test_the_stop_signal_ends_the_wait_at_once(server: ScriptedPlatform, open_session: OpenSession) -> None:
    stop = threading.Event()
    session = open_session(stop=stop, retry=RetryPolicy(attempts=10, first_wait_seconds=30, longest_wait_seconds=60))
    server.on("GET", "/api/thing", Reply(503, headers={"Retry-After": "60"}))
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    with pytest.raises(ServerFault):
        get(session)
    assert time.monotonic() - began < SOON_SECONDS
    assert server.count("GET", "/api/thing") == 1


def test_a_delete_that_finds_nothing_on_its_repeat_is_done(server: ScriptedPlatform, session: Session) -> None:
    server.on("DELETE", "/api/thing", DROP, NOT_FOUND)
    session.request("DELETE", "/api/thing")
    assert server.count("DELETE", "/api/thing") == 2


def test_a_delete_that_finds_nothing_after_one_that_was_not_applied(server: ScriptedPlatform, session: Session) -> None:
    server.on("POST", "/api/auth/login", Reply(503), server.tokens())
    server.on("DELETE", "/api/thing", Reply(429), NOT_FOUND)
    with pytest.raises(NotFound):
        session.request("DELETE", "/api/thing")
    assert server.count("DELETE", "/api/thing") == 2


def test_a_delete_that_finds_nothing_at_first_says_so(server: ScriptedPlatform, session: Session) -> None:
    with pytest.raises(NotFound):
        session.request("DELETE", "/api/thing")


def test_a_request_that_waits_for_a_login_was_not_sent(server: ScriptedPlatform, session: Session) -> None:
    server.on("POST", "/api/auth/login", DROP, Reply(504), server.tokens())
    server.on("POST", "/api/thing", THING)
    assert session.request("POST", "/api/thing", json={}, expect=dict) == {"a": 1}
    assert (len(server.logins), server.count("POST", "/api/thing")) == (3, 1)


def test_login_and_request_share_the_attempts(server: ScriptedPlatform, session: Session) -> None:
    server.on("POST", "/api/auth/login", Reply(503), Reply(503), server.tokens())
    server.on("GET", "/api/thing", Reply(503))
    with pytest.raises(ServerFault):
        get(session)
    assert (len(server.logins), server.count("GET", "/api/thing")) == (3, 2)


@pytest.mark.parametrize(
    ("error", "retriable", "outcome_unknown"),
    [
        (PlatformUnreachable("No connection.", sent=False), True, False),
        (PlatformUnreachable("The connection broke.", sent=True), True, True),
        (PlatformUnreachable("No TLS.", sent=False, tls=True), False, False),
        (RateLimited("Too many requests.", status=429), True, False),
        (ServerFault("Bad gateway.", status=502), True, True),
        (ServerFault("The server failed.", status=500), False, False),
        (NotFound("Not found.", status=404), False, False),
    ],
)
def test_errors_say_what_may_be_repeated(error: PlatformError, retriable: bool, outcome_unknown: bool) -> None:
    for one in (error, copy.copy(error)):
        assert (one.retriable, one.outcome_unknown, one.during_login) == (retriable, outcome_unknown, False)
        assert one.details == error.details
