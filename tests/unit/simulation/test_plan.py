from __future__ import annotations

from pathlib import Path

import pytest

from pacifictool.errors import ScenarioError, UsageError
from pacifictool.models.config import UniformModel
from pacifictool.scenario import parse_scenario, tutorial_scenario
from pacifictool.settings import MqttEndpoint, Secret
from pacifictool.simulation.fleet import Fleet
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.plan import SimulatedDevice, choose_devices, plan_devices
from pacifictool.simulation.schedule import RecordedSchedule

TUTORIAL = tutorial_scenario()


def names(*chosen: str) -> list[str]:
    return [device.name for device in choose_devices(TUTORIAL, chosen)]


def test_all_devices_by_default() -> None:
    assert names() == ["Wind Turbine 1", "Wind Turbine 2", "Wind Turbine 3"]


def test_named_devices_once_each_in_the_order_of_the_names() -> None:
    assert names("Wind Turbine 3", "Wind Turbine 1", "Wind Turbine 3") == ["Wind Turbine 3", "Wind Turbine 1"]


@pytest.mark.parametrize("typed", ["wind turbine 2", "Wind Turbin 2", "WindTurbine2", "Turbine 2"])
def test_an_unknown_name_gets_the_most_similar_one(typed: str) -> None:
    with pytest.raises(UsageError) as caught:
        names(typed)
    assert caught.value.message == f"The scenario has no turbine {typed!r}."
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("Did you mean 'Wind Turbine 2'")


def test_a_name_without_similar_ones_gets_the_list() -> None:
    with pytest.raises(UsageError) as caught:
        names("zzz")
    assert caught.value.hint == "It has 'Wind Turbine 1', 'Wind Turbine 2', 'Wind Turbine 3'."


def test_the_words_of_another_scenario() -> None:
    cold_rooms = TUTORIAL.model_copy(update={"labels": {}})
    with pytest.raises(UsageError, match="The scenario has no device 'zzz'"):
        choose_devices(cold_rooms, ["zzz"])


def test_a_scenario_without_devices() -> None:
    with pytest.raises(ScenarioError, match="no devices"):
        choose_devices(TUTORIAL.model_copy(update={"devices": ()}))


def test_the_devices_of_a_plan() -> None:
    (device,) = plan_devices(choose_devices(TUTORIAL, ["Wind Turbine 1"]), lambda name: Secret(f"of {name}"))
    assert (device.name, device.token, device.rate, device.telemetry) == (
        "Wind Turbine 1",
        Secret("of Wind Turbine 1"),
        10.0,
        {"windSpeed": UniformModel(min=30, max=35)},
    )


def test_a_rate_replaces_that_of_the_scenario() -> None:
    devices = plan_devices(TUTORIAL.devices, Secret, rate=0.5)
    assert {device.rate for device in devices} == {0.5}
    with pytest.raises(UsageError, match="greater than 0"):
        plan_devices(TUTORIAL.devices, Secret, rate=-1)


def test_a_file_with_times_is_its_own_schedule(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("time,a,b\n2026-01-01 00:00,1,2\n2026-01-01 00:01,3,\n2026-01-01 00:10,5,6\n")
    replay = '{ model = "replay", file = "log.csv", time_column = "time", speed = 60 }'
    scenario = parse_scenario(
        f"""
[forwarding]
topic = "logs"
telemetry = ["a", "b", "c"]
[[devices]]
name = "Logger"
telemetry = {{ a = {replay}, b = {replay}, c = {{ min = 1, max = 9 }} }}
""",
        source="logs.toml",
        folder=tmp_path,
    )
    (device,) = plan_devices(scenario.devices, Secret)
    schedule = device.schedule(FleetOptions())
    assert isinstance(schedule, RecordedSchedule)
    assert [schedule.offset(number) for number in range(3)] == [0, 1, 10]
    assert device.schedule(FleetOptions(count=2)).limit == 2
    assert device.schedule(FleetOptions(count=9, duration_seconds=1)).limit == 1
    with pytest.raises(UsageError, match="'Logger' have the times of a file"):
        plan_devices(scenario.devices, Secret, rate=5)


def test_a_payload_template_refuses_other_forms() -> None:
    device = SimulatedDevice("T", Secret("t"), {"a": UniformModel(min=1, max=2)}, 1.0, payload='{"a": {a}}')
    for options in (FleetOptions(bare=True), FleetOptions(sequence=True)):
        with pytest.raises(UsageError, match="'T' has a payload of its own"):
            Fleet(MqttEndpoint("127.0.0.1", 1), [device], options)
