"""The source of each setting, as `doctor` and `-v` show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import CommandLine, Outcome

PASSWORD = "password-that-is-not-shown"


@pytest.fixture
def run(command_line: CommandLine, tmp_path: Path) -> Any:
    """Runs a command with a setting from each source; nothing responds."""
    (tmp_path / "pacifictool.toml").write_text('kafka = "127.0.0.1:1"\n[kafka_properties]\n"client.id" = "x"\n')
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "config.toml").write_text('mqtt = "127.0.0.1:2"\n')

    def call(*arguments: str) -> Outcome:
        return command_line(
            *arguments, "--url", "http://127.0.0.1:3", environ={"PACIFICTOOL_PASSWORD": PASSWORD, "REST_USERNAME": "me"}
        )

    return call


def expected(tmp_path: Path) -> dict[str, tuple[str | None, str, str]]:
    folder_file = str(tmp_path / "pacifictool.toml")
    return {
        "url": ("http://127.0.0.1:3", "flag", "--url"),
        "username": ("me", "environment", "REST_USERNAME"),
        "password": (None, "environment", "PACIFICTOOL_PASSWORD"),
        "mqtt": ("127.0.0.1:2", "user-file", str(tmp_path / "user" / "config.toml")),
        "kafka": ("127.0.0.1:1", "folder-file", folder_file),
        "platform_kafka": ("127.0.0.1:1", "folder-file", folder_file),
        "kafka_properties.client.id": (None, "folder-file", folder_file),
    }


def test_doctor_tells_scripts_where_settings_came_from(run: Any, tmp_path: Path) -> None:
    outcome = run("doctor", "-o", "json")
    found = {
        setting["name"]: (setting["value"], setting["source"]["kind"], setting["source"]["name"])
        for setting in outcome.document["settings"]
    }
    assert found == expected(tmp_path)
    assert PASSWORD not in outcome.stdout + outcome.stderr


@pytest.mark.parametrize("command", [("doctor",), ("device", "list", "-v")], ids=["doctor", "any command with -v"])
def test_people_are_informed_too(command: tuple[str, ...], run: Any, tmp_path: Path) -> None:
    outcome = run(*command)
    shown = "".join((outcome.stdout + outcome.stderr).split())
    for name, (value, _, source) in expected(tmp_path).items():
        assert name in shown
        assert f"(from{source})" in shown
        assert value is None or value in shown
    assert PASSWORD not in shown
