"""The models of the examples, measured on what they had not seen."""

from __future__ import annotations

import itertools
import runpy
import shutil
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pacifictool.simulation.disturbances import ANOMALY
from tests.integration.examples.conftest import EXAMPLES, Record, Try, record_into
from tests.support.worked_cases import readings_of, windows


@pytest.fixture(scope="module")
def pumps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the example with a model that its script has trained on ten minutes of eight healthy pumps."""
    folder = tmp_path_factory.mktemp("pumps")
    for name in ("pumps.py", "train_pumps.py"):
        shutil.copy(EXAMPLES / name, folder / name)
    healthy = record_into(folder / "healthy.csv", "pumps", fleet=8, seconds=600, seed=11).file
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setattr(sys, "argv", ["train_pumps.py", str(healthy)])
        runpy.run_path(str(folder / "train_pumps.py"), run_name="__main__")
        assert (folder / "pumps.joblib").is_file()
        yield folder
    sys.modules.pop("pumps", None)


def test_the_model_finds_the_anomalies_that_were_injected(
    pumps: Path, record_example: Record, try_example: Try
) -> None:
    recording = record_example("pumps", seconds=600, seed=12)
    injected = [each for each in recording.injections if each.kind == ANOMALY]
    assert {each.device for each in injected} == {"Pump A", "Pump B"}
    report = try_example("pumps", recording, function=pumps / "pumps.py")
    assert len(report.calls) == 3 * 120
    assert not report.failed

    def is_true(device: str, begin: int, end: int) -> bool:
        """Whether half of the window's readings were changed."""
        changed = sum(
            max(0, min(each.to_ts_ms + 250, end) - max(each.from_ts_ms, begin))
            for each in injected
            if each.device == device
        )
        return changed * 2 >= end - begin

    found, injected_windows = set(), set()
    for call in report.calls:
        device, end = call.window.group["deviceName"], round(call.window.end.timestamp() * 1000)
        values = call.results[0].values
        assert values["unusual"] >= 0
        if values["anomalous"] > 0.5:
            found.add((device, end))
        if is_true(device, end - 5000, end):
            injected_windows.add((device, end))
    assert len(injected_windows) > 50
    precision, recall = (
        len(found & injected_windows) / len(found),
        len(found & injected_windows) / len(injected_windows),
    )
    assert precision >= 0.95
    assert recall >= 0.95


def test_the_model_is_loaded_once(pumps: Path, record_example: Record, try_example: Try, monkeypatch: Any) -> None:
    import joblib

    loads = []
    load = joblib.load

    def counted(path: Path) -> Any:
        loads.append(path)
        return load(path)

    monkeypatch.setattr(joblib, "load", counted)
    report = try_example("pumps", record_example("pumps", seconds=60), function=pumps / "pumps.py")
    assert len(report.calls) == 3 * 12
    assert loads == [pumps / "pumps.joblib"]


def test_the_forecast_beats_persistence_at_every_distance(record_example: Record, try_example: Try) -> None:
    recording = record_example("forecast", fleet=2, seconds=20 * 60)
    report = try_example("forecast", recording)
    means = {
        place: statistics.fmean(reading["load"] for reading in part)
        for place, part in windows(readings_of(recording.file), "station", 5000).items()
    }
    errors: dict[int, list[float]] = {ahead: [] for ahead in range(1, 13)}
    persistence: dict[int, list[float]] = {ahead: [] for ahead in range(1, 13)}
    for call in report.calls:
        station, end = call.window.group["station"], round(call.window.end.timestamp() * 1000)
        [result] = call.results
        assert result.values["mean"] == pytest.approx(means[station, end])
        for ahead in range(1, 13):
            later = means.get((station, end + ahead * 5000))
            if f"in_{ahead}" in result.values and later is not None:
                errors[ahead].append(abs(result.values[f"in_{ahead}"] - later))
                persistence[ahead].append(abs(means[station, end] - later))
    for ahead in range(1, 13):
        assert len(errors[ahead]) > 200
        assert statistics.fmean(errors[ahead]) < 0.7 * statistics.fmean(persistence[ahead]), ahead
    assert statistics.fmean(errors[12]) < 0.1 * statistics.fmean(persistence[12])


def test_the_forecast_says_how_wrong_it_was(record_example: Record, try_example: Try) -> None:
    report = try_example("forecast", record_example("forecast", fleet=1, seconds=12 * 60))
    calls = [dict(call.results[0].values) for call in report.calls]
    assert "in_1" in calls[-1]
    checked = 0
    for then, now in zip(calls, itertools.islice(calls, 12, None), strict=False):
        assert now["persistence_error"] == pytest.approx(abs(now["mean"] - then["mean"]))
        assert ("forecast_error" in now) == ("in_12" in then)
        if "in_12" in then:
            checked += 1
            assert now["forecast_error"] == pytest.approx(abs(now["mean"] - then["in_12"]))
    assert checked > 20
