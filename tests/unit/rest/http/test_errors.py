from __future__ import annotations

from typing import Any

import pytest

from pacifictool.errors import (
    AlreadyExists,
    InvalidRequest,
    NotAPlatform,
    NotFound,
    PermissionDenied,
    PlatformError,
    PlatformUnreachable,
    ServerFault,
    UnexpectedAnswer,
)
from pacifictool.rest import Session
from tests.support.rest import SPRING_500, OpenSession, get
from tests.support.scripted_platform import (
    NOT_FOUND,
    Reply,
    ScriptedPlatform,
    platform_error,
)


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


def test_nobody_listens(open_session: OpenSession, reporter: Any, free_port: int) -> None:
    session = open_session(f"http://127.0.0.1:{free_port}")
    with pytest.raises(PlatformUnreachable) as caught:
        session.request("POST", "/api/thing", json={})
    assert "connection refused" in caught.value.message
    assert caught.value.details["sent"] is False
    assert len(reporter.details) == 3  # four attempts: it does not wait for the login twice


def test_a_host_without_an_address(open_session: OpenSession) -> None:
    with pytest.raises(PlatformUnreachable, match="cannot be found"):
        get(open_session("http://nosuch.invalid:8080"))


def test_something_that_does_not_speak_http(server: ScriptedPlatform, session: Session) -> None:
    server.on("POST", "/api/auth/login", Reply(raw=b"SSH-2.0-OpenSSH_9.6\r\n"))
    with pytest.raises(NotAPlatform, match="does not speak HTTP"):
        get(session)
