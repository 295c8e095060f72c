from __future__ import annotations

from pathlib import Path

import pytest

from pacifictool.errors import ScenarioError
from pacifictool.models.config import ReplayModel
from pacifictool.scenario import Scenario, parse_scenario


def scenario(wind: str, folder: Path | None = None, more: str = "") -> Scenario:
    text = f'[[turbines]]\nname = "T1"\nzone = "Z"\nwind_speed = {wind}\n{more}'
    return parse_scenario(text, source="wind.toml", folder=folder)


@pytest.mark.parametrize(
    ("wind", "said"),
    [
        ('{ model = "gale" }', "the wind models are uniform, constant, normal, walk, sine, replay"),
        ("{ model = 7 }", "the wind models are"),
        ('{ model = "constant" }', "key 'turbines[1].wind_speed.value' is missing"),
        ('{ model = "constant", value = nan }', "turbines[1].wind_speed.value"),
        ('{ model = "constant", value = 1e10 }', "less than or equal to 1000000000"),
        ('{ model = "normal", mean = 1, deviation = -1 }', "turbines[1].wind_speed.deviation"),
        ('{ model = "normal", mean = 1, deviation = 1, min = 5, max = 4 }', "min (5) is greater than max (4)"),
        ('{ model = "normal", mean = 1, deviation = 1, decimals = 5 }', "turbines[1].wind_speed.decimals"),
        ('{ model = "normal", mean = 1, deviation = 1, gust = 3 }', "unknown key 'turbines[1].wind_speed.gust'"),
        ('{ model = "walk", min = 1, max = 1 }', "no room to walk; use the model constant"),
        ('{ model = "walk", min = 1, max = 2, start = 3 }', "start (3) is not within 1 and 2"),
        ('{ model = "sine", mean = 1, amplitude = 1, period_hours = 0 }', "turbines[1].wind_speed.period_hours"),
        ('{ model = "replay", file = "no.csv" }', "no.csv cannot be read: No such file or directory"),
        ('{ model = "replay", file = "wind.csv" }', "has no column 'windSpeed'; it has 'time', 'speed', 'note'"),
        ('{ model = "replay", file = "wind.csv", column = "speed" }', "'fast' in line 3 of"),
        ('{ model = "replay", file = "wind.csv", column = "note" }', "holds no numbers"),
        ('"coast"', "there is no wind 'coast': a table [winds.coast] would describe it"),
    ],
)
def test_an_invalid_model_is_reported_with_its_place(wind: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "wind.csv").write_text("time,speed,note\n0,3,\n1,fast,\n", encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        scenario(wind, tmp_path)
    assert caught.value.message.startswith("wind.toml: ")
    assert said in caught.value.message
    assert "docs/scenario.md" in (caught.value.hint or "")


def test_a_file_is_relative_to_the_folder_of_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "wind.csv").write_text("windSpeed\n3\n", encoding="utf-8")
    wind = scenario('{ model = "replay", file = "wind.csv" }', tmp_path).turbines[0].wind_speed
    assert isinstance(wind, ReplayModel)
    assert wind.file == tmp_path / "wind.csv"


def test_groups_share_a_named_wind_and_the_zones_of_a_fleet_alternate() -> None:
    found = scenario(
        '"coast"',
        more='[winds.coast]\nmodel = "constant"\nvalue = 9\n'
        "[fleet]\nzones = 3\nwind_speed = ['coast', { min = 1, max = 2 }]\n",
    )
    coast = found.winds["coast"]
    assert found.turbines[0].wind_speed == coast
    turbines = found.with_fleet(7).turbines
    assert [turbine.zone for turbine in turbines] == [f"Zone {n % 3 + 1}" for n in range(7)]
    assert [turbine.wind_speed == coast for turbine in turbines] == [True, False, True, True, False, True, True]
