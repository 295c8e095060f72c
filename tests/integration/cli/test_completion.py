"""Completion as shells request it, with environment variables; only bash itself is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("pacifictool")
SHELLS = ("bash", "zsh", "fish")


def ask(shell: str, typed: str) -> set[str]:
    """What the shell would offer after `typed`, whose last word is being typed."""
    variables = {
        "bash": {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": typed},
        "fish": {"_TYPER_COMPLETE_ARGS": typed, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    done = subprocess.run(
        [PROGRAM],
        env={**os.environ, "_PACIFICTOOL_COMPLETE": f"complete_{shell}", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stderr == ""
    if shell == "zsh":
        return set(re.findall(r'^(?:_arguments .*?\(\()?"([^"]+)"', done.stdout, re.MULTILINE))
    return {line.split("\t")[0] for line in done.stdout.splitlines() if line}


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_groups_and_options_are_completed_without_a_server(shell: str) -> None:
    assert ask(shell, "pacifictool s") == {"setup", "show", "simulate", "sandbox", "status", "schema"}
    assert ask(shell, "pacifictool sandbox ") == {"up", "down", "status", "reset"}
    assert {"--fast", "--report", "--generation"} <= ask(shell, "pacifictool demo --")
    assert ask(shell, "pacifictool demo --generation ") == {"1", "4"}
    assert ask(shell, "pacifictool nosuch") == set()


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_a_script_of_its_own(shell: str) -> None:
    done = subprocess.run(
        [PROGRAM],
        env={**os.environ, "_PACIFICTOOL_COMPLETE": f"source_{shell}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"complete_{shell}" in done.stdout
    assert {"bash": "complete -o", "zsh": "compdef", "fish": "complete --command"}[shell] in done.stdout


def test_bash_completes() -> None:
    line = (
        f'PATH="{PROGRAM.parent}:$PATH"; source <(_PACIFICTOOL_COMPLETE=source_bash pacifictool); '
        "COMP_WORDS=(pacifictool attributes s); COMP_CWORD=2; _pacifictool_completion pacifictool; "
        'printf "%s\\n" "${COMPREPLY[@]}"; complete -p pacifictool'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", line], capture_output=True, text=True, check=False, timeout=300
    )  # fmt: skip
    assert done.stdout.split("\n")[:2] == ["set", "show"], done.stderr
    assert "_pacifictool_completion" in done.stdout.split("\n")[2]
