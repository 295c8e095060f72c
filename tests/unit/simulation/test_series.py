from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from pacifictool.errors import FileNotWritten, UsageError
from pacifictool.simulation.histogram import DurationHistogram
from pacifictool.simulation.intervals import FleetState
from pacifictool.simulation.series import COLUMNS, SeriesWriter
from tests.support.recorders import RecordingReporter


def states() -> list[FleetState]:
    """The start, two intervals of a second with a pause of the second one, and the end."""
    latency, lag, loop_lag = DurationHistogram(), DurationHistogram(), DurationHistogram()
    found = []
    for at, generated, delivered, resent, lost, seconds in (
        (100.0, 0, 0, 0, 0, 0.0),
        (101.0, 10, 8, 0, 0, 0.010),
        (103.5, 25, 20, 3, 1, 0.500),
        (104.0, 25, 24, 3, 1, 0.0),
    ):
        if seconds:
            latency.record(seconds, 10)
            lag.record(seconds / 10, 10)
        found.append(
            FleetState(
                at,
                generated,
                delivered,
                resent,
                lost,
                5,
                latency.copy(),
                lag.copy(),
                loop_lag.copy(),
                busy_seconds=at / 2,
            )
        )
    return found


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_row_for_each_interval_as_csv(tmp_path: Path) -> None:
    file = tmp_path / "run.csv"
    with SeriesWriter(file, 1.0, confirmed=True) as writer:
        for number, state in enumerate(states()):
            writer.observe(state)
            assert len(rows_of(file)) == number  # written at once: a killed run leaves them
        assert writer.due_at == 105.0
    rows = rows_of(file)
    assert tuple(rows[0]) == COLUMNS
    assert [row["seconds"] for row in rows] == ["1.0", "2.5", "0.5"]
    assert [row["sent"] for row in rows] == ["10", "15", "0"]
    assert [row["acknowledged"] for row in rows] == ["8", "12", "4"]
    assert [row["resent"] for row in rows] == ["0", "3", "0"]
    assert [row["lost"] for row in rows] == ["0", "1", "0"]
    assert [row["in_flight"] for row in rows] == ["2", "4", "0"]
    assert float(rows[0]["latency_p50_ms"]) == pytest.approx(10, rel=0.03)
    assert [float(row["latency_max_ms"] or "nan") for row in rows[:2]] == [10, 500]
    assert rows[2]["latency_p99_ms"] == ""
    assert [row["simulator_busy"] for row in rows] == ["0.5"] * 3


def test_json_lines_have_the_same_values(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    with SeriesWriter(file, 1.0, confirmed=False) as writer:
        for state in states():
            writer.observe(state)
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [tuple(row) for row in rows] == [COLUMNS] * 3
    assert [(row["sent"], row["acknowledged"], row["latency_max_ms"]) for row in rows] == [
        (10, 0, 10.0), (15, 0, 500.0), (0, 0, None),
    ]  # fmt: skip
    assert all(row["time"].endswith("Z") for row in rows)


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'run\.txt' does not say"):
        SeriesWriter(tmp_path / "run.txt", 1.0, confirmed=True)
    with (
        pytest.raises(FileNotWritten, match="no such file or directory"),
        SeriesWriter(tmp_path / "missing" / "run.csv", 1.0, confirmed=True),
    ):
        pass


def test_a_full_disk_is_reported_once_and_the_run_goes_on(tmp_path: Path) -> None:
    full = tmp_path / "full.csv"
    full.symlink_to("/dev/full")
    reporter = RecordingReporter()
    with SeriesWriter(full, 1.0, reporter, confirmed=True) as writer:
        for state in states():
            writer.observe(state)
    assert writer.problem == "no space left on device"
    assert len(reporter.messages("warning")) == 1
