from __future__ import annotations

import subprocess
import sys


def in_a_process(soft: int, hard: int, connections: int) -> str:
    """The output of a program with these limits, which cannot be raised again: hence a separate program."""
    code = (
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "from pacifictool.errors import MqttError\n"
        "from pacifictool.simulation.limits import ensure_descriptors\n"
        "try:\n"
        f"    ensure_descriptors({connections})\n"
        "except MqttError as error:\n"
        "    print(error.message, error.hint)\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_the_limit_of_open_files_is_raised_as_far_as_needed() -> None:
    assert in_a_process(256, 4096, 1000) == "(1064, 4096)\n"
    assert in_a_process(2000, 4096, 1000) == "(2000, 4096)\n"


def test_a_hard_limit_of_open_files_is_reported_with_the_command_that_raises_it() -> None:
    said = in_a_process(256, 512, 1000)
    assert said.startswith("1000 connections need 1064 open files; the system allows this process 512.")
    assert "ulimit -Hn 1064" in said
    assert "--processes 3" in said
    assert said.endswith("(256, 512)\n")
