from __future__ import annotations

import re
from pathlib import Path

import pytest

from pacifictool.errors import ScenarioError
from pacifictool.models.config import ReplayModel
from pacifictool.scenario import Scenario, parse_scenario

FORWARDING = '[forwarding]\ntopic = "t"\nattributes = ["zone"]\ntelemetry = ["windSpeed", "gust"]\n'


def scenario(model: str, folder: Path | None = None, more: str = "") -> Scenario:
    text = f'{FORWARDING}[[devices]]\nname = "T1"\ntelemetry = {{ windSpeed = {model} }}\n{more}'
    return parse_scenario(text, source="wind.toml", folder=folder)


PLACE = "devices[1].telemetry.windSpeed"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ('{ model = "gale" }', "the models are uniform, constant, normal, walk, sine, replay"),
        ("{ model = 7 }", "the models are"),
        ('{ model = "constant" }', f"key '{PLACE}.value' is missing"),
        ('{ model = "constant", value = nan }', f"{PLACE}.value"),
        ('{ model = "constant", value = 1e10 }', "less than or equal to 1000000000"),
        ('{ model = "constant", value = 1, seed = "w" }', f"unknown key '{PLACE}.seed'"),
        ('{ model = "normal", mean = 1, deviation = -1 }', f"{PLACE}.deviation"),
        ('{ model = "normal", mean = 1, deviation = 1, min = 5, max = 4 }', "min (5) is greater than max (4)"),
        ('{ model = "normal", mean = 1, deviation = 1, decimals = 5 }', f"{PLACE}.decimals"),
        ('{ model = "normal", mean = 1, deviation = 1, gust = 3 }', f"unknown key '{PLACE}.gust'"),
        ('{ model = "normal", mean = 1, deviation = 1, seed = "" }', f"{PLACE}.seed"),
        ('{ model = "walk", min = 1, max = 1 }', "no room to walk; use the model constant"),
        ('{ model = "walk", min = 1, max = 2, start = 3 }', "start (3) is not within 1 and 2"),
        ('{ model = "sine", mean = 1, amplitude = 1, period_hours = 0 }', f"{PLACE}.period_hours"),
        ('{ model = "replay", file = "no.csv" }', "no.csv cannot be read: No such file or directory"),
        ('{ model = "replay", file = "wind.csv" }', "has no column 'windSpeed'; it has 'time', 'speed', 'note'"),
        ('{ model = "replay", file = "wind.csv", column = "speed" }', "'fast' in line 3 of"),
        ('{ model = "replay", file = "wind.csv", column = "note" }', "holds no numbers"),
        ('{ model = "replay", file = "wind.csv", column = "time", speed = 2 }', "speed need time_column"),
        ('{ model = "replay", file = "wind.csv", time_column = "time", shift = true }', "cannot be combined with"),
        ('{ model = "replay", file = "wind.csv", separator = "," , decimal = "," }', "are both ','"),
        ("""{ model = "replay", file = "wind.csv", separator = '"' }""", "separator cannot be a quote"),
        ('"coast"', "there is no model 'coast': a table [models.coast] would describe it"),
    ],
)
def test_an_invalid_model_is_reported_with_its_place(model: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "wind.csv").write_text("time,speed,note\n0,3,\n1,fast,\n", encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        scenario(model, tmp_path)
    assert caught.value.message.startswith("wind.toml: ")
    assert said in caught.value.message
    assert "docs/scenario.md" in (caught.value.hint or "")


def test_a_file_is_relative_to_the_folder_of_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "wind.csv").write_text("windSpeed\n3\n", encoding="utf-8")
    model = scenario('{ model = "replay", file = "wind.csv" }', tmp_path).devices[0].telemetry["windSpeed"]
    assert isinstance(model, ReplayModel)
    assert model.file == tmp_path / "wind.csv"


def test_devices_share_a_named_model_and_the_groups_of_a_fleet_alternate() -> None:
    found = scenario(
        '"coast"',
        more='[models.coast]\nmodel = "constant"\nvalue = 9\n'
        '[fleet]\ngroups = 3\nattributes = { zone = "Zone {group}" }\n'
        "telemetry = { windSpeed = ['coast', { min = 1, max = 2 }] }\n",
    )
    coast = found.models["coast"]
    assert found.devices[0].telemetry["windSpeed"] == coast
    devices = found.with_fleet(7).devices
    assert [device.attributes["zone"] for device in devices] == [f"Zone {n % 3 + 1}" for n in range(7)]
    assert [device.telemetry["windSpeed"] == coast for device in devices] == [
        True, False, True, True, False, True, True,
    ]  # fmt: skip


def test_keys_of_a_device_must_agree_on_its_times(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("time,windSpeed,gust\n2026-01-01,3,4\n2026-01-02,5,6\n", encoding="utf-8")
    replay = '{{ model = "replay", file = "{}.csv", time_column = "time"{} }}'
    for other in (replay.format("b", ""), replay.format("a", ", speed = 2")):
        with pytest.raises(ScenarioError, match="must take it from one file"):
            scenario(f"{replay.format('a', '')}, gust = {other}", tmp_path)
    scenario(f"{replay.format('a', '')}, gust = {replay.format('a', '')}", tmp_path)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('anomalies = [{ key = "gust", after = 1, lasts = 1, add = 1 }]', "anomalies: 'gust' is not in telemetry"),
        ('anomalies = [{ key = "windSpeed", after = 1, lasts = 1 }]', "exactly one of add, factor and set"),
        ('anomalies = [{ key = "windSpeed", after = 1, lasts = 1, add = 1, set = 2 }]', "exactly one of add"),
        ('anomalies = [{ key = "windSpeed", after = 1, lasts = "soon", add = 1 }]', "anomalies[1].lasts"),
        ('dropouts = [{ key = "gust", after = 1, lasts = 1 }]', "dropouts: 'gust' is not in telemetry"),
        ('dropouts = [{ after = 1, lasts = "2s", every = "1s" }]', "every must not be shorter than lasts"),
        ("dropouts = [{ after = -1, lasts = 2 }]", "dropouts[1].after"),
        (
            """payload = '{"a": {gust}}'""",
            "there is no {gust}; the placeholders are {windSpeed}, {ts}, {device}, {number}",
        ),
        ("""payload = '{"a": 1}'""", "{windSpeed} is not in it"),
        ("""payload = '{"a": {windSpeed}'""", "is not JSON"),
        ("""payload = '{"a": {windSpeed}, "d": {device}}'""", "texts such as {device} need quotes"),
        ("""payload = '{"a": {windSpeed}, "a": 2}'""", "an object has two members of one name"),
        ("""payload = '{"a": {windSpeed}, "b": NaN}'""", "NaN is not JSON"),
        ("""payload = '{"a": -{windSpeed}}'""", "is not JSON"),
        ("""payload = '{"a": {windSpeed}e2}'""", "is part of a longer number"),
        ("payload = '{windSpeed}'", "a message is an object or an array"),
    ],
)
def test_what_is_injected_and_sent_is_checked_for_devices_and_fleets(lines: str, said: str) -> None:
    model = "{ min = 1, max = 2 }"
    for more in (f"{lines}\n", f"[fleet]\ntelemetry = {{ windSpeed = {model} }}\n{lines}\n"):
        with pytest.raises(ScenarioError) as caught:
            scenario(model, more=more)
        assert said in caught.value.message
        assert caught.value.message.startswith("wind.toml: fleet" if "[fleet]" in more else "wind.toml: devices[1]")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("telemetry = { temp = { min = 1, max = 2 } }", "fleet.telemetry: 'temp' is not in forwarding.telemetry"),
        (
            'telemetry = { gust = { min = 1, max = 2 } }\nattributes = { site = "{group}" }',
            "fleet.attributes: 'site' is not in forwarding.attributes",
        ),
    ],
)
def test_a_fleet_has_what_is_forwarded(lines: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(said)):
        scenario("{ min = 1, max = 2 }", more=f"[fleet]\n{lines}\n")
