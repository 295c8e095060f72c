"""The login that travels to Spark's workers: complete, pickled, and shown nowhere."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest
from pyspark.serializers import CloudPickleSerializer

from pacifictool.errors import SettingsError
from pacifictool.settings import Secret, Settings, Sources, TlsFiles, resolve
from pacifictool.spark.login import PlatformLogin
from pacifictool.spark.source import PlatformSource


def settings(tmp_path: Path, **environ: str) -> Settings:
    return resolve(Sources({}, environ, tmp_path, tmp_path / "none.toml", lambda: ""))


def test_nothing_shows_its_secrets_and_pickling_keeps_them(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("AUTHORITY", encoding="utf-8")
    found = settings(
        tmp_path,
        PACIFICTOOL_URL="https://iot.example:8080",
        PACIFICTOOL_USERNAME="me@example.com",
        PACIFICTOOL_PASSWORD="hunter2",
        PACIFICTOOL_CA_FILE=str(tmp_path / "ca.pem"),
    )
    login = PlatformLogin.of_settings(found)
    assert "hunter2" not in f"{login!r} {login} {vars(PlatformLogin)}"
    again = pickle.loads(pickle.dumps(login))
    assert again == login
    assert again.password == Secret("hunter2")
    assert again.authority == Secret("AUTHORITY")
    files = again._tls_files()
    assert files.ca_file.read_text() == "AUTHORITY"
    assert files.ca_file.parent.stat().st_mode & 0o077 == 0


def test_the_registered_class_takes_its_login_along() -> None:
    class Registered(PlatformSource):
        login = PlatformLogin("http://127.0.0.1:1", "me", Secret("hunter2"))
        parallelism = 3

    serializer: Any = CloudPickleSerializer()
    pickled = serializer.dumps(Registered)
    assert b"hunter2" in pickled  # by value: a worker has no such class
    again = serializer.loads(pickled)
    assert again.login == Registered.login
    assert "hunter2" not in f"{again!r} {again(options={}).__dict__}"


def test_another_address_or_user_gets_no_published_password(tmp_path: Path) -> None:
    login = PlatformLogin.of_settings(settings(tmp_path))
    assert login.password == Secret("tenant")
    assert login.at("http://localhost:9090", None).password == Secret("tenant")
    for changed in (login.at("http://iot.example", None), login.at(None, "me@example.com")):
        assert changed.password is None
        with pytest.raises(SettingsError, match="No password is known for"):
            changed.platform()
    assert login.at("http://iot.example", None).at("http://localhost", None).password == Secret("tenant")


def test_a_password_of_ones_own_is_kept(tmp_path: Path) -> None:
    login = PlatformLogin.of_settings(settings(tmp_path, PACIFICTOOL_PASSWORD="tenant"))
    assert login.at("http://iot.example", "me").password == Secret("tenant")


def test_a_pem_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    bare = dataclasses.replace(settings(tmp_path), tls_files=TlsFiles(ca_file=tmp_path / "none.pem"))
    with pytest.raises(SettingsError, match=r"none\.pem cannot be read"):
        PlatformLogin.of_settings(bare)


def test_a_process_has_one_client_for_each_login() -> None:
    login = PlatformLogin("http://127.0.0.1:1", "me", Secret("x"))
    assert login.platform() is PlatformLogin("http://127.0.0.1:1", "me", Secret("x")).platform()
    assert login.platform() is not PlatformLogin("http://127.0.0.1:1", "me", Secret("y")).platform()
