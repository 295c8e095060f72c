"""A function that cannot be loaded ends `aggregate` before anything else is started or asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine

SCENARIO = """
[forwarding]
topic = "readings"
attributes = ["site"]
telemetry = ["t"]
[[analytics]]
name = "own"
group_by = ["site"]
window = "10s"
function = "own:score"
"""


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (None, "The function own:score of analytics 'own' cannot be loaded: ", "The path is relative to the folder"),
        ("def score(readings:\n", "has a syntax error in line 1: '(' was never closed.", "`python "),
        ("def sore(readings): ...\n", "has no score.", "It has sore."),
        ("import helper\ndef score(readings): ...\n", "No module named 'helper'", "files = ['helper.py']."),
        ("import os\nos._exit(3)\n", "it ended its process with the exit code 3.", ""),
    ],
)
def test_aggregate_names_the_function_and_what_is_wrong(
    tmp_path: Path, command_line: CommandLine, text: str | None, message: str, hint: str
) -> None:
    (tmp_path / "scenario.toml").write_text(SCENARIO)
    (tmp_path / "helper.py").write_text("")
    if text is not None:
        (tmp_path / "own.py").write_text(text)
    ended = command_line(
        "aggregate", "--scenario", str(tmp_path / "scenario.toml"), "--sink", "console", "--output", "json",
        environ={"PACIFICTOOL_KAFKA": "127.0.0.1:1"},
    )  # fmt: skip
    assert ended.code == 2
    error = json.loads(ended.stdout)["error"]
    assert error["kind"] == "scenario-error"
    assert message in error["message"]
    assert hint in str(error["hint"])
    assert not (tmp_path / "state").exists()
