from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from email.utils import formatdate

import pytest

from pacifictool.errors import AuthenticationFailed, NotAPlatform, SettingsError
from pacifictool.rest import Platform, Session
from pacifictool.settings import Secret
from tests.support.rest import QUICK
from tests.support.scripted_platform import Reply, ScriptedPlatform, platform_error

KEY = "tb_GlPiZV0J41PHMhJI-must-not-show"


@pytest.fixture
def keyed(server: ScriptedPlatform) -> Iterator[Session]:
    server.on("GET", "/api/system/info", Reply(json={"version": "4.3.1"}))
    server.on("GET", "/api/anything", Reply(json={}))
    session = Session(server.url, api_key=Secret(KEY), retry=QUICK)
    yield session
    session.close()


def test_a_key_takes_the_place_of_a_login(server: ScriptedPlatform, keyed: Session) -> None:
    keyed.request("GET", "/api/anything")
    assert Platform(keyed).generation() == "4.x"
    assert {request.headers["x-authorization"] for request in server.requests} == {f"ApiKey {KEY}"}
    assert (server.logins, server.refreshes) == ([], [])


@pytest.mark.parametrize("words", ["Invalid username or password", "User account is not active"])
def test_a_key_that_is_refused(server: ScriptedPlatform, keyed: Session, words: str) -> None:
    server.on("GET", "/api/anything", platform_error(401, words, 10))
    with pytest.raises(AuthenticationFailed) as caught:
        keyed.request("GET", "/api/anything")
    assert caught.value.message == (
        f"The platform at {server.url} refused GET /api/anything with the API key: {words}."
    )
    assert "expired or been deleted" in str(caught.value.hint)
    assert (server.count("GET", "/api/anything"), server.logins) == (1, [])
    assert KEY not in str(caught.value.as_document())


def test_a_server_that_knows_no_keys_sends_to_its_login_page(server: ScriptedPlatform, keyed: Session) -> None:
    server.on("GET", "/api/anything", Reply(302, headers={"Location": "/login"}))
    with pytest.raises(AuthenticationFailed, match="it redirects to /login") as caught:
        keyed.request("GET", "/api/anything")
    assert "since platform 4.3" in str(caught.value.hint)


def test_another_redirect_is_what_it_is(server: ScriptedPlatform, keyed: Session) -> None:
    server.on("GET", "/api/anything", Reply(301, headers={"Location": "https://127.0.0.1/api/anything"}))
    with pytest.raises(NotAPlatform):
        keyed.request("GET", "/api/anything")


def test_the_servers_clock_is_that_of_its_responses(server: ScriptedPlatform, keyed: Session) -> None:
    server.on("GET", "/api/auth/user", Reply(json={}, headers={"Date": formatdate(time.time() - 5000, usegmt=True)}))
    assert abs(time.time() * 1000 - keyed.server_time_ms()) < 1000
    keyed.log_in()
    keyed.log_in()
    assert server.count("GET", "/api/auth/user") == 1
    # The response has a Date of the test's and one of the server's own; whichever counts, it is never ahead.
    assert keyed.server_time_ms() <= time.time() * 1000


def test_neither_user_nor_key(server: ScriptedPlatform) -> None:
    with pytest.raises(SettingsError, match="or an API key"):
        Session(server.url)


def test_no_key_ever_shows(keyed: Session, open_session: Callable[..., Session]) -> None:
    assert KEY not in repr(vars(keyed)) + repr(vars(keyed._auth))
