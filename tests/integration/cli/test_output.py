from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pacifictool.local.stack import LocalStack
from pacifictool.runtime.ports import free_ports
from tests.support.command_line import CommandLine, Outcome, variables_of

Program = Callable[..., Outcome]


@pytest.fixture
def nowhere() -> str:
    """An address at which nobody listens."""
    return f"http://127.0.0.1:{free_ports(1)[0]}"


@pytest.mark.parametrize(
    "arguments",
    [
        ("-o", "json", "device", "list"),
        ("device", "-o", "json", "list"),
        ("device", "list", "-o", "json"),
        ("device", "list", "-ojson"),
        ("--output=json", "device", "list"),
        ("device", "list", "--output", "json"),
        ("-o", "table", "device", "list", "-o", "json"),
        ("-qo", "json", "device", "list"),
    ],
)
def test_global_options_stand_before_within_and_after_the_command(
    arguments: tuple[str, ...], on_stack: CommandLine
) -> None:
    outcome = on_stack(*arguments)
    assert outcome.code == 0
    assert "Test Device A1" in [device["name"] for device in outcome.document["devices"]]


def test_kafka_properties_from_before_and_after_add_up(on_stack: CommandLine, stack: LocalStack) -> None:
    outcome = on_stack("-X", "client.id=a", "setup", "--dry-run", "-X", "nonsense=1", "-o", "json")
    assert "nonsense" in outcome.document["error"]["message"]
    outcome = on_stack("-X", "nonsense=1", "setup", "--dry-run", "-X", "client.id=a", "-o", "json")
    assert "nonsense" in outcome.document["error"]["message"]


def test_a_flag_beats_the_environment_which_beats_the_projects_file_which_beats_the_users(
    command_line: CommandLine, stack: LocalStack, nowhere: str, tmp_path: Path
) -> None:
    good = stack.platform.url
    project, user = tmp_path / "pacifictool.toml", tmp_path / "user" / "config.toml"
    user.parent.mkdir()

    def reaches(*arguments: str, **environ: str) -> bool:
        outcome = command_line("device", "list", "-o", "json", *arguments, environ=environ)
        assert outcome.code == (0 if outcome.document["ok"] else 1)
        return bool(outcome.document["ok"])

    user.write_text(f'url = "{good}"')
    assert reaches()
    project.write_text(f'url = "{nowhere}"')
    assert not reaches()
    assert reaches(REST_URL=good)
    assert not reaches(REST_URL=good, PACIFICTOOL_URL=nowhere)
    assert reaches("--url", good, REST_URL=nowhere, PACIFICTOOL_URL=nowhere)


def test_the_output_mode_follows_the_same_precedence(
    command_line: CommandLine, stack: LocalStack, tmp_path: Path
) -> None:
    environ = variables_of(stack)
    (tmp_path / "pacifictool.toml").write_text('output = "json"')
    assert command_line("device", "list", environ=environ).document["ok"]
    table = command_line("device", "list", environ={**environ, "PACIFICTOOL_OUTPUT": "table"})
    assert re.match(r"\d+ devices\n", table.stdout)
    assert command_line("device", "list", "-o", "json", environ={**environ, "PACIFICTOOL_OUTPUT": "table"}).document[
        "ok"
    ]


USAGE_ERRORS = [
    ("nosuch",),
    ("device", "nosuch"),
    ("device",),
    ("sandbox",),
    ("setup", "--nosuch"),
    ("setup", "superfluous"),
    ("device", "token"),
    ("simulate", "--rate", "fast"),
    ("simulate", "--rate", "-1"),
    ("simulate", "--rate", "nan"),
    ("simulate", "--ramp", "0"),
    ("simulate", "--qos", "2"),
    ("simulate", "--count", "0"),
    ("simulate", "--duration", "soon"),
    ("simulate", "--device", "A", "--all"),
    ("simulate", "--token", "abc"),
    ("simulate", "--device", "nosuch"),
    ("aggregate", "--sink", "moon"),
    ("aggregate", "--window", "0s"),
    ("aggregate", "--window", "often"),
    ("aggregate", "--memory", "lots"),
    ("aggregate", "--conf", "novalue"),
    ("aggregate", "--give-up-after", "never"),
    ("rejects", "--limit", "0"),
    ("attributes", "set", "Test Device A1", "novalue"),
    ("attributes", "set", "Test Device A1", "=value"),
    ("attributes", "set", "Test Device A1", "a=1e999"),
    ("attributes", "set", "Test Device A1", "a=99999999999999999999"),
    ("attributes", "set", "Test Device A1", "a=1", "--scope", "moon"),
    ("attributes", "set", "Test Device A1", "a=1", "--asset"),
    ("attributes", "show", "Test Device A1", "--scope", "moon"),
    ("device", "create", ""),
    ("device", "create", "two\nlines"),
    ("device", "create", "x" * 256),
    ("device", "create", "half a pair \udcff"),
    ("asset", "create", "x", "--type", ""),
    ("device", "delete", "Test Device A1"),
    ("-X", "novalue", "setup"),
    ("--url", "ftp://server", "setup"),
    ("--url", "http://user:secret@server", "setup"),
    ("--mqtt", "http://server", "setup"),
    ("--kafka", ",", "setup"),
    ("--ca-file", "nosuch.pem", "setup"),
    ("--password-file", "nosuch", "setup"),
    ("--kafka-config", "nosuch", "setup"),
    ("sandbox", "up", "--http-port", "70000"),
    ("demo", "--scenario", "own.toml"),
]


@pytest.mark.parametrize("arguments", USAGE_ERRORS, ids=lambda arguments: " ".join(arguments)[:50])
def test_wrong_usage_is_one_document_with_a_sentence_and_a_hint_and_exit_code_2(
    arguments: tuple[str, ...], on_stack: CommandLine
) -> None:
    outcome = on_stack("-o", "json", *arguments)
    assert outcome.code == 2, outcome.stderr
    error = outcome.document["error"]
    assert outcome.document["ok"] is False
    assert error["kind"] in ("usage-error", "settings-error")
    assert error["message"]
    assert "\n" not in error["message"]
    assert error["hint"]
    assert outcome.stderr == f"Error: {error['message']}\n  {error['hint']}\n  More: pacifictool help {error['kind']}\n"
    assert "Traceback" not in outcome.stderr
    assert "secret" not in outcome.stdout + outcome.stderr


@pytest.mark.parametrize("arguments", [("setup", "-o", "xml"), ("device", "create", "never made", "--output=yaml")])
def test_an_unknown_output_is_reported_before_anything_is_done(
    arguments: tuple[str, ...], on_stack: CommandLine
) -> None:
    outcome = on_stack(*arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.splitlines() == [
        f"Error: --output: '{arguments[-1].removeprefix('--output=')}' is not known.",
        "  Use table or json.",
        "  More: pacifictool help settings-error",
    ]
    names = [device["name"] for device in on_stack("device", "list", "-o", "json").document["devices"]]
    assert "never made" not in names


@pytest.mark.parametrize(
    "spelling", [("-o", "json"), ("-ojson",), ("--output=json",), ("--output", "json"), ("-qo", "json")]
)
def test_a_line_that_cannot_be_parsed_still_gives_a_document(spelling: tuple[str, ...], on_stack: CommandLine) -> None:
    assert on_stack("setup", *spelling, "--nosuch").document["error"]["kind"] == "usage-error"


def test_a_failure_without_json_leaves_stdout_empty(on_stack: CommandLine, nowhere: str) -> None:
    outcome = on_stack("device", "list", "--url", nowhere)
    assert (outcome.code, outcome.stdout) == (1, "")
    *waiting, first, second, third = outcome.stderr.splitlines()
    assert waiting in ([], [f"Logging in at {nowhere} …"])  # when the attempts take more than a second
    assert first == f"Error: The platform at {nowhere} cannot be reached: connection refused."
    assert second.startswith("  Check that the server runs")
    assert third == "  More: pacifictool help platform-unreachable"


def test_messages_go_to_stderr_and_quiet_silences_them(on_stack: CommandLine) -> None:
    loud = on_stack("setup", "--dry-run")
    assert "Comparing the scenario with the server …" in loud.stderr
    assert "Comparing" not in loud.stdout
    quiet = on_stack("setup", "--dry-run", "-q")
    assert quiet.stderr == ""
    assert quiet.stdout == loud.stdout


def test_quiet_still_tells_errors(on_stack: CommandLine, nowhere: str) -> None:
    assert on_stack("device", "list", "-q", "--url", nowhere).stderr.startswith("Error: ")


def test_verbose_tells_more(command_line: CommandLine, tmp_path: Path) -> None:
    jars = ("--kafka", "127.0.0.1:1", "aggregate", "--sink", "console")
    assert "Using Java" not in command_line(*jars).stderr
    assert "Using Java" in command_line(*jars, "-v").stderr


def test_only_debug_shows_a_traceback(on_stack: CommandLine, nowhere: str) -> None:
    arguments = ("device", "list", "--url", nowhere, "-o", "json")
    for quieter in ((), ("-v",)):
        assert "Traceback" not in on_stack(*arguments, *quieter).stderr
    outcome = on_stack(*arguments, "--debug")
    assert "Traceback" in outcome.stderr
    assert outcome.stderr.splitlines()[-3].startswith("Error: ")
    assert outcome.document["error"]["kind"] == "platform-unreachable"


def test_a_defect_of_ours_is_one_sentence_too(on_stack: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("pacifictool.cli.entities.list_entities", broken)
    outcome = on_stack("device", "list", "-o", "json")
    assert outcome.code == 1
    assert outcome.document["error"]["message"] == "Unexpected error: RuntimeError: two lines"
    assert "--debug" in outcome.document["error"]["hint"]
    assert "Traceback" not in outcome.stderr


def test_secrets_stay_out_of_every_output(on_stack: CommandLine, tmp_path: Path, nowhere: str) -> None:
    secret = "correct-horse-battery"
    file = tmp_path / "password"
    file.write_text(f"{secret}\n")
    runs = [
        on_stack("device", "list", "--password-file", str(file), "--debug", "-v"),
        on_stack("device", "list", "--debug", environ={"PACIFICTOOL_PASSWORD": secret}),
        on_stack("device", "list", "--password-file", "-", "--debug", stdin=f"{secret}\n"),
        on_stack("setup", "-X", f"sasl.password={secret}", "-X", "security.protocol=nonsense", "--debug", "-v"),
        on_stack("setup", "-X", f"{secret}", "-X", "a=b"),
        on_stack(
            "simulate",
            "--device",
            "Wind Turbine 1",
            "--count",
            "1",
            "--debug",
            "-v",
            environ={"PACIFICTOOL_TOKEN": secret},
        ),
    ]
    assert [run.code for run in runs][:3] == [1, 1, 1]
    # Without "=" the whole text is shown: it is the key, without a value.
    for run in [*runs[:4], runs[5]]:
        assert secret not in run.stdout + run.stderr


def test_tokens_are_shown_by_the_command_that_is_asked_for_them_only(on_stack: CommandLine) -> None:
    token = on_stack("device", "token", "Test Device A1", "-o", "json").document["token"]
    for arguments in (
        ("device", "list"),
        ("attributes", "show", "Test Device A1"),
        ("setup", "--dry-run", "-v", "--debug"),
    ):
        for mode in ((), ("-o", "json")):
            outcome = on_stack(*arguments, *mode)
            assert outcome.code == 0
            assert token not in outcome.stdout + outcome.stderr


def test_no_colour_codes_without_a_terminal(on_stack: CommandLine, nowhere: str) -> None:
    for outcome in (on_stack("device", "list"), on_stack("device", "list", "--url", nowhere)):
        assert "\x1b" not in outcome.stdout + outcome.stderr


def run_program(stack: LocalStack, *arguments: str, stdout: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pacifictool", *arguments],
        env={**os.environ, **variables_of(stack)},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("mode", ["table", "json"])
def test_a_disk_that_takes_no_more_is_an_error_and_no_traceback(mode: str, stack: LocalStack, tmp_path: Path) -> None:
    line = f'ulimit -f 0; exec "{sys.executable}" -m pacifictool device list -o {mode} > "{tmp_path / "full"}"'
    environ = {**os.environ, **variables_of(stack)}
    done = subprocess.run(["sh", "-c", line], env=environ, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "Error: The result cannot be written to standard output: file too large."
    assert len(done.stderr.splitlines()) == 3


@pytest.mark.parametrize(
    "arguments", [("device", "list"), ("device", "list", "-o", "json"), ("--help",), ("nosuch", "-o", "json")]
)
def test_a_reader_that_went_away_is_no_failure_of_ours(arguments: tuple[str, ...], stack: LocalStack) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run_program(stack, *arguments, stdout=writing)
    finally:
        os.close(writing)
    assert done.returncode == (2 if "nosuch" in arguments else 0)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_closed_streams_do_no_harm(stack: LocalStack) -> None:
    line = f'exec "{sys.executable}" -m pacifictool device list -o json >&- 2>&- <&-'
    done = subprocess.run(["sh", "-c", line], env={**os.environ, **variables_of(stack)}, check=False, timeout=300)
    assert done.returncode == 0


def test_names_beyond_the_terminals_letters_are_shown_as_well_as_it_can(stack: LocalStack, unique: str) -> None:
    environ = {**os.environ, **variables_of(stack), "PYTHONIOENCODING": "ascii"}
    name = f"Ветряк {unique}"

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "pacifictool", *arguments]
        return subprocess.run(command, env=environ, capture_output=True, check=True, timeout=300).stdout.decode("ascii")

    assert json.loads(run("device", "create", name, "-o", "json"))["device"]["name"] == name
    assert "\\u0412" in run("device", "list")
    assert name in [device["name"] for device in json.loads(run("device", "list", "-o", "json"))["devices"]]
    run("device", "delete", "--yes", name)
