from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pacifictool.runtime.own_folder import MARKER
from tests.support.command_line import CommandLine, Outcome


@pytest.fixture
def sandbox(program: Callable[..., Outcome], tmp_path: Path) -> Iterator[Callable[..., Outcome]]:
    """`sandbox …` on the test's own folder, each command in its own process; the sandbox outlives them and is stopped at the end."""
    data = tmp_path / "sandbox data"

    def call(command: str, *arguments: str) -> Outcome:
        return program("sandbox", command, "--data", str(data), *arguments, "-o", "json")

    yield call
    call("down")


def variables(state: Any) -> dict[str, str]:
    return {
        "PACIFICTOOL_URL": state["url"],
        "PACIFICTOOL_MQTT": state["mqtt"],
        "PACIFICTOOL_KAFKA": state["kafka"],
        "PACIFICTOOL_KAFKA_CONFIG": state["kafka_config"],
    }


def test_a_sandbox_starts_keeps_its_data_over_a_restart_and_is_emptied_by_reset(
    sandbox: Callable[..., Outcome], program: Callable[..., Outcome], command_line: CommandLine, tmp_path: Path
) -> None:
    missing = sandbox("status")
    assert (missing.code, missing.document["error"]["kind"]) == (1, "sandbox-error")
    assert "sandbox up" in missing.document["error"]["hint"]

    up = sandbox("up", "--free-ports")
    assert up.code == 0, up.stderr
    state = up.document
    assert (state["ok"], state["running"]) == (True, True)
    assert all("127.0.0.1:" in state[name] for name in ("url", "mqtt", "kafka"))
    assert sandbox("status").document == state
    table = program("sandbox", "status", "--data", state["data"]).stdout
    assert table.splitlines()[-1] == (
        f"export PACIFICTOOL_URL={state['url']} PACIFICTOOL_MQTT={state['mqtt']} PACIFICTOOL_KAFKA={state['kafka']}"
        f" PACIFICTOOL_KAFKA_CONFIG='{state['kafka_config']}'"
    )
    assert sandbox("up", "--free-ports").document == state  # it runs already
    shown = [each for each in program("status", "-o", "json").document["sandboxes"] if each["pid"] == state["pid"]]
    assert shown == [{name: value for name, value in state.items() if name not in ("ok", "running")}]

    setup = command_line("setup", "-o", "json", environ=variables(state))
    assert setup.document["created"] == 10
    children = [psutil.Process(state["pid"]), *psutil.Process(state["pid"]).children(recursive=True)]
    assert len(children) >= 3

    assert sandbox("down").document == {"ok": True, "stopped": True}
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    assert sandbox("status").code == 1
    assert sandbox("down").document == {"ok": True, "stopped": False}

    restarted = sandbox("up", "--free-ports").document
    again = command_line("setup", "-o", "json", environ=variables(restarted)).document
    # Free ports differ each time, and the plugin contains Kafka's.
    assert [step["kind"] for step in again["steps"] if step["action"] != "unchanged"] == ["plugin"]

    refused = sandbox("reset")
    assert (refused.code, refused.document["error"]["hint"]) == (2, "Add --yes.")
    assert sandbox("status").code == 0
    assert sandbox("reset", "--yes").code == 0
    assert sandbox("status").code == 1
    # The folder stays a sandbox's.
    assert [path.name for path in (tmp_path / "sandbox data").iterdir()] == [MARKER]


@pytest.mark.parametrize("option", ["--http-port", pytest.param("--mqtt-port", marks=pytest.mark.long), "--kafka-port"])
def test_a_port_in_use_is_named_and_nothing_is_left_running(
    option: str, sandbox: Callable[..., Outcome], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        others = [
            part for name in ("--http-port", "--mqtt-port", "--kafka-port") if name != option for part in (name, "0")
        ]
        outcome = sandbox("up", option, port, *others)
    assert outcome.code == 1
    error = outcome.document["error"]
    assert error["kind"] == "port-in-use"
    assert port in error["message"]
    assert error["hint"]
    assert "\n" not in error["message"]
    assert sandbox("status").code == 1
    left = [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(tmp_path) in part for part in process.info["cmdline"] or [])
    ]
    assert left == []


@pytest.mark.long
def test_a_killed_daemon_leaves_no_process_and_the_next_start_works(
    sandbox: Callable[..., Outcome],
) -> None:
    state = sandbox("up", "--free-ports").document
    daemon = psutil.Process(state["pid"])
    children = daemon.children(recursive=True)
    daemon.kill()
    daemon.wait(60)
    _, alive = psutil.wait_procs(children, timeout=15)
    assert alive == []
    assert sandbox("status").code == 1
    assert sandbox("up", "--free-ports").code == 0


@pytest.mark.parametrize("command", ["up", "down", "status", "reset"])
def test_a_folder_with_something_else_in_it_is_refused_and_stays_as_it_is(
    command_line: CommandLine, tmp_path: Path, command: str
) -> None:
    for name in ("kafka", "platform"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("mine")
    options = ["--yes"] if command == "reset" else ["--free-ports"] if command == "up" else []
    outcome = command_line("sandbox", command, "--data", str(tmp_path), *options, "-o", "json")
    assert outcome.code == 2
    error = outcome.document["error"]
    assert error["kind"] == "foreign-folder"
    assert error["details"]["folder"] == str(tmp_path)
    assert "it holds kafka, platform" in error["message"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["kafka", "notes.txt", "notes.txt", "platform"]
