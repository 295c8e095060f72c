"""The page docs/spark.md and the programs of examples/spark, as somebody would run them."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import pytest

from pacifictool.cli.environment import Environment
from pacifictool.cli.main import run
from pacifictool.local.stack import LocalStack
from tests.support.command_line import kept_variables, variables_of
from tests.support.documents import ROOT, Block, blocks_of, command_lines

PAGE = ROOT / "docs" / "spark.md"
EXAMPLES = sorted((ROOT / "examples" / "spark").glob("*.py"))


def play(stack: LocalStack, folder: Path) -> None:
    """The page's commands: what a reader has before Spark starts."""
    (folder / "examples").symlink_to(ROOT / "examples")
    [block] = [block for block in blocks_of(PAGE) if block.language == "console"]
    for words in command_lines(block.text):
        if words[0] != "sandbox":  # the stack is one
            _command(stack, folder, *words)


def clear_away(stack: LocalStack, folder: Path) -> None:
    """Removes what the page's commands have made: other tests share the stack."""
    _command(stack, folder, "teardown", "-s", "examples/cold_rooms.toml", "--fleet", "12", "--yes", "--topic")


def _command(stack: LocalStack, folder: Path, *words: str) -> None:
    arguments = [str(folder / word) if word.startswith("examples/") else word for word in words]
    environ = {**kept_variables(), **variables_of(stack), "PACIFICTOOL_STATE": str(folder / "state")}
    errors = io.StringIO()
    environment = Environment(
        stdin=io.StringIO(), stdout=io.StringIO(), stderr=errors, environ=environ, folder=folder,
        user_file=folder / "none.toml",
    )  # fmt: skip
    assert run(arguments, environment) == 0, errors.getvalue()


def sit_down(stack: LocalStack, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader's terminal: settings of the stack, in the folder."""
    monkeypatch.chdir(folder)
    for name, value in variables_of(stack).items():
        monkeypatch.setenv(name, value)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def program() -> list[Block]:
    """The page's Python."""
    return [block for block in blocks_of(PAGE) if block.language == "python"]


def type_in(blocks: list[Block], folder: Path) -> None:
    """Runs blocks one after the other, as in a notebook that was started in the folder."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        code = compile("\n" * block.line + _placed(block.text, folder), str(block.page), "exec")
        exec(code, names)


def run_program(path: Path, folder: Path) -> None:
    """Runs a program in the folder."""
    exec(compile(_placed(path.read_text(encoding="utf-8"), folder), str(path), "exec"), {"__name__": "__main__"})


def _placed(text: str, folder: Path) -> str:
    """For Spark, relative paths are relative to where the session was started, which is elsewhere in tests."""
    return text.replace('"checkpoints/', f'"{folder}/checkpoints/').replace('"history"', f'"{folder}/history"')
