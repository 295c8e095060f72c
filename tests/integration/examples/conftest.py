from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from pacifictool.analytics.function_readings import read_csv
from pacifictool.analytics.function_trial import TrialReport, choose_analytics, try_function
from pacifictool.models.csv_file import CsvFormat
from pacifictool.scenario import load_scenario
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.recording import Recording, record
from tests.support.documents import ROOT

EXAMPLES = ROOT / "examples"
START_MS = 1_795_477_200_000
"""A whole hour."""

Record = Callable[..., Recording]
Try = Callable[..., TrialReport]


@pytest.fixture(autouse=True)
def _own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that is loaded puts its folder on the path, where later tests would find its modules."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def record_example(tmp_path: Path) -> Record:
    """Writes what the devices of an example's scenario publish, all or a fleet, into a file."""

    return partial(record_into, tmp_path / "readings.csv")


def record_into(file: Path, name: str, *, fleet: int | None = None, seconds: float, seed: int = 1) -> Recording:
    """As `simulate --csv` does."""
    scenario = load_scenario(EXAMPLES / f"{name}.toml")
    devices = (scenario if fleet is None else scenario.with_fleet(fleet)).devices
    return record(devices, FleetOptions(duration_seconds=seconds, seed=seed), file, start_ms=START_MS)


@pytest.fixture
def try_example() -> Try:
    """Calls the function of an example's scenario on a recording, as `analytics test` does."""

    def call(name: str, recording: Recording, *, function: Path | None = None) -> TrialReport:
        scenario = load_scenario(EXAMPLES / f"{name}.toml")
        analytics, forwarding = choose_analytics(EXAMPLES / f"{name}.py", None, scenario)
        if function is not None:
            assert analytics.function is not None
            moved = type(analytics.function)(analytics.function.text, function, analytics.function.name)
            analytics = analytics.model_copy(update={"function": moved})
        readings = read_csv(recording.file, CsvFormat(), group_by=analytics.group_by, forwarding=forwarding)
        return try_function(analytics, readings, forwarded=scenario.forwarding.telemetry)

    return call
