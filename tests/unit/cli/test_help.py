from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import pytest
import typer
from harness import Outcome

import pacifictool
from pacifictool.cli.app import COMMANDS, app

HEAVY = ("rich", "requests", "pyspark", "paho", "confluent_kafka", "py4j", "uvicorn", "starlette", "psutil")
"""Whoever asks for help waits for none of these. (pydantic is Typer's own doing.)"""


def command_paths() -> Iterator[tuple[str, ...]]:
    root: Any = typer.main.get_command(app)
    yield ()
    for name in COMMANDS:
        command: Any = root.get_command(None, name)
        yield (name,)
        for below in getattr(command, "commands", {}):
            yield (name, below)


@pytest.mark.parametrize("path", list(command_paths()), ids=lambda path: " ".join(path) or "pacifictool")
def test_every_command_explains_itself_without_heavy_imports(path: tuple[str, ...]) -> None:
    code = (
        "import sys\n"
        "from pacifictool.cli.environment import Environment\n"
        "from pacifictool.cli.main import run\n"
        "code = run(sys.argv[1:], Environment())\n"
        "import json\n"
        "json.dump(sorted({name.partition('.')[0] for name in sys.modules}), sys.stderr)\n"
        "sys.exit(int(code))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *path, "--help"], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: {' '.join(('pacifictool', *path))}")
    for expected in ("--output", "--url", "--kafka", "--help"):
        assert expected in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120
    assert set(json.loads(done.stderr)).isdisjoint(HEAVY)


def test_the_short_form_and_no_arguments_at_all_show_the_same_help(program: Callable[..., Outcome]) -> None:
    full = program("--help")
    assert full.code == 0
    assert full.stderr == ""
    assert program("-h").stdout == program().stdout == full.stdout
    for name in COMMANDS:
        assert f"\n  {name} " in full.stdout


def test_every_option_and_argument_has_a_help_text() -> None:
    root: Any = typer.main.get_command(app)
    for path in command_paths():
        command = root
        for name in path:
            command = command.get_command(None, name)
        assert command.help, path
        for parameter in command.params:
            if parameter.name != "help":
                assert getattr(parameter, "help", None), (path, parameter.name)


def test_the_version_is_printed(program: Callable[..., Outcome]) -> None:
    outcome = program("--version")
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, f"pacifictool {pacifictool.__version__}\n", "")


def test_the_program_of_the_package_metadata_is_this_one() -> None:
    [entry] = [entry for entry in entry_points(group="console_scripts") if entry.name == "pacifictool"]
    assert entry.load() is import_module("pacifictool.cli").main
