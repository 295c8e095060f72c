"""Every command in every environment that a machine, a container or a service may give it.

Nothing listens at the addresses, so most commands fail: what counts is that each ends with a result or with one clear
sentence, never with a traceback or with an error that it takes for its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from pacifictool.cli.app import COMMANDS as KNOWN
from tests.support.command_line import kept_variables

COMMANDS: Final = (
    "demo --fast", "demo --real --fast", "setup --dry-run", "setup", "simulate --all --duration 1s",
    "simulate compare a.json b.json", "simulate join a.json b.json", "simulate --find-limit",
    "aggregate --available-now", "rejects", "report run.html", "watch --once", "doctor", "trace", "teardown --yes",
    "sandbox up", "sandbox status", "sandbox down", "sandbox reset --yes", "import plugin missing.json", "device list",
    "show plugin", "help", "schema", "device create Mast", "asset list", "attributes show Mast", "alarm list",
    "rejects export invalid.jsonl", "rejects replay --dry-run", "rejects expire --older-than 1h --yes",
    "status", "plugin list", "rule suspend Rule", "rule-chain activate Chain", "telemetry show Mast",
    "analytics new hottest", "analytics test hottest --csv hottest.csv",
)  # fmt: skip

_NO_NAME: Final = ("unshare", "--user", "--map-user=54321", "--map-group=54321")
CELLS: Final[dict[str, tuple[str, ...]]] = {
    "usual": (),
    "a user id without a name": _NO_NAME,
    "no home folder": (*_NO_NAME, "env", "-u", "HOME"),
    "a home folder that cannot be written": ("env", "HOME=/proc"),
    "an unknown locale": ("env", "LC_ALL=xx_YY", "LANG=C", "PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0"),
    "no folder for temporary files": ("env", "TMPDIR=/proc"),
    "a umask that forbids everything": ("sh", "-c", 'umask 777; exec "$0" "$@"'),
    "no network": ("unshare", "--net"),
    "a read-only file system": ("unshare", "--mount", "sh", "-c", 'mount -o remount,ro,bind / && exec "$0" "$@"'),
    "a deleted current folder": ("sh", "-c", 'mkdir gone && cd gone && rmdir ../gone; exec "$0" "$@"'),
}

SHARPEST: Final = ("no home folder", "a read-only file system", "a deleted current folder")
"""In these most commands failed once. A cell takes ten seconds of processor time, so each command is tried in one of these,
and the whole table is for `long`."""

_RUN_ALL: Final = """
import io, json, os, sys
import pacifictool.rest, pacifictool.scenario, pacifictool.settings, confluent_kafka, rich.table
from pacifictool.cli.environment import Environment
from pacifictool.cli.main import run
commands, results = json.loads(sys.argv[1]), int(sys.argv[2])
for command in commands:
    if os.fork() == 0:
        out, err = io.StringIO(), io.StringIO()
        code = run([*command.split(), "-o", "json"], Environment(stdin=io.StringIO(), stdout=out, stderr=err))
        os.write(results, (json.dumps([command, int(code), out.getvalue(), err.getvalue()]) + chr(10)).encode())
        os._exit(0)
for _ in commands:
    os.wait()
"""
"""Each in a fork: an interpreter of its own for each takes longer than most of them, as does one after the other. The
file is opened by this process, which may write where they may not."""


def outcomes(prefix: tuple[str, ...], commands: tuple[str, ...], folder: Path) -> list[list[Any]]:
    (folder / "home").mkdir()
    closed = "127.0.0.1:1"
    environ = {name: text for name, text in kept_variables().items() if name != "PACIFICTOOL_CACHE"} | {
        "HOME": str(folder / "home"),
        "PACIFICTOOL_URL": f"http://{closed}",
        "PACIFICTOOL_KAFKA": closed,
        "PACIFICTOOL_MQTT": closed,
        # What would download or start programs ends here.
        "PACIFICTOOL_JARS_FOLDER": str(folder / "no-jars"),
    }
    with (folder / "results").open("wb") as results:
        subprocess.run(
            [*prefix, sys.executable, "-c", _RUN_ALL, json.dumps(commands), str(results.fileno())],
            cwd=folder,
            env=environ,
            pass_fds=[results.fileno()],
            check=True,
            timeout=500,
        )
    return [json.loads(line) for line in (folder / "results").read_text(encoding="utf-8").splitlines()]


def test_every_command_is_tried() -> None:
    assert KNOWN.keys() <= {command.split()[0] for command in COMMANDS}


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs namespaces, which root has on Linux")
@pytest.mark.parametrize(
    ("cell", "commands"),
    [
        *(pytest.param(cell, COMMANDS[number :: len(SHARPEST)], id=cell) for number, cell in enumerate(SHARPEST)),
        *(pytest.param(cell, COMMANDS, id=f"{cell}, all", marks=pytest.mark.long) for cell in CELLS),
    ],
)
def test_each_command_ends_with_a_result_or_one_sentence(cell: str, commands: tuple[str, ...], tmp_path: Path) -> None:
    found = outcomes(CELLS[cell], commands, tmp_path)
    assert sorted(command for command, *_ in found) == sorted(commands)
    for command, code, out, err in found:
        document = json.loads(out)
        assert code in (0, 1, 2), command
        assert "Traceback" not in err, command
        error = document.get("error")
        if error is not None:
            assert error["kind"] != "pacific-tool-error", (command, error)
            assert error["message"].count("\n") == 0, command
            assert f"Error: {error['message']}" in err, command
        assert (code == 0) is bool(document.get("ok", code == 0)), (command, document)
