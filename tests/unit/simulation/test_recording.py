from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from pacifictool.errors import FileNotWritten, UsageError
from pacifictool.scenario import parse_scenario
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.recording import record
from tests.support.command_line import CommandLine

SCENARIO = """\
[forwarding]
topic = "t"
attributes = ["site", "server:tier"]
telemetry = ["a", "b"]
[[devices]]
name = "One, two"
attributes = { site = "North", "server:tier" = "gold" }
telemetry = { a = { model = "constant", value = 1.5 }, b = { min = 1, max = 9 } }
rate = 2
anomalies = [{ key = "a", after = "2s", lasts = "1s", add = 10 }]
dropouts = [{ key = "b", after = "1s", lasts = "1s" }]
[[devices]]
name = "Three"
attributes = { site = "South" }
telemetry = { a = { model = "constant", value = 2 } }
rate = 1
dropouts = [{ after = "1s", lasts = "1s" }]
"""
DEVICES = parse_scenario(SCENARIO, source="test").devices


def rows(file: Path) -> list[dict[str, Any]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_readings_of_all_devices_in_the_order_of_their_times(tmp_path: Path) -> None:
    file = tmp_path / "readings.csv"
    recording = record(DEVICES, FleetOptions(duration_seconds=3, seed=1), file, start_ms=59_999)
    found = rows(file)
    assert list(found[0]) == ["ts", "deviceName", "site", "tier", "a", "b"]
    assert [(row["ts"][14:23], row["deviceName"], row["a"]) for row in found] == [
        ("00:00.000", "One, two", "1.5"),
        ("00:00.000", "Three", "2"),
        ("00:00.500", "One, two", "1.5"),
        ("00:01.000", "One, two", "1.5"),
        ("00:01.500", "One, two", "1.5"),
        ("00:02.000", "One, two", "11.5"),
        ("00:02.000", "Three", "2"),
        ("00:02.500", "One, two", "11.5"),
    ]
    assert {(row["site"], row["tier"]) for row in found} == {("North", "gold"), ("South", "")}
    assert [bool(row["b"]) for row in found if row["deviceName"] != "Three"] == [True, True, False, False, True, True]
    document = recording.as_document()
    assert (document["readings"], document["withheld"], document["devices"]) == (8, 1, 2)
    assert sorted((each["kind"], each["device"], each["readings"]) for each in document["injections"]) == [
        ("anomaly", "One, two", 2),
        ("dropout", "One, two", 2),
        ("dropout", "Three", 1),
    ]


def test_more_readings_than_are_taken_at_once_are_all_written(tmp_path: Path) -> None:
    recording = record(DEVICES, FleetOptions(count=2500, seed=1), tmp_path / "r.csv", start_ms=0)
    assert recording.readings == len(rows(recording.file)) == 2 * 2500 - 1


def test_one_seed_gives_one_file(tmp_path: Path) -> None:
    def content(seed: int | None) -> tuple[int, str]:
        recording = record(DEVICES, FleetOptions(count=50, seed=seed), tmp_path / "r.csv", start_ms=0)
        return recording.seed, recording.file.read_text(encoding="utf-8")

    seed, text = content(None)
    assert content(seed) == (seed, text)
    assert content(seed + 1)[1] != text


def test_a_file_ends_and_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ends"):
        record(DEVICES, FleetOptions(), tmp_path / "r.csv", start_ms=0)
    with pytest.raises(FileNotWritten, match="no such file"):
        record(DEVICES, FleetOptions(count=1), tmp_path / "none" / "r.csv", start_ms=0)


def test_the_command_needs_no_server(tmp_path: Path, command_line: CommandLine) -> None:
    (tmp_path / "s.toml").write_text(SCENARIO, encoding="utf-8")
    outcome = command_line("simulate", "--csv", "r.csv", "--duration", "3s", "-s", str(tmp_path / "s.toml"))
    assert outcome.code == 0, outcome.stderr
    assert "Written: r.csv, 8 readings of 2 devices." in outcome.stdout
    assert "+10" in outcome.stdout
    assert len(rows(tmp_path / "r.csv")) == 8
    recorded = command_line(
        "simulate", "--csv", "q.csv", "--count", "1", "-s", str(tmp_path / "s.toml"), "-o", "json", "-d", "Three"
    )
    assert recorded.document["readings"] == 1
    assert recorded.document["file"] == str(tmp_path / "q.csv")
