from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import pacifictool
from pacifictool.cli.app import COMMANDS, app
from tests.support.command_line import Outcome
from tests.support.forked import Forked

HEAVY = ("rich", "requests", "pyspark", "paho", "confluent_kafka", "py4j", "uvicorn", "starlette", "psutil")
"""Modules that help does not import."""

MAX_PROCESSOR_SECONDS = 0.3


def command_paths() -> Iterator[tuple[str, ...]]:
    root: Any = typer.main.get_command(app)
    yield ()
    for name in COMMANDS:
        command: Any = root.get_command(None, name)
        yield (name,)
        for below in getattr(command, "commands", {}):
            yield (name, below)


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forked]:
    """Programs of a Python that has imported what every command needs."""
    modules = ("pacifictool.cli.environment", "pacifictool.cli.main", "pacifictool.scenario", "pacifictool.settings")
    with Forked(tmp_path_factory.mktemp("programs"), modules) as forked:
        yield forked


each_command = pytest.mark.parametrize("path", list(command_paths()), ids=lambda path: " ".join(path) or "pacifictool")


@each_command
def test_every_command_explains_itself_without_heavy_imports(
    path: tuple[str, ...], light: Forked, tmp_path: Path
) -> None:
    code = (
        "import sys\n"
        "from pacifictool.cli.environment import Environment\n"
        "from pacifictool.cli.main import run\n"
        "code = run(sys.argv[1:], Environment())\n"
        "import json\n"
        "json.dump(sorted({name.partition('.')[0] for name in sys.modules}), sys.stderr)\n"
        "sys.exit(int(code))\n"
    )
    done = light.run(*path, "--help-all", folder=tmp_path, environ=os.environ, code=code)
    assert done.code == 0, done.stderr
    assert done.stdout.startswith(f"Usage: {' '.join(('pacifictool', *path))}")
    for expected in ("--output", "--url", "--kafka", "--help", "--help-all"):
        assert expected in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120
    assert set(json.loads(done.stderr)).isdisjoint(HEAVY)


def test_the_short_form_and_no_arguments_at_all_show_the_same_help(program: Callable[..., Outcome]) -> None:
    full = program("--help")
    assert full.code == 0
    assert full.stderr == ""
    assert program("-h").stdout == program().stdout == full.stdout
    for name, entry in COMMANDS.items():
        assert f"\n  {name} " in full.stdout
        assert entry.summary.endswith(".")


def test_help_takes_little_processor_time() -> None:
    times = []
    for _ in range(7):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "pacifictool", "--help"], stdout=subprocess.DEVNULL, env=os.environ, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
        if times[-1] < MAX_PROCESSOR_SECONDS:
            return  # on a busy machine, single runs take longer
    pytest.fail(f"processor seconds: {times}")


def test_the_version_is_printed(program: Callable[..., Outcome]) -> None:
    outcome = program("--version")
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, f"pacifictool {pacifictool.__version__}\n", "")
