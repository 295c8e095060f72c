"""What a folder's file may say next to the user's own settings; tests/security tries hostile ones as whole commands."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pacifictool.errors import SettingsError
from pacifictool.settings import Level, Secret, Settings, Sources, check_device_token, may_ask_platforms_kafka, resolve
from pacifictool.settings.files import read_folder_file
from pacifictool.settings.kafka_policy import FOLDER_SECURITY, FOLDER_TUNING, is_secret, refuse_code, refuse_in_folder

SASL = {"sasl.username": "me", "sasl.password": "hidden"}


class User:
    """A user with files, and a folder."""

    def __init__(self, root: Path) -> None:
        self.folder, self.file = root / "folder", root / "user" / "config.toml"
        self.folder.mkdir()
        self.file.parent.mkdir()

    def settings(
        self,
        in_folder: str = "",
        in_user_file: str = "",
        flags: Mapping[str, Any] | None = None,
        **environ: str,
    ) -> Settings:
        (self.folder / "pacifictool.toml").write_text(in_folder)
        self.file.write_text(in_user_file)
        return resolve(Sources(flags or {}, environ, self.folder, self.file, lambda: "from stdin"))


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


def test_the_users_own_sources_go_together_in_any_way(user: User) -> None:
    (user.file.parent / "pw").write_text("pw")
    address = 'url = "http://host"\n'
    assert user.settings("", address, PACIFICTOOL_PASSWORD="pw").password == Secret("pw")
    assert user.settings("", address, {"password_file": "-"}).password == Secret("from stdin")
    assert user.settings("", 'password_file = "pw"\n', PACIFICTOOL_URL="http://host").password == Secret("pw")
    kafka = {"kafka_properties": SASL}
    assert user.settings("", 'kafka = "host:1"\n', kafka).kafka.config == SASL


def test_what_both_files_say_is_the_users_word(user: User) -> None:
    same = 'url = "http://host"\nkafka = "host:1"\n'
    found = user.settings(same, same, {"kafka_properties": SASL}, PACIFICTOOL_PASSWORD="pw")
    assert found.origin("url").level is found.origin("kafka").level is Level.USER_FILE
    with pytest.raises(SettingsError):
        user.settings(same, 'url = "http://other"\n', PACIFICTOOL_PASSWORD="pw")


def test_what_holds_anyway_is_no_decision(user: User) -> None:
    default = 'url = "http://localhost:8080"\nkafka = "localhost:9092"\n'
    found = user.settings(default, "", {"kafka_properties": SASL}, PACIFICTOOL_PASSWORD="pw")
    assert found.origin("url").level is found.origin("kafka").level is Level.DEFAULT
    for own in ('url = "http://other"\n', 'kafka = "other:1"\n'):
        with pytest.raises(SettingsError):
            user.settings(default, own, {"kafka_properties": SASL}, PACIFICTOOL_PASSWORD="pw")


def test_saying_it_oneself_is_the_way_on(user: User) -> None:
    in_folder = 'url = "http://evil"\nmqtt = "mq"\nusername = "x"\n'
    with pytest.raises(SettingsError) as caught:
        user.settings(in_folder, PACIFICTOOL_PASSWORD="pw")
    error = caught.value
    assert error.message == (
        f"{user.folder}/pacifictool.toml decides url, username and mqtt, so that the password from PACIFICTOOL_PASSWORD"
        " would be sent where this file says; it is not."
    )
    assert error.details["settings"] == ["url", "username", "mqtt"]
    for way in ("--url (or PACIFICTOOL_URL)", "--username (or PACIFICTOOL_USERNAME)", "--mqtt (or PACIFICTOOL_MQTT)"):
        assert way in str(error.hint)
    own = {"url": "http://evil", "mqtt": "mq", "username": "x"}
    assert user.settings(in_folder, "", own, PACIFICTOOL_PASSWORD="pw").password == Secret("pw")


def test_a_folder_with_a_login_of_its_own_needs_nobody(user: User) -> None:
    (user.folder / "pw").write_text("own\n")
    (user.folder / "ca.pem").write_text("")
    found = user.settings(
        'url = "https://evil"\nmqtt = "mq"\nusername = "x"\npassword_file = "pw"\nca_file = "ca.pem"\n'
        '[kafka_properties]\n"sasl.username" = "me"\n"sasl.password" = "own"\n"security.protocol" = "SASL_SSL"\n'
    )
    assert found.password == Secret("own")
    assert found.origin("password").name == f"password_file in {user.folder}/pacifictool.toml"


def test_a_folders_login_wins_over_the_users_file_and_neither_secret_crosses(user: User) -> None:
    (user.folder / "pw").write_text("own")
    (user.file.parent / "key").write_text("tb_users")
    found = user.settings('url = "http://evil"\nusername = "x"\npassword_file = "pw"\n', 'api_key_file = "key"\n')
    assert (found.password, found.api_key) == (Secret("own"), None)


def test_the_published_password_needs_no_trust_on_this_machine(user: User) -> None:
    found = user.settings('url = "http://127.0.0.1:8081"\nmqtt = "127.0.0.1:1884"\n')
    assert found.require_password() == Secret("tenant")
    assert user.settings('url = "http://evil"\n').password is None
    with pytest.raises(SettingsError, match="access tokens of the devices"):
        user.settings('url = "http://127.0.0.1:8081"\nmqtt = "evil"\n')


def test_a_login_that_will_be_typed_is_kept_from_another_authority_and_broker(user: User) -> None:
    (user.folder / "ca.pem").write_text("")
    for in_folder in ('ca_file = "ca.pem"\n', 'mqtt = "evil"\n'):
        with pytest.raises(SettingsError, match="what belongs to https://host"):
            user.settings(in_folder, PACIFICTOOL_URL="https://host")


def test_a_client_certificate_is_not_shown_to_the_folders_server(user: User) -> None:
    (user.file.parent / "key.pem").write_text("")
    own = 'key_file = "key.pem"\ncert_file = "key.pem"\n'
    for in_folder in ('url = "https://evil"\n', 'mqtt = "mqtts://evil"\nurl = "http://evil"\n'):
        with pytest.raises(SettingsError, match="the client certificate from"):
            user.settings(in_folder, own)
    assert user.settings('url = "http://127.0.0.1:8081"\n', own).tls_files.key_file is not None


def test_a_device_token_of_the_users_does_not_go_to_the_folders_broker(user: User) -> None:
    with pytest.raises(SettingsError, match="the access token from --token"):
        check_device_token(user.settings('mqtt = "127.0.0.1"\n'), "--token")
    check_device_token(user.settings('kafka = "127.0.0.1:1"\n'), "--token")


def test_kafka_without_secrets_may_be_the_folders(user: User) -> None:
    found = user.settings(
        'kafka = "host:1"\n[kafka_properties]\n"client.id" = "x"\n', "", {"kafka_properties": {"acks": "1"}},
        PACIFICTOOL_PASSWORD="pw",
    )  # fmt: skip
    assert (found.kafka.bootstrap, dict(found.kafka.config)) == ("host:1", {"client.id": "x", "acks": "1"})


def test_a_kafka_login_does_not_follow_what_a_platform_of_the_folders_names(user: User) -> None:
    kafka = {"kafka_properties": SASL}
    assert not may_ask_platforms_kafka(user.settings('url = "http://127.0.0.1"\n', "", kafka))
    assert may_ask_platforms_kafka(user.settings('url = "http://127.0.0.1"\n'))
    assert may_ask_platforms_kafka(user.settings("", 'url = "http://127.0.0.1"\n', kafka))


def test_tuning_may_be_the_folders_beside_a_secret_and_security_may_not(user: User) -> None:
    kafka = {"kafka_properties": SASL}
    table = "[kafka_properties]\n"
    found = user.settings(f'{table}"linger.ms" = 5\n', "", kafka)
    assert dict(found.kafka.config) == {"linger.ms": "5", **SASL}
    for name in ("security.protocol", "sasl.mechanism", "ssl.ca.pem"):
        with pytest.raises(SettingsError, match=f"decides {name}, so that sasl.password from -X"):
            user.settings(f'{table}"{name}" = "x"\n', "", kafka)


def test_the_folder_does_not_change_how_the_users_connection_is_protected(user: User) -> None:
    ssl = '[kafka_properties]\n"security.protocol" = "SSL"\n'
    with pytest.raises(SettingsError, match=r"which .*config\.toml sets, too"):
        user.settings(ssl.replace("SSL", "PLAINTEXT"), ssl)
    given = {"kafka_properties": {"security.protocol": "SASL_SSL"}}
    assert user.settings(ssl.replace("SSL", "PLAINTEXT"), ssl, given).kafka.config == given["kafka_properties"]
    assert user.settings(ssl, ssl).origin("kafka_properties.security.protocol").level is Level.USER_FILE


@pytest.mark.parametrize(
    "value", ["key.pem", "../../user/key.pem", "~/key.pem", "~nosuchuser/key.pem", "/etc/hostname"]
)
def test_a_path_in_the_folders_properties_file_does_not_lead_out(value: str, user: User) -> None:
    below = user.folder / "below"
    below.mkdir()
    (user.file.parent / "key.pem").write_text("")
    (user.folder / "key.pem").write_text("")
    (below / "key.pem").symlink_to(user.file.parent / "key.pem")
    (below / "kafka.properties").write_text(f"ssl.key.location={value}\n")
    in_folder = 'kafka_config = "below/kafka.properties"\n'
    if value.startswith("~nosuch"):  # the name of a file, then
        assert user.settings(in_folder).kafka.config["ssl.key.location"] == str(below / value)
    else:
        with pytest.raises(SettingsError, match=r"ssl\.key\.location names .* outside of the folder"):
            user.settings(in_folder)


def test_a_mirror_with_a_password_is_not_shown(user: User) -> None:
    found = user.settings(PACIFICTOOL_JARS_MIRROR="https://me:hidden@mirror")
    assert found.sources["jars_mirror"].value is None


def test_every_setting_has_a_source(user: User) -> None:
    (user.file.parent / "pw").write_text("hidden")
    found = user.settings(
        'kafka = "host:1"\n[kafka_properties]\n"client.id" = "x"\n',
        'username = "me"\npassword_file = "pw"\n',
        {"url": "http://host"},
        MQTT_HOST="mq",
        REST_URL="http://other",
    )
    sources = {name: (source.value, str(source.origin)) for name, source in found.sources.items()}
    folder_file = str(user.folder / "pacifictool.toml")
    assert sources == {
        "url": ("http://host", "--url"),
        "username": ("me", str(user.file)),
        "password": (None, f"password_file in {user.file}"),
        "mqtt": ("mqtt://mq:1883", "MQTT_HOST"),
        "kafka": ("host:1", folder_file),
        "platform_kafka": ("host:1", folder_file),
        "kafka_properties.client.id": (None, folder_file),
    }
    document = found.sources["kafka"].as_document()
    assert document == {"name": "kafka", "value": "host:1", "source": {"kind": "folder-file", "name": folder_file}}
    assert "hidden" not in repr(found)


def test_a_file_of_somebody_elses_is_refused(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    (user.folder / "pacifictool.toml").write_text("")
    mine = (user.folder / "pacifictool.toml").stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    if mine != 0:  # root's files are taken from root
        with pytest.raises(SettingsError, match="belongs to another user"):
            read_folder_file(user.folder)
    else:
        assert read_folder_file(user.folder) == {}
        os.chown(user.folder / "pacifictool.toml", 4711, -1)
        with pytest.raises(SettingsError, match=r"belongs to another user \(id 4711\)"):
            read_folder_file(user.folder)


@pytest.mark.parametrize(
    "name",
    [
        "plugin.library.paths", "Plugin.Library.Paths ", "ssl.engine.location", "ssl.engine.id", "ssl.engine.factory.class",
        "ssl.providers", "security.providers", "sasl.kerberos.kinit.cmd", "sasl.login.class",
        "sasl.login.callback.handler.class", "interceptor.classes", "metric.reporters", "config.providers",
        "config.providers.file.class", "key.deserializer", "value.serializer", "partitioner.class",
        "sasl.oauthbearer.assertion.private.key.file", "sasl.oauthbearer.assertion.file",
        "sasl.oauthbearer.jwt.retriever.class", "offset.store.path", "error_cb", "sasl.jaas.config",
    ],
)  # fmt: skip
def test_code_is_refused_from_everywhere(name: str, user: User) -> None:
    with pytest.raises(SettingsError, match=name.strip().split(".")[0]):
        user.settings("", "", {"kafka_properties": {name: "x"}})
    with pytest.raises(SettingsError):
        refuse_in_folder(name, "a file")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sasl.kerberos.principal", "x`touch y`"),
        ("sasl.kerberos.service.name", "$(touch y)"),
        ("sasl.oauthbearer.token.endpoint.url", "file:///etc/passwd"),
        ("partition.assignment.strategy", "evil.Assignor"),
    ],
)
def test_values_that_would_run_or_read_something_are_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        refuse_code(name, value, "-X")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sasl.kerberos.principal", "job/host.example.com@EXAMPLE.COM"),
        ("sasl.oauthbearer.token.endpoint.url", "https://login.example.com/token"),
        ("sasl.oauthbearer.client.secret", "x y;z"),
        ("partition.assignment.strategy", "range,roundrobin"),
        ("partitioner", "murmur2_random"),
        ("ssl.keystore.location", "store.p12"),
        ("group.id", "x"),
    ],
)
def test_what_a_user_may_say(name: str, value: str) -> None:
    refuse_code(name, value, "-X")


def test_the_documentation_lists_what_the_folders_file_may_set() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    section = page.partition("### From the folder's file")[2].partition("Everything else")[0]
    assert set(re.findall(r"`([a-z.]+)`", section)) == FOLDER_TUNING | FOLDER_SECURITY


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sasl.password", True), ("ssl.key.location", True), ("ssl.keystore.password", True), ("client.id", False),
     ("sasl.oauthbearer.client.secret", True), ("security.protocol", False), ("ssl.ca.location", False)],
)  # fmt: skip
def test_secrets_are_known_by_name(name: str, expected: bool) -> None:
    assert is_secret(name) is expected
