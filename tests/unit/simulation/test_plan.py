from __future__ import annotations

import pytest

from pacifictool.errors import ScenarioError, UsageError
from pacifictool.scenario import Scenario, tutorial_scenario
from pacifictool.settings import Secret
from pacifictool.simulation.plan import choose_turbines, plan_devices

TUTORIAL = tutorial_scenario()


def names(*chosen: str) -> list[str]:
    return [turbine.name for turbine in choose_turbines(TUTORIAL, chosen)]


def test_all_turbines_by_default() -> None:
    assert names() == ["Wind Turbine 1", "Wind Turbine 2", "Wind Turbine 3"]


def test_named_turbines_once_each_in_the_order_of_the_names() -> None:
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


def test_a_scenario_without_turbines() -> None:
    with pytest.raises(ScenarioError, match="no turbines"):
        choose_turbines(Scenario())


def test_the_devices_of_a_plan() -> None:
    (device,) = plan_devices(TUTORIAL, choose_turbines(TUTORIAL, ["Wind Turbine 1"]), lambda name: Secret(f"of {name}"))
    assert (device.name, device.token, device.rate, device.value_key) == (
        "Wind Turbine 1",
        Secret("of Wind Turbine 1"),
        10.0,
        "windSpeed",
    )


def test_a_rate_replaces_that_of_the_scenario() -> None:
    devices = plan_devices(TUTORIAL, TUTORIAL.turbines, Secret, rate=0.5)
    assert {device.rate for device in devices} == {0.5}
    with pytest.raises(UsageError, match="greater than 0"):
        plan_devices(TUTORIAL, TUTORIAL.turbines, Secret, rate=-1)
