from __future__ import annotations

import shlex
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import pytest
import typer

from pacifictool.cli.app import COMMANDS, app
from tests.support.command_line import CommandLine
from tests.support.documents import parse


def command_paths() -> Iterator[tuple[str, ...]]:
    root: Any = typer.main.get_command(app)
    yield ()
    for name in COMMANDS:
        command: Any = root.get_command(None, name)
        yield (name,)
        for below in getattr(command, "commands", {}):
            yield (name, below)


def command_at(path: tuple[str, ...]) -> Any:
    command: Any = typer.main.get_command(app)
    for name in path:
        command = command.get_command(None, name)
    return command


each_command = pytest.mark.parametrize("path", list(command_paths()), ids=lambda path: " ".join(path) or "pacifictool")


def help_of(*path: str, width: int = 80, option: str = "--help") -> str:
    """The help, in this process."""
    context = typer.Context(command_at(()), info_name="pacifictool", terminal_width=width)
    for depth, name in enumerate(path, start=1):
        command = command_at(path[:depth])
        context = typer.Context(command, info_name=name, parent=context, terminal_width=width)
    if option == "--help-all":
        context.meta["pacifictool.help_all"] = True
    return str(context.get_help())


@each_command
def test_help_folds_connection_and_output_options_into_one_line(path: tuple[str, ...]) -> None:
    folded, full = help_of(*path), help_of(*path, option="--help-all")
    assert "--help-all" in folded
    assert "Connection:" not in folded
    assert "--password-file" not in folded
    assert full.index("Options:") < full.index("Connection:") < full.index("Output:")


def is_group(path: tuple[str, ...]) -> bool:
    return hasattr(command_at(path), "commands")


@each_command
def test_every_command_shows_examples_that_parse(path: tuple[str, ...]) -> None:
    if not path or (is_group(path) and not command_at(path).invoke_without_command):
        return
    examples = command_at(path).epilog.splitlines()
    assert 1 <= len(examples) <= 3
    shown = help_of(*path, width=40)
    for example in examples:
        assert f"\n  {example}" in shown
        program, *words = shlex.split(example)
        assert program == "pacifictool"
        assert tuple(words[: len(path)]) == path
        parse(words)


def test_the_list_of_commands_is_never_cut() -> None:
    for path in [(), *((name,) for name in COMMANDS if is_group((name,)))]:
        command = command_at(path)
        for width in (40, 80, 200):
            shown = " ".join(help_of(*path, width=width).split())
            assert "..." not in shown.partition("Commands:")[2]
            for name, summary in command.summaries(None).items():
                assert f"{name} {summary}" in shown


def test_every_option_and_argument_has_a_help_text() -> None:
    for path in command_paths():
        command = command_at(path)
        assert command.help, path
        for parameter in command.params:
            if parameter.name != "help":
                assert getattr(parameter, "help", None), (path, parameter.name)


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (("setpu",), "No such command: 'setpu'.", "Did you mean 'setup' or 'asset'? See: pacifictool --help"),
        (("xyzzy",), "No such command: 'xyzzy'.", "See: pacifictool --help"),
        (("sandbox", "stats"), "No such command: 'stats'.", "Did you mean 'status'? See: pacifictool sandbox --help"),
        (("setup", "--dryrun"), "No such option: --dryrun.", "Did you mean --dry-run? See: pacifictool setup --help"),
        (
            ("aggregate", "--sink", "gatway"),
            "--sink: 'gatway' is not known.",
            "Did you mean 'gateway'? Use one of rest, gateway, kafka, console.",
        ),
        (("setup", "--output", "jsn"), "--output: 'jsn' is not known.", "Did you mean 'json'? Use table or json."),
        (
            ("trace", "--until", "Kafak"),
            "--until: 'Kafak' is not known.",
            "Did you mean 'kafka'? Use one of stored, kafka, result.",
        ),
        (
            ("attributes", "show", "D", "--scope", "sever"),
            "--scope: 'sever' is not known.",
            "Did you mean 'server'? Use one of client, server, shared.",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistyped_word_gets_a_suggestion(
    command_line: CommandLine, arguments: tuple[str, ...], message: str, hint: str
) -> None:
    outcome = command_line(*arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.splitlines()[:2] == [f"Error: {message}", f"  {hint}"]


def test_the_program_of_the_package_metadata_is_this_one() -> None:
    [entry] = [entry for entry in entry_points(group="console_scripts") if entry.name == "pacifictool"]
    assert entry.load() is import_module("pacifictool.cli").main
