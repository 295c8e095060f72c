from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pacifictool.local.client_login import at_running_sandbox, with_sandbox_login
from pacifictool.local.daemon import write_state
from pacifictool.runtime.own_folder import SANDBOX, claim
from pacifictool.settings import RUNNING_SANDBOX, Settings, Sources, resolve

PORT = 29092


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a sandbox whose daemon is this process."""
    folder = tmp_path / "sandbox"
    folder.mkdir()
    claim(folder, SANDBOX)
    config = folder / "kafka-client.properties"
    config.write_text("security.protocol=SASL_PLAINTEXT\nsasl.password=secret\n")
    write_state(folder, url="http://127.0.0.1:1", mqtt="127.0.0.1:2", kafka=f"127.0.0.1:{PORT}", kafka_config=config)
    return folder


def settings(tmp_path: Path, bootstrap: str, **properties: str) -> Settings:
    flags = {"kafka": bootstrap, "kafka_properties": {k.replace("_", "."): v for k, v in properties.items()}}
    return resolve(Sources(flags, {}, tmp_path, tmp_path / "none.toml", lambda: ""))


@pytest.mark.parametrize("bootstrap", [f"localhost:{PORT}", f"127.0.0.1:{PORT}", f"[::1]:{PORT},localhost:{PORT}"])
def test_the_login_of_the_running_sandbox_is_found(folder: Path, tmp_path: Path, bootstrap: str) -> None:
    found = with_sandbox_login(settings(tmp_path, bootstrap, client_id="mine"), folder).kafka
    assert found.config == {"security.protocol": "SASL_PLAINTEXT", "sasl.password": "secret", "client.id": "mine"}
    assert found.bootstrap == bootstrap


@pytest.mark.parametrize(
    ("bootstrap", "properties"),
    [
        ("localhost:9092", {}),
        (f"kafka.example:{PORT}", {}),
        (f"localhost:{PORT},kafka.example:{PORT}", {}),
        (f"localhost:{PORT}", {"security_protocol": "PLAINTEXT"}),
        (f"localhost:{PORT}", {"sasl_username": "me"}),
    ],
)
def test_other_brokers_and_given_security_are_left_alone(
    folder: Path, tmp_path: Path, bootstrap: str, properties: dict[str, str]
) -> None:
    given = settings(tmp_path, bootstrap, **properties)
    assert with_sandbox_login(given, folder) == given


@pytest.mark.parametrize("what", ["ended", "shared", "damaged", "foreign"])
def test_a_sandbox_that_is_none_of_ours_or_asks_for_nothing_gives_no_login(
    folder: Path, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = folder / "sandbox.json"
    document = json.loads(state.read_text())
    if what == "ended":
        state.write_text(json.dumps({**document, "process_created": 1.0}))
    elif what == "shared":
        state.write_text(json.dumps({**document, "kafka_config": None}))
    elif what == "damaged":
        state.write_text("[]")
    else:
        mine = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    given = settings(tmp_path, f"localhost:{PORT}")
    assert with_sandbox_login(given, folder) == given


def unconfigured(tmp_path: Path, **flags: str) -> Settings:
    return resolve(Sources(flags, {}, tmp_path, tmp_path / "none.toml", lambda: ""))


def test_without_any_address_the_running_sandbox_is_used(folder: Path, tmp_path: Path) -> None:
    found = at_running_sandbox(unconfigured(tmp_path), folder)
    assert found.origin("url") is RUNNING_SANDBOX
    assert (found.url, str(found.mqtt), found.kafka.bootstrap) == (
        "http://127.0.0.1:1",
        "mqtt://127.0.0.1:2",
        f"127.0.0.1:{PORT}",
    )
    assert found.platform_kafka == found.kafka.bootstrap
    assert with_sandbox_login(found, folder).kafka.config["sasl.password"] == "secret"


@pytest.mark.parametrize(
    "flags",
    [{"url": "http://localhost:8080"}, {"mqtt": "localhost:1883"}, {"kafka": "localhost:9092"}, {"url": "http://a.b"}],
    ids=str,
)
def test_one_configured_address_is_enough_to_leave_the_sandbox_alone(
    folder: Path, tmp_path: Path, flags: dict[str, str]
) -> None:
    given = unconfigured(tmp_path, **flags)
    assert at_running_sandbox(given, folder) == given


def test_a_sandbox_that_ended_is_not_used(folder: Path, tmp_path: Path) -> None:
    state = folder / "sandbox.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "process_created": 1.0}))
    given = unconfigured(tmp_path)
    assert at_running_sandbox(given, folder) == given


def test_files_of_a_login_are_for_this_user_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_state(tmp_path, url="u", mqtt="m", kafka="k:1")
    finally:
        os.umask(before)
    assert (tmp_path / "sandbox.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["sandbox.json"]
