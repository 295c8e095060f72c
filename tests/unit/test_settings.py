from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pacifictool.errors import SettingsError
from pacifictool.settings import Secret, Settings, Sources, is_loopback, parse_kafka, parse_mqtt, parse_url, resolve


def settings(
    tmp_path: Path, flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, stdin: str = ""
) -> Settings:
    return resolve(Sources(flags or {}, environ or {}, tmp_path, tmp_path / "user" / "config.toml", lambda: stdin))


def test_defaults_are_those_of_the_tutorial(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert found.url == "http://localhost:8080"
    assert found.username == "tenant@thingsboard.org"
    assert found.require_password().reveal() == "tenant"
    assert str(found.mqtt) == "mqtt://localhost:1883"
    assert found.kafka.bootstrap == found.platform_kafka == "localhost:9092"


def test_precedence_is_flag_environment_project_file_user_file(tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "config.toml").write_text(
        'url = "http://user"\nusername = "user"\nkafka = "user:1"\nmqtt = "user"\n'
    )
    (tmp_path / "pacifictool.toml").write_text('url = "http://project"\nusername = "project"\nkafka = "project:1"\n')
    environ = {"PACIFICTOOL_URL": "http://environment", "PACIFICTOOL_USERNAME": "environment"}
    found = settings(tmp_path, {"url": "http://flag"}, environ)
    assert (found.url, found.username) == ("http://flag", "environment")
    assert (found.kafka.bootstrap, found.mqtt.host) == ("project:1", "user")


def test_the_tutorials_variables_are_understood_and_come_second(tmp_path: Path) -> None:
    tutorial = {
        "REST_URL": "http://rest:1",
        "REST_USERNAME": "me",
        "REST_PASSWORD": "pw",
        "MQTT_HOST": "mq",
        "MQTT_PORT": "1884",
        "KAFKA_BOOTSTRAP_SERVERS": "k:1",
    }
    found = settings(tmp_path, environ=tutorial)
    assert (found.url, found.username, found.require_password().reveal()) == ("http://rest:1", "me", "pw")
    assert (str(found.mqtt), found.kafka.bootstrap) == ("mqtt://mq:1884", "k:1")
    assert settings(tmp_path, environ={**tutorial, "PACIFICTOOL_URL": "http://ours"}).url == "http://ours"


def test_the_demo_password_is_assumed_on_loopback_only(tmp_path: Path) -> None:
    assert settings(tmp_path, {"url": "http://example.org"}).password is None
    assert settings(tmp_path, {"username": "boss@example.org"}).password is None
    with pytest.raises(SettingsError, match="No password is known"):
        settings(tmp_path, {"url": "http://example.org"}).require_password()


def test_a_password_comes_from_file_stdin_or_environment(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("from file\n")
    named = {"password_file": str(tmp_path / "pw")}
    environ = {"PACIFICTOOL_PASSWORD": "from environment"}
    assert settings(tmp_path, named, environ).password == Secret("from file")
    assert settings(tmp_path, {"password_file": "-"}, stdin="from stdin\n").password == Secret("from stdin")
    assert settings(tmp_path, environ=environ).password == Secret("from environment")
    (tmp_path / "pacifictool.toml").write_text('password_file = "pw"\n')
    assert settings(tmp_path).password == Secret("from file")
    assert settings(tmp_path, environ=environ).password == Secret("from environment")


def test_an_api_key_comes_from_file_stdin_or_environment(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("tb_from_file\n")
    environ = {"PACIFICTOOL_API_KEY": "tb_from_environment"}
    assert settings(tmp_path).api_key is None
    assert settings(tmp_path, environ=environ).api_key == Secret("tb_from_environment")
    assert settings(tmp_path, {"api_key_file": str(tmp_path / "key")}, environ).api_key == Secret("tb_from_file")
    assert settings(tmp_path, {"api_key_file": "-"}, stdin="tb_stdin\n").api_key == Secret("tb_stdin")
    (tmp_path / "pacifictool.toml").write_text('api_key_file = "key"\n')
    assert settings(tmp_path).api_key == Secret("tb_from_file")
    assert "tb_from" not in repr(settings(tmp_path, environ=environ))


def test_a_user_on_the_command_line_beats_a_key_that_lies_about(tmp_path: Path) -> None:
    environ = {"PACIFICTOOL_API_KEY": "tb_x", "PACIFICTOOL_PASSWORD": "pw"}
    assert settings(tmp_path, {"username": "me@example.org"}, environ).api_key is None
    assert settings(tmp_path, {"password_file": "-"}, environ, stdin="pw").api_key is None
    (tmp_path / "key").write_text("tb_y")
    named = {"username": "me@example.org", "api_key_file": str(tmp_path / "key")}
    assert settings(tmp_path, named, environ).api_key == Secret("tb_y")


def test_the_servers_version(tmp_path: Path) -> None:
    assert settings(tmp_path).server_version is None
    found = settings(tmp_path, environ={"PACIFICTOOL_SERVER_VERSION": "2.5.6"}).server_version
    assert found is not None
    assert (found.numbers, str(found)) == ((2, 5, 6), "2.5.6")


def test_secrets_do_not_show_themselves(tmp_path: Path) -> None:
    found = settings(tmp_path, {"kafka_properties": {"sasl.password": "hidden"}}, {"PACIFICTOOL_PASSWORD": "hidden"})
    assert "hidden" not in repr(found) + str(found.password) + f"{found.password}" + str(found.kafka)


def test_kafka_properties_add_up(tmp_path: Path) -> None:
    (tmp_path / "kafka.properties").write_text("# a comment\nclient.id = file\nlinger.ms=2\n\n")
    (tmp_path / "pacifictool.toml").write_text('[kafka_properties]\n"linger.ms" = 1\n"client.rack" = "toml"\n')
    found = settings(
        tmp_path, {"kafka_config": str(tmp_path / "kafka.properties"), "kafka_properties": {"client.id": "flag"}}
    )
    assert dict(found.kafka.config) == {"client.id": "flag", "linger.ms": "2", "client.rack": "toml"}


def test_paths_in_a_file_are_meant_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "pacifictool.toml").write_text('scenario = "fleet.toml"\n')
    assert settings(tmp_path).scenario_path == tmp_path / "fleet.toml"
    assert settings(tmp_path, {"scenario": "other.toml"}).scenario_path == Path("other.toml")


@pytest.mark.parametrize(
    ("flags", "environ", "file", "complaint"),
    [
        ({"url": "ftp://x"}, {}, "", "not an http or https address"),
        ({"url": "http://"}, {}, "", "not an http or https address"),
        ({"url": "http://a b"}, {}, "", "not an http or https address"),
        ({"url": "http://me:pw@host"}, {}, "", "credentials do not belong"),
        ({"mqtt": "coap://x"}, {}, "", "unknown scheme"),
        ({"mqtt": "host:port"}, {}, "", "not an address"),
        ({"kafka": ","}, {}, "", "no address"),
        ({"kafka": "host:99999"}, {}, "", "not an address"),
        ({}, {"MQTT_PORT": "many"}, "", "not a port"),
        ({"password_file": "nosuch"}, {}, "", "cannot be read"),
        ({"api_key_file": "nosuch"}, {}, "", "The API key file nosuch cannot be read"),
        ({"api_key_file": "-"}, {}, "", "Standard input held no API key"),
        ({"api_key_file": "-", "password_file": "-"}, {}, "", "exclude each other"),
        ({}, {"PACIFICTOOL_API_KEY": "tb_a tb_b"}, "", "holds a blank"),
        ({"server_version": "newest"}, {}, "", "is not a version"),
        ({}, {}, 'api_key = "x"\n', "an API key does not belong in this file"),
        ({"ca_file": "nosuch.pem"}, {}, "", "there is no file"),
        ({"kafka_config": "nosuch"}, {}, "", "cannot be read"),
        ({}, {}, 'url = "x"\nurl = "y"\n', "not valid TOML"),
        ({}, {}, 'colour = "x"\n', "unknown key 'colour'"),
        ({}, {}, 'password = "x"\n', "does not belong in this file"),
        ({}, {}, "url = 5\n", "must be a text"),
    ],
)
def test_unusable_settings_are_refused(
    tmp_path: Path, flags: dict[str, str], environ: dict[str, str], file: str, complaint: str
) -> None:
    (tmp_path / "pacifictool.toml").write_text(file)
    with pytest.raises(SettingsError, match=complaint) as caught:
        settings(tmp_path, flags, environ)
    assert "pw" not in caught.value.message


@pytest.mark.parametrize("option", ["password_file", "api_key_file", "kafka_config"])
def test_the_hint_of_a_file_that_cannot_be_read_says_why(
    tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(tmp_path, {option: "nosuch"}, {})
    assert (caught.value.hint or "").startswith("Check the path given with --")

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)  # root may read everything
    with pytest.raises(SettingsError, match="cannot be read: permission denied") as caught:
        settings(tmp_path, {option: "secret"}, {})
    assert (caught.value.hint or "").startswith("Make it readable")


def test_addresses_are_normalised() -> None:
    assert parse_url("localhost:8080/") == "http://localhost:8080"
    assert str(parse_mqtt("mqtts://host")) == "mqtts://host:8883"
    assert str(parse_mqtt("[::1]:1884")) == "mqtt://[::1]:1884"
    assert parse_kafka(" a , b:1,[::1]:2") == "a:9092,b:1,[::1]:2"


@pytest.mark.parametrize(
    ("host", "expected"), [("localhost", True), ("127.8.0.1", True), ("::1", True), ("10.0.0.1", False), ("x", False)]
)
def test_loopback_is_recognised(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
