from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.errors import ExitCode, ScenarioError
from pacifictool.models.config import UniformModel
from pacifictool.scenario import (
    load_scenario,
    parse_scenario,
    tutorial_scenario,
)

TURBINE = '[[turbines]]\nname = "T1"\nzone = "Z"\nwind_speed = { min = 1, max = 2 }\n'


def test_the_tutorial_is_what_the_tutorial_says() -> None:
    scenario = tutorial_scenario()
    assert [(t.name, t.zone, t.wind_speed, t.rate) for t in scenario.turbines] == [
        ("Wind Turbine 1", "Zone A", UniformModel(min=30, max=35), 10),
        ("Wind Turbine 2", "Zone A", UniformModel(min=45, max=50), 10),
        ("Wind Turbine 3", "Zone B", UniformModel(min=30, max=60), 10),
    ]
    assert [asset.name for asset in scenario.assets] == ["Zone A"]
    assert scenario.zones == ("Zone A", "Zone B")
    assert scenario.platform.entity_type == "WeatherStation"
    assert scenario.kafka.topic == "weather-stations-data"
    assert scenario.aggregation.window_ms == 10_000


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[platform\n", "line 1"),
        ("a = 1\nb = = 2\n", "line 2"),
        ('[platform]\ntype = "x"\n', "unknown key 'platform.type'"),
        ("[speed]\n", "unknown key 'speed'"),
        (TURBINE + TURBINE, "two turbines have the name 'T1'"),
        ('[[assets]]\nname = "Z"\n[[assets]]\nname = "Z"\n', "two assets have the name 'Z'"),
        (TURBINE.replace("min = 1", "min = 3"), "turbines[1].wind_speed: min (3) is greater than max (2)"),
        (TURBINE + "rate = -1\n", "turbines[1].rate"),
        (TURBINE + "rate = nan\n", "turbines[1].rate"),
        (TURBINE.replace("min = 1", "min = 1.5"), "turbines[1].wind_speed.min"),
        (TURBINE.replace('"T1"', '""'), "turbines[1].name: a name must not be empty"),
        (TURBINE.replace('"T1"', '"a\\u0007b"'), "control characters"),
        (TURBINE.replace("T1", "x" * 256), "at most 255"),
        ('[[turbines]]\nname = "T1"\n', "key 'turbines[1].zone' is missing"),
        ('[aggregation]\nwindow = "soon"\n', "'soon' is not a duration"),
        ("[aggregation]\nwindow = true\n", "aggregation.window"),
        ("[aggregation]\nwindow = 0\n", "aggregation.window"),
        ("[aggregation]\nwindow = 0.1234\n", "whole number of milliseconds"),
        ("[aggregation]\nvalid = { min = 5, max = 1 }\n", "min (5) is greater than max (1)"),
        ("[aggregation]\nvalid = { min = 0, max = 1e12 }\n", "valid must lie within"),
        ('[kafka]\ntopic = "a b"\n', "kafka.topic"),
        ("[kafka]\npartitions = 0\n", "kafka.partitions"),
    ],
)
def test_a_faulty_scenario_is_refused_with_the_place(text: str, complaint: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text, source="wind.toml")
    assert caught.value.message.startswith("wind.toml")
    assert complaint in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_missing_or_binary_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="There is no scenario file"):
        load_scenario(tmp_path / "nosuch.toml")
    (tmp_path / "bin.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ScenarioError, match="cannot be read"):
        load_scenario(tmp_path / "bin.toml")


def test_the_window_can_be_replaced_and_is_checked_again() -> None:
    assert tutorial_scenario().with_window(2).aggregation.window_ms == 2000
    with pytest.raises(ValueError, match="greater than or equal"):
        tutorial_scenario().with_window(0)


@given(st.text())
def test_any_text_is_either_a_scenario_or_a_scenario_error(text: str) -> None:
    try:
        parse_scenario(text, source="fuzz")
    except ScenarioError as error:
        assert error.message.startswith("fuzz")
