"""The functions of the worked cases, against computations that share no code with them."""

from __future__ import annotations

import itertools

import pytest

from pacifictool.scenario import load_scenario
from tests.integration.examples.conftest import EXAMPLES, START_MS, Record, Try
from tests.support.worked_cases import blight_alarm, blight_means, readings_of, solar, turbulence, windows


@pytest.mark.parametrize(
    "files",
    [("late_blight.toml",), ("turbulence.toml", "turbulence.py"), ("solar.toml", "solar.py")],
    ids=lambda f: f[0],
)
def test_a_worked_case_takes_at_most_forty_lines(files: tuple[str, ...]) -> None:
    assert sum(len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) for name in files) <= 40


def test_turbulence_of_ten_minutes_every_minute(record_example: Record, try_example: Try) -> None:
    recording = record_example("turbulence", fleet=2, seconds=12 * 60)
    report = try_example("turbulence", recording)
    expected = windows(readings_of(recording.file), "deviceName", 600_000, 60_000)
    assert recording.readings == 2 * 12 * 60 * 20
    assert len(report.calls) == len(expected) == 2 * 21
    for call in report.calls:
        device = call.window.group["deviceName"]
        [result] = call.results
        assert (result.kind, result.entity) == ("device", f"{device}_10m")
        wanted = turbulence(expected.pop((device, round(call.window.end.timestamp() * 1000))))
        assert dict(result.values) == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    assert expected == {}
    full = [call for call in report.calls if call.readings == 600 * 20]
    assert len(full) == 2 * 3


def test_the_wind_direction_is_where_the_wind_comes_from(record_example: Record, try_example: Try) -> None:
    recording = record_example("turbulence", fleet=1, seconds=60)
    text = recording.file.read_text(encoding="utf-8").splitlines()
    found = []
    for u, v in ((0, -3), (-3, 0), (0, 3), (3, 0)):  # towards the south, west, north and east
        rows = [",".join((*line.split(",")[:2], str(u), str(v), "0", "20")) for line in text[1:]]
        recording.file.write_text("\n".join((text[0], *rows)), encoding="utf-8")
        found.append(try_example("turbulence", recording).calls[0].results[0].values["direction"])
    assert found == pytest.approx([0, 90, 180, 270])


def test_a_window_without_one_of_the_keys_has_no_results(record_example: Record, try_example: Try) -> None:
    recording = record_example("turbulence", fleet=1, seconds=60)
    text = recording.file.read_text(encoding="utf-8").splitlines()
    recording.file.write_text("\n".join(",".join(line.split(",")[:5]) for line in text), encoding="utf-8")
    report = try_example("turbulence", recording)
    assert {(call.results, call.failure) for call in report.calls} == {((), None)}


def test_solar_modules_against_the_mean_of_their_panel(record_example: Record, try_example: Try) -> None:
    recording = record_example("solar", fleet=20, seconds=90)
    report = try_example("solar", recording)
    expected = windows(readings_of(recording.file), "panel", 30_000)
    assert len(report.calls) == len(expected) == 2 * 3
    for call in report.calls:
        panel = call.window.group["panel"]
        wanted, weak = solar(expected[panel, round(call.window.end.timestamp() * 1000)], panel)
        actual = {(str(each.kind), each.entity): dict(each.values) for each in call.results}
        assert actual.keys() == wanted.keys()
        for place, values in wanted.items():
            assert actual[place] == pytest.approx(values, rel=1e-9), place
        assert {(each.kind, each.entity) for each in call.alarms} == {("device", module) for module in weak}
        assert weak == {{"Panel 1": "Module 09", "Panel 2": "Module 18"}[panel]}


def test_modules_that_are_all_alike_deviate_from_nothing(record_example: Record, try_example: Try) -> None:
    recording = record_example("solar", fleet=20, seconds=30)
    text = recording.file.read_text(encoding="utf-8").splitlines()
    same = [",".join((*line.split(",")[:3], "250")) for line in text[1:]]
    recording.file.write_text("\n".join((text[0], *same)), encoding="utf-8")
    assert all(call.results == () and call.failure is None for call in try_example("solar", recording).calls)


def test_late_blight_raises_on_the_warm_and_wet_parcel_and_clears(record_example: Record) -> None:
    scenario = load_scenario(EXAMPLES / "late_blight.toml")
    recording = record_example("late_blight", seconds=180)
    means = blight_means(readings_of(recording.file))
    # Wet from second 20 to 100: ten wet windows of twelve at the end of second 70, no longer at that of second 115.
    seconds = [(end - START_MS) // 1000 for end in blight_alarm(means, "Potatoes South")]
    assert seconds == list(range(70, 115, 5))
    assert blight_alarm(means, "Potatoes North") == []
    cold = [values for (parcel, _), values in means.items() if parcel == "Potatoes North"]
    assert all(values["humidity"] > 75 and values["temperature"] < 10 for values in cold)
    assert scenario.alarms[0].holds.needed == 10


def test_the_independent_computation_counts_each_reading_in_every_window_that_holds_it() -> None:
    readings = [{"ts": START_MS + ms, "deviceName": "A"} for ms in (0, 999, 1000, 2999)]
    found = windows(readings, "deviceName", 2000, 1000)
    ends = {end - START_MS: [reading["ts"] - START_MS for reading in part] for (_, end), part in found.items()}
    assert ends == {1000: [0, 999], 2000: [0, 999, 1000], 3000: [1000, 2999], 4000: [2999]}
    assert sum(map(len, itertools.chain(found.values()))) == 2 * 4
