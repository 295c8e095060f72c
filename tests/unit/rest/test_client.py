from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import pacifictool.rest
from pacifictool.errors import NotAPlatform, PermissionDenied, SettingsError
from pacifictool.rest import Platform, Session
from pacifictool.settings import KafkaEndpoint, MqttEndpoint, Secret, Settings
from tests.support.scripted_platform import Reply, ScriptedPlatform, platform_error


def settings_for(url: str, password: Secret | None) -> Settings:
    return Settings(
        url=url,
        username="tenant@thingsboard.org",
        password=password,
        mqtt=MqttEndpoint("127.0.0.1", 1883),
        kafka=KafkaEndpoint("127.0.0.1:9092"),
        platform_kafka="127.0.0.1:9092",
    )


def test_connecting_sends_nothing_and_closing_ends_it(server: ScriptedPlatform) -> None:
    with Platform.connect(settings_for(server.url, Secret("tenant"))) as platform:
        assert platform.url == server.url
        assert server.connections == 0
        assert platform.generation() == "1.x"
        assert platform.version is None
    assert len(server.logins) == 1


def test_connecting_without_a_password(server: ScriptedPlatform) -> None:
    with pytest.raises(SettingsError, match="No password"):
        Platform.connect(settings_for(server.url, None))


def test_the_generation_is_asked_once(server: ScriptedPlatform, platform: Platform) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: platform.generation(), range(16))) == {"1.x"}
        assert len({id(forwarding) for forwarding in pool.map(lambda _: platform.forwarding, range(16))}) == 1
    assert server.count("GET", "/api/plugins") == 1


def test_a_user_who_may_not(server: ScriptedPlatform, platform: Platform) -> None:
    server.on("GET", "/api/plugins", platform_error(403, "You don't have permission to perform this operation!", 20))
    with pytest.raises(PermissionDenied) as caught:
        platform.generation()
    assert caught.value.hint == "Log in as a tenant administrator (--username)."


def test_a_response_that_no_platform_gives(server: ScriptedPlatform, platform: Platform) -> None:
    server.on("GET", "/api/plugins", Reply(body=b"<html>", content_type="text/html"))
    with pytest.raises(NotAPlatform):
        platform.generation()


def test_requests_of_ones_own(platform: Platform, session: Session, server: ScriptedPlatform) -> None:
    server.on("GET", "/api/anything", Reply(json=[1]))
    assert platform.session is session
    assert platform.session.request("GET", "/api/anything", expect=list) == [1]


def test_the_public_surface_is_complete_and_deliberate() -> None:
    exported = set(pacifictool.rest.__all__)
    modules = {path.stem for path in Path(pacifictool.rest.__file__).parent.iterdir()}
    visible = {name for name in vars(pacifictool.rest) if not name.startswith("_")} - modules - {"annotations"}
    assert visible == exported
    assert list(pacifictool.rest.__all__) == sorted(
        exported, key=lambda name: (not name.isupper(), name[0].islower(), name)
    )
    assert all(getattr(pacifictool.rest, name).__doc__ for name in exported if not name.isupper())
