from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from pacifictool.errors import DescriptorError, Interrupted
from pacifictool.plan import Change, ChangeAction, Kind, Plan
from pacifictool.provisioning.apply import apply_plan
from pacifictool.provisioning.forwarding import forwarding_spec
from pacifictool.rest import tutorial_rule, tutorial_rule_chain
from pacifictool.scenario import Scenario, tutorial_scenario
from pacifictool.settings import Settings, Sources, resolve


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return resolve(Sources({"kafka": "broker:9092", "platform_kafka": "inner:9093"}, {}, tmp_path, tmp_path / "x", str))


def test_a_plan_counts_its_changes_and_knows_which_are_pending() -> None:
    plan = Plan.from_changes(
        [
            Change(Kind.TOPIC, "t", ChangeAction.KEEP),
            Change(Kind.DEVICE, "d", ChangeAction.CREATE),
            Change(Kind.DEVICE, "e", ChangeAction.CHANGE, ("type: 'a' instead of 'b'",)),
        ],
        ["a note"],
    )
    assert [change.name for change in plan.pending] == ["d", "e"]
    assert (plan.count(ChangeAction.CREATE), plan.count(ChangeAction.KEEP, Kind.DEVICE)) == (1, 0)
    assert plan.as_document() == {
        "created": 1,
        "changed": 1,
        "unchanged": 1,
        "deleted": 0,
        "steps": [
            {"kind": "topic", "name": "t", "action": "unchanged", "differences": []},
            {"kind": "device", "name": "d", "action": "created", "differences": []},
            {"kind": "device", "name": "e", "action": "changed", "differences": ["type: 'a' instead of 'b'"]},
        ],
        "notes": ["a note"],
    }


def test_changes_are_applied_in_the_order_of_the_plan() -> None:
    done: list[str] = []

    def change(kind: Kind, name: str) -> Change:
        return Change(kind, name, ChangeAction.CREATE, apply=lambda: done.append(name))

    apply_plan(
        Plan.from_changes(
            [change(Kind.TOPIC, "1"), change(Kind.PLUGIN, "2"), change(Kind.DEVICE, "3"), change(Kind.ASSET, "4")]
        )
    )
    assert done == ["1", "2", "3", "4"]


def test_no_further_change_begins_after_a_stop() -> None:
    stop = threading.Event()
    done: list[str] = []
    first = Change(Kind.PLUGIN, "p", ChangeAction.CREATE, apply=stop.set)
    second = Change(Kind.RULE, "r", ChangeAction.CREATE, apply=lambda: done.append("r"))
    with pytest.raises(Interrupted):
        apply_plan(Plan.from_changes([first, second]), stop=stop)
    assert done == []


def test_the_tutorials_rule_is_used_unchanged_for_its_own_keys(settings: Settings) -> None:
    spec = forwarding_spec(settings, tutorial_scenario())
    assert spec.wanted_rule() == tutorial_rule()
    plugin = spec.wanted_plugin()
    assert plugin is not None
    assert plugin["configuration"]["bootstrapServers"] == "inner:9093"


def test_only_filters_and_action_of_the_rule_are_adapted_to_other_keys(settings: Settings) -> None:
    scenario = Scenario.model_validate(
        {"platform": {"entity_type": "Gauge"}, "aggregation": {"zone_key": "area", "value_key": "level"}}
    )
    rule = forwarding_spec(settings, scenario).wanted_rule()
    assert rule is not None
    assert (rule["name"], rule["pluginToken"]) == (tutorial_rule()["name"], tutorial_rule()["pluginToken"])
    text = str((rule["filters"], rule["action"]))
    assert "windSpeed" not in text
    assert "geoZone" not in text
    assert '"Gauge"' in text
    assert "\"$cs.get('area')\"" in rule["action"]["configuration"]["template"]


def test_plugin_and_rule_files_with_different_tokens_are_refused(settings: Settings, tmp_path: Path) -> None:
    rule = tmp_path / "rule.json"
    rule.write_text(json.dumps({**tutorial_rule(), "pluginToken": "another"}), encoding="utf-8")
    with pytest.raises(DescriptorError, match="another"):
        forwarding_spec(settings, tutorial_scenario(), rule_file=rule)


def test_the_tutorials_rule_chain_with_the_addresses_of_the_settings(settings: Settings) -> None:
    spec = forwarding_spec(settings, tutorial_scenario())
    chain = spec.wanted_rule_chain()
    assert chain is not None
    kafka = chain["metadata"]["nodes"][3]["configuration"]
    assert (kafka["bootstrapServers"], kafka["topicPattern"]) == ("inner:9093", "weather-stations-data")
    assert chain["metadata"]["nodes"][:3] == tutorial_rule_chain()["metadata"]["nodes"][:3]
    assert spec.device_type == "WeatherStation"


def test_a_rule_chain_is_adapted_to_other_keys_even_if_they_contain_the_tutorials(settings: Settings) -> None:
    scenario = Scenario.model_validate(
        {
            "platform": {"entity_type": 'It\'s a "Gauge"'},
            "aggregation": {"zone_key": "windSpeedZone", "value_key": "geoZoneLevel"},
        }
    )
    spec = forwarding_spec(settings, scenario)
    chain = spec.wanted_rule_chain()
    assert chain is not None
    assert chain["ruleChain"] == tutorial_rule_chain()["ruleChain"]
    attributes, stations, shape, _ = (node["configuration"] for node in chain["metadata"]["nodes"])
    assert attributes["clientAttributeNames"] == ["deviceType", "windSpeedZone"]
    assert "var value = msg.geoZoneLevel;" in stations["jsScript"]
    assert '=== "It\'s a \\"Gauge\\"" && !!metadata.cs_windSpeedZone' in stations["jsScript"]
    assert "{windSpeedZone: metadata.cs_windSpeedZone, geoZoneLevel: Number(msg.geoZoneLevel)}" in shape["jsScript"]
    rule = spec.wanted_rule()
    assert rule is not None
    assert "$cs.get('windSpeedZone')" in rule["action"]["configuration"]["template"]
    assert "$geoZoneLevel.valueAsString" in rule["action"]["configuration"]["template"]


def test_user_files_decide_which_server_generations_the_spec_serves(settings: Settings, tmp_path: Path) -> None:
    chain, rule = tmp_path / "chain.json", tmp_path / "rule.json"
    own = tutorial_rule_chain()
    own["ruleChain"]["name"] = "Mine"
    chain.write_text(json.dumps(own), encoding="utf-8")
    rule.write_text(json.dumps(tutorial_rule()), encoding="utf-8")
    scenario = tutorial_scenario()
    with_chain = forwarding_spec(settings, scenario, rule_chain_file=chain)
    wanted = with_chain.wanted_rule_chain()
    assert wanted is not None
    assert (wanted["ruleChain"]["name"], with_chain.plugin, with_chain.rule) == ("Mine", None, None)
    with_rule = forwarding_spec(settings, scenario, rule_file=rule)
    assert with_rule.rule_chain is None
    with_both = forwarding_spec(settings, scenario, rule_file=rule, rule_chain_file=chain)
    assert None not in (with_both.plugin, with_both.rule, with_both.rule_chain)
