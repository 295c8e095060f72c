from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from pacifictool.models.config import Model, ReplayModel
from pacifictool.report.collect import bands_of
from pacifictool.report.facts import RunFacts, WindowFacts
from pacifictool.report.ranges import range_of
from pacifictool.report.wording import band_label, figures, notes
from pacifictool.scenario import tutorial_scenario
from tests.support.recorded_documents import assert_described

MODEL: TypeAdapter[Model] = TypeAdapter(Model)


def test_the_sums_are_those_of_the_windows(facts: RunFacts) -> None:
    assert facts.readings == 100 + 200 + 200 + 100 + 100 + 7
    assert (facts.posted, facts.agreeing) == (5, 4)
    assert facts.invalid_by_reason == {"the value is not a number": 5, "there is no zone": 1}
    assert facts.median_wait_seconds == 1.1  # 500 of 700 records waited as long as that
    assert facts.analytics[0].rate(facts.analytics[0].groups[0].series[0].windows[1]) == 20.0
    document = facts.as_document()
    assert_described("report", {"ok": True, "file": "run.html", **document})
    assert document["equal_to_topic"] == 4
    assert document["analytics"][0]["groups"][0]["series"][0]["windows"][0]["value"] == 32.5


def test_without_a_job_its_facts_are_unknown(facts: RunFacts) -> None:
    alone = dataclasses.replace(facts, job=None)
    assert alone.median_wait_seconds is None
    assert ("Job", "none on this machine") in figures(alone)
    assert any("waits and invalid records are not known" in note for note in notes(alone))


def test_notes_report_what_is_missing(facts: RunFacts) -> None:
    said = " ".join(notes(facts))
    for part in ("3 more zones", "1 windows of the topic have no mean", "1 means differ"):
        assert part in said


def test_a_mean_without_readings_disagrees() -> None:
    assert not WindowFacts(1, 32.0, 0, None, None, None).agrees
    assert WindowFacts(1, 0.1 + 0.2, 1, 0, 1, 0.3).agrees


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"min": 30, "max": 35}, (30, 35)),
        ({"model": "constant", "value": 12.5}, (12.5, 12.5)),
        ({"model": "normal", "mean": 40, "deviation": 2}, (34, 46)),
        ({"model": "normal", "mean": 3, "deviation": 2, "min": 0, "max": 8}, (0, 8)),
        ({"model": "walk", "min": 5, "max": 25}, (5, 25)),
        ({"model": "sine", "mean": 20, "amplitude": 10, "noise": 1}, (7, 33)),
    ],
)
def test_the_range_of_each_model(model: dict[str, object], expected: tuple[float, float]) -> None:
    assert range_of(MODEL.validate_python(model), "windSpeed") == expected


def test_the_range_of_a_replayed_file(tmp_path: Path) -> None:
    with (tmp_path / "gusts.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([["windSpeed"], [12.5], [3], [48]])
    assert range_of(ReplayModel(model="replay", file=tmp_path / "gusts.csv"), "windSpeed") == (3, 48)


def test_turbines_with_the_same_range_share_a_band() -> None:
    one, two, three = tutorial_scenario().devices
    assert [band_label(band) for band in bands_of([one, two], "windSpeed")] == [
        "Wind Turbine 1: 30–35",
        "Wind Turbine 2: 45–50",
    ]
    (band,) = bands_of([three.model_copy(update={"name": f"T{number}"}) for number in range(3)], "windSpeed")
    assert band_label(band) == "T0 and 2 more: 30–60"
