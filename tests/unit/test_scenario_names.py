"""The names of what a scenario has on the server: the user's own, or derived from the topic."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from pacifictool.errors import ScenarioError
from pacifictool.scenario import MAX_NAME_LENGTH, Scenario, parse_scenario, tutorial_scenario


def scenario(**changes: Any) -> Scenario:
    forwarding = {"topic": "cold-rooms", "telemetry": ["temperature"], **changes}
    return Scenario.model_validate({"platform": {"device_type": "ColdRoom"}, "forwarding": forwarding})


def test_names_that_the_scenario_does_not_give_name_the_topic() -> None:
    given = scenario()
    assert given.forwarding.plugin_name == "Kafka Plugin for cold-rooms"
    assert given.forwarding.plugin_api_token == "kafka-cold-rooms"
    assert given.forwarding.rule_name == given.forwarding.rule_chain_name == "Forward to cold-rooms"
    assert given.dashboard_title == "ColdRoom: cold-rooms"


def test_names_of_the_scenario_are_used_as_they_are() -> None:
    forwarding = scenario(plugin="P", plugin_token="t", rule="R", rule_chain="C").forwarding
    names = (forwarding.plugin_name, forwarding.plugin_api_token, forwarding.rule_name, forwarding.rule_chain_name)
    assert names == ("P", "t", "R", "C")


def test_the_tutorial_keeps_its_names() -> None:
    tutorial = tutorial_scenario()
    assert tutorial.forwarding.plugin_name == "Kafka Plugin for Spark Streaming Sample"
    assert tutorial.forwarding.plugin_api_token == "kafka-spark-streaming-sample"
    assert tutorial.forwarding.rule_name == "WindSpeed Telemetry Rule"
    assert tutorial.forwarding.rule_chain_name == "WindSpeed Telemetry Rule Chain"
    assert tutorial.dashboard_title == "WeatherStation: zones and turbines"


def test_derived_names_fit_into_the_platforms_columns() -> None:
    forwarding = scenario(topic="t" * 249).forwarding
    names = (forwarding.plugin_name, forwarding.plugin_api_token, forwarding.rule_name, forwarding.rule_chain_name)
    assert max(map(len, names)) == MAX_NAME_LENGTH


def test_a_converted_scenario_of_version_1_goes_on_with_what_version_1_set_up() -> None:
    with pytest.raises(ScenarioError) as refused:
        parse_scenario('[kafka]\ntopic = "mine"\n[platform]\nentity_type = "Gauge"', source="old.toml")
    converted = parse_scenario(refused.value.details["replacement"], source="new.toml")
    assert converted.forwarding.rule_name == tutorial_scenario().forwarding.rule_name
    assert converted.forwarding.rule_chain_name == tutorial_scenario().forwarding.rule_chain_name
    assert converted.forwarding.plugin_api_token == tutorial_scenario().forwarding.plugin_api_token
    assert converted.dashboard_title == "Gauge: zones and turbines"


def test_a_device_cannot_say_another_type_than_the_one_that_is_forwarded() -> None:
    text = """
    [platform]
    device_type = "ColdRoom"
    [forwarding]
    topic = "t"
    attributes = ["deviceType"]
    telemetry = ["temperature"]
    [[devices]]
    name = "D"
    attributes = { deviceType = "Freezer" }
    telemetry = { temperature = { min = 1, max = 2 } }
    """
    with pytest.raises(ScenarioError, match=r"deviceType is 'Freezer'.*'ColdRoom'"):
        parse_scenario(text, source="s.toml")
    assert parse_scenario(text.replace("Freezer", "ColdRoom"), source="s.toml").devices
    assert tomllib.loads(text)
