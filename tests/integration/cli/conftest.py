from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pacifictool.local.stack import LocalStack
from tests.support.command_line import CommandLine, Outcome, kept_variables, variables_of
from tests.support.fixtures import unique

Program = Callable[..., Outcome]

__all__ = ["unique"]


@pytest.fixture
def on_stack(stack: LocalStack, command_line: CommandLine) -> CommandLine:
    """The command line, pointed at the stack."""

    def call(*arguments: str, environ: Mapping[str, str] | None = None, stdin: str = "") -> Outcome:
        return command_line(*arguments, environ={**variables_of(stack), **(environ or {})}, stdin=stdin)

    return call


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Runs the command line in a separate process, in an empty folder, with the few variables that every command needs."""

    def call(*arguments: str, environ: Mapping[str, str] | None = None, stdin: str = "") -> Outcome:
        done = subprocess.run(
            [sys.executable, "-m", "pacifictool", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=tmp_path,
            env={
                **kept_variables(),
                "PACIFICTOOL_STATE": str(tmp_path / "state"),
                "XDG_CONFIG_HOME": str(tmp_path),
                **(environ or {}),
            },
            timeout=300,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call
