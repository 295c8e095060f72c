from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pacifictool.errors import NotAPlatform, PermissionDenied, PlatformError, SettingsError, UnexpectedAnswer
from pacifictool.rest import Platform, Session
from pacifictool.rest.forwarding import PluginRuleForwarding, RuleChainForwarding
from pacifictool.rest.paging import NumberPaging, TextPaging
from pacifictool.server_version import ServerVersion, parse_server_version
from tests.support.scripted_platform import Reply, Request, ScriptedPlatform, platform_error

FORBIDDEN = platform_error(403, "You don't have permission to perform this operation!", 20)


def rule_chains_of_2(request: Request) -> Reply:
    assert request.query["limit"] == "1"
    return Reply(json={"data": [{}], "nextPageLink": None, "hasNext": False})


def rule_chains_of_3(request: Request) -> Reply:
    assert (request.query["pageSize"], request.query["page"]) == ("1", "0")
    return Reply(json={"data": [{}], "totalPages": 1, "totalElements": 1, "hasNext": False})


@pytest.fixture
def bare(server: ScriptedPlatform) -> ScriptedPlatform:
    """A platform without plugins."""
    server.on("GET", "/api/plugins", Reply(404))
    return server


def test_the_first_generation_costs_two_requests(server: ScriptedPlatform, platform: Platform) -> None:
    assert (platform.generation(), platform.version) == ("1.x", None)
    assert isinstance(platform.forwarding, PluginRuleForwarding)
    assert [request.path for request in server.requests] == ["/api/system/info", "/api/plugins"]


@pytest.mark.parametrize(
    ("stated", "generation"),
    [("3.3.3", "3.x"), ("3.6.4PE", "3.x"), ("4.0.0-SNAPSHOT", "4.x"), ("4.3.1.2", "4.x"), ("5.0", "5.x")],
)
def test_a_server_that_tells_its_version_is_asked_once(
    bare: ScriptedPlatform, platform: Platform, stated: str, generation: str
) -> None:
    bare.on("GET", "/api/system/info", Reply(json={"version": stated, "artifact": "application", "type": "CE"}))
    assert (platform.generation(), platform.version) == (generation, stated)
    assert isinstance(platform.forwarding, RuleChainForwarding)
    assert isinstance(platform._paging(), NumberPaging)
    assert len(bare.requests) == 1


@pytest.mark.parametrize(
    ("response", "generation", "paging"),
    [(rule_chains_of_2, "2.x", TextPaging), (rule_chains_of_3, "3.x", NumberPaging)],
)
def test_servers_in_between_are_distinguished_by_their_pages(
    bare: ScriptedPlatform,
    platform: Platform,
    response: Callable[[Request], Reply],
    generation: str,
    paging: type[Any],
) -> None:
    bare.on("GET", "/api/ruleChains", response)
    assert (platform.generation(), platform.version) == (generation, None)
    assert isinstance(platform._paging(), paging)
    assert len(bare.requests) == 3


@pytest.mark.parametrize("text", ["1.4", "1.x", "2.5.6", "3", "4.3.1"])
def test_a_version_that_the_user_says_is_believed(server: ScriptedPlatform, session: Session, text: str) -> None:
    platform = Platform(session, server_version=parse_server_version(text))
    assert (platform.generation(), platform.version) == (f"{text[0]}.x", text)
    assert server.connections == 0


@pytest.mark.parametrize(
    "response",
    [
        Reply(404),
        platform_error(400, "Parameter conditions not met", 31),
        Reply(json={"data": []}),
        Reply(json=[]),
        Reply(json={"totally": "different"}),
    ],
)
def test_what_responses_as_no_version_does(bare: ScriptedPlatform, platform: Platform, response: Reply) -> None:
    bare.on("GET", "/api/ruleChains", response)
    with pytest.raises(PlatformError, match="is of no known version") as caught:
        platform.generation()
    assert caught.value.hint is not None
    assert "--server-version" in caught.value.hint


@pytest.mark.parametrize("version", [None, 4, "", "new", "1.4", "0.9"])
def test_a_version_that_is_none(bare: ScriptedPlatform, platform: Platform, version: object) -> None:
    bare.on("GET", "/api/system/info", Reply(json={"version": version}))
    with pytest.raises(UnexpectedAnswer, match="does not give a known version"):
        platform.generation()


@pytest.mark.parametrize("location", ["/login", "http://127.0.0.1/login?error", "/oauth2/login/page"])
def test_a_redirect_to_a_login_page_is_not_followed(
    server: ScriptedPlatform, platform: Platform, location: str
) -> None:
    server.on("GET", "/api/system/info", Reply(302, headers={"Location": location}))
    with pytest.raises(NotAPlatform, match="to the login page") as caught:
        platform.generation()
    assert "X-Authorization" in str(caught.value.hint)
    assert [request.path for request in server.requests] == ["/api/system/info"]


def test_the_words_of_the_first_generation_for_an_unknown_path(server: ScriptedPlatform, platform: Platform) -> None:
    spring = {"timestamp": 1795476933092, "status": 404, "error": "Not Found", "path": "/api/system/info"}
    server.on("GET", "/api/system/info", Reply(404, json=spring))
    assert platform.generation() == "1.x"


@pytest.mark.parametrize("path", ["/api/system/info", "/api/plugins", "/api/ruleChains"])
def test_users_who_may_not_see_the_tenant(server: ScriptedPlatform, platform: Platform, path: str) -> None:
    server.on("GET", "/api/plugins", Reply(404))
    server.on("GET", path, FORBIDDEN)
    with pytest.raises(PermissionDenied) as caught:
        platform.generation()
    assert caught.value.hint == "Log in as a tenant administrator (--username)."


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("4.3.1", (4, 3, 1)),
        ("3.6.4PE", (3, 6, 4)),
        ("4.0.0-SNAPSHOT", (4, 0, 0)),
        ("2.x", (2,)),
        ("2.5.x", (2, 5)),
        ("3", (3,)),
        (" 1.4 ", (1, 4)),
    ],
)
def test_versions_as_people_and_servers_write_them(text: str, numbers: tuple[int, ...]) -> None:
    version = ServerVersion.parse(text)
    assert version is not None
    assert (version.numbers, str(version)) == (numbers, text.strip())


def test_versions_are_compared_number_by_number() -> None:
    version = parse_server_version("3.3.2")
    assert version.at_least(3)
    assert version.at_least(3, 3)
    assert version.at_least(3, 3, 2, 0)
    assert not version.at_least(3, 3, 3)
    assert not version.at_least(4)
    assert parse_server_version("3.10").at_least(3, 9, 1)
    assert parse_server_version("3.x").at_least(3, 0, 0)


@pytest.mark.parametrize(
    "text", ["", "x", "four", "4..3", "4.3.1 beta", "0.1", "-1", "4.3.1\n2", "99999.1", "1.2.3.4.5"]
)
def test_texts_that_are_no_versions(text: str) -> None:
    with pytest.raises(SettingsError, match="is not a version"):
        parse_server_version(text)
