from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine

FUNCTION = """\
from pacifictool.functions import Alarm, Result

def compute(readings, window, history):
    value = readings["v"].iloc[0]
    if value == 3:
        raise KeyError("three")
    yield Result(window.entity, {"v": value, "windows": len(history)})
    if value > 1:
        yield Alarm("High", "MINOR")
"""


@pytest.fixture(autouse=True)
def _own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that is loaded puts its folder on the path, where later tests would find its modules."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "f.py").write_text(FUNCTION, encoding="utf-8")
    rows = "".join(f"2026-01-01T00:00:{second:02d}Z,North,{value}\n" for second, value in ((0, 1), (10, 2), (20, 3)))
    (tmp_path / "r.csv").write_text(f"ts,site,v\n{rows}", encoding="utf-8")
    return tmp_path


TEST = ("analytics", "test", "f.py", "--csv", "r.csv", "--window", "10s", "--group-by", "site")


def test_results_alarms_failures_with_the_authors_lines_and_times(files: Path, command_line: CommandLine) -> None:
    outcome = command_line(*TEST, "--history", "1")
    assert outcome.code == 1
    lines = [" ".join(line.split()) for line in outcome.stdout.splitlines()]
    assert lines[0] == "f.py:compute: 3 windows"
    assert "2026-01-01 00:00:10Z North 1 v 1, windows 0" in lines
    assert "2026-01-01 00:00:20Z North 1 v 2, windows 1" in lines
    assert "2026-01-01 00:00:30Z North 1 failed" in lines
    assert "Alarm raised (MINOR): High on North, window until 2026-01-01 00:00:20Z" in lines
    assert any(line.startswith("Failed: 1 x ") and "KeyError" in line for line in lines)
    assert 'raise KeyError("three")' in lines
    assert lines[-1].startswith("Time of a call: ")


def test_one_document(files: Path, command_line: CommandLine) -> None:
    outcome = command_line(*TEST, "-o", "json")
    document = outcome.document
    assert (outcome.code, document["ok"], document["failed"], document["readings"]) == (1, False, 1, 3)
    first, second, third = document["calls"]
    assert first["results"] == [{"entity": "North", "kind": "asset", "values": {"v": 1.0, "windows": 0.0}}]
    assert (first["group"], first["window_end"]) == ({"site": "North"}, "2026-01-01T00:00:10+00:00")
    assert second["alarms"] == [
        {"type": "High", "severity": "MINOR", "entity": "North", "kind": "asset", "details": {}}
    ]
    assert "KeyError" in third["failure"]
    assert "f.py" in third["traceback"]
    assert document["max_ms"] >= document["median_ms"] > 0


def test_only_the_last_windows_are_shown(files: Path, command_line: CommandLine) -> None:
    outcome = command_line(*TEST, "--limit", "1")
    assert "00:00:20Z  " not in outcome.stdout
    assert "And 2 windows before" in outcome.stdout
    assert "And 3 windows before" in command_line(*TEST, "--limit", "0").stdout


def test_all_calls_succeed(files: Path, command_line: CommandLine) -> None:
    (files / "f.py").write_text("def g(readings): return {'n': len(readings)}", encoding="utf-8")
    outcome = command_line("analytics", "test", "f:g", *TEST[3:], "-o", "json")
    assert (outcome.code, outcome.document["ok"]) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("f.py", "--csv", "none.csv", "--window", "1s"), 2, "none.csv cannot be read"),
        (("g.py", "--csv", "r.csv", "--window", "1s"), 2, "There is no file"),
        (("f.py", "--csv", "r.csv"), 2, "--window is missing"),
        (("f.py", "--csv", "r.csv", "--window", "long"), 2, "--window: 'long' is not a duration"),
        (("f.py:other", "--csv", "r.csv", "--window", "1s"), 2, "has no other"),
        (("f.py", "--csv", "r.csv", "--window", "1s", "--decimal", ";"), 2, "--decimal: ';' is not known"),
        (("f.py", "--csv", "r.csv", "--window", "1s", "--group-by", "room"), 2, "has no column 'room'"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    arguments: tuple[str, ...], code: int, message: str, files: Path, command_line: CommandLine
) -> None:
    outcome = command_line("analytics", "test", *arguments)
    assert outcome.code == code
    assert message in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_new_function_can_be_tried_at_once(tmp_path: Path, command_line: CommandLine) -> None:
    created = command_line("analytics", "new", "level", "--folder", "own")
    assert created.code == 0
    assert "own/level.py and own/test_level.py" in created.stdout
    assert 'function = "level:compute"' in created.stdout
    assert command_line("analytics", "new", "level", "--folder", "own").code == 2
    assert command_line("simulate", "--csv", "r.csv", "--duration", "30s").code == 0
    outcome = command_line(
        *("analytics", "test", "own/level.py", "--csv", "r.csv", "--window", "10s", "--group-by", "geoZone"),
        *("--history", "1", "-o", "json"),
    )
    assert outcome.code == 0, outcome.stdout
    values = outcome.document["calls"][-1]["results"][0]["values"]
    assert set(values) == {"readings", "windSpeed_mean", "windSpeed_spread", "windSpeed_change"}


def test_the_lines_follow_the_scenario(tmp_path: Path, command_line: CommandLine) -> None:
    (tmp_path / "s.toml").write_text('[forwarding]\ntopic = "t"\nattributes = ["room"]\ntelemetry = ["v"]\n')
    created = command_line("analytics", "new", "room_level", "-s", str(tmp_path / "s.toml"), "-o", "json")
    assert 'group_by = ["room"]' in created.document["analytics"]
