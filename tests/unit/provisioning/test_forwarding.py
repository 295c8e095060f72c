"""What forwards a scenario's telemetry, run by the sandbox's interpreters of both generations."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pacifictool.errors import DescriptorError, ScenarioError
from pacifictool.provisioning.forwarding import check_expressible, forwarding_spec, record_spec
from pacifictool.rest import ForwardingSpec, tutorial_plugin, tutorial_rule, tutorial_rule_chain
from pacifictool.rest.forwarding.chain_body import chain_differences, merge_chain
from pacifictool.rest.forwarding.record import TUTORIAL_RECORD
from pacifictool.rest.forwarding.record_chain import with_names_of
from pacifictool.sandbox.generation1.nashorn import compile_filter, names_json, scopes_json
from pacifictool.sandbox.generation1.templates import Template, TemplateReading, attribute_maps
from pacifictool.sandbox.generation4.javascript import JavaScript
from pacifictool.sandbox.generation4.readings import metadata_text
from pacifictool.scenario import Scenario, tutorial_scenario
from pacifictool.settings import Settings, Sources, resolve

TS = 1_700_000_000_123
Attributes = dict[str, dict[str, Any]]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return resolve(Sources({"kafka": "broker:9092", "platform_kafka": "inner:9093"}, {}, tmp_path, tmp_path / "x", str))


def scenario(*, groups: list[list[str]] | None = None, devices: Any = (), **forwarding: Any) -> Scenario:
    """Cold rooms; `groups` are the group_by of the analytics."""
    analytics = [
        {"name": f"a{number}", "group_by": group, "entity": None if group else "All", "window": 10,
         "telemetry": {f"count{number}": "count()"}}
        for number, group in enumerate(groups or [])
    ]  # fmt: skip
    return Scenario.model_validate(
        {
            "platform": {"device_type": "ColdRoom"},
            "forwarding": {"topic": "cold-rooms", "telemetry": ["temperature"], **forwarding},
            "analytics": analytics,
            "devices": devices,
        }
    )


class Servers:
    """Runs messages through what setup would make on 1.x and on later servers."""

    def __init__(self, settings: Settings, wanted: Scenario) -> None:
        self.spec = forwarding_spec(settings, wanted)

    def record_1(self, attributes: Attributes, values: dict[str, Any], device: str = "D") -> str | None:
        """The record of the rule (1.x); None when it forwards nothing."""
        rule = self.spec.wanted_rule()
        assert rule is not None
        devices, messages = (item["configuration"]["filter"] for item in rule["filters"])
        maps: Attributes = {
            name: attributes.get(scope, {})
            for scope, name in (("client", "cs"), ("server", "ss"), ("shared", "shared"))
        }
        names = {key: value for each in maps.values() for key, value in each.items()}
        if not compile_filter(devices).test(names_json(names), scopes_json(maps)):
            return None
        if not compile_filter(messages).test(names_json(values)):
            return None
        context: dict[str, Any] = dict(attribute_maps(maps))
        context |= {key: TemplateReading(key, TS, value) for key, value in values.items()}
        context["deviceName"] = device
        return Template(rule["action"]["configuration"]["template"]).render(context)

    def record_4(self, attributes: Attributes, values: dict[str, Any], device: str = "D") -> Any:
        """The record of the rule chain; None when it forwards nothing."""
        chain = self.spec.wanted_rule_chain()
        assert chain is not None
        fetch, messages, shape, _ = (node["configuration"] for node in chain["metadata"]["nodes"])
        metadata = {"deviceName": device, "deviceType": "ColdRoom", "ts": str(TS)}
        for scope, prefix in (("client", "cs_"), ("server", "ss_"), ("shared", "shared_")):
            known = attributes.get(scope, {})
            for key in fetch[f"{scope}AttributeNames"]:
                if key in known:
                    metadata[prefix + key] = metadata_text(known[key])
        if not JavaScript(messages["jsScript"]).run(values, metadata, "POST_TELEMETRY_REQUEST"):
            return None
        return JavaScript(shape["jsScript"]).run(values, metadata, "POST_TELEMETRY_REQUEST")["msg"]

    def both(self, attributes: Attributes, values: dict[str, Any], device: str = "D") -> Any:
        """The record, which is the same on both."""
        text, record = self.record_1(attributes, values, device), self.record_4(attributes, values, device)
        if text is None:
            assert record is None
            return None
        assert json.loads(text) == record
        # Attributes first, then telemetry in the order of the scenario, then deviceName and ts.
        assert list(json.loads(text)) == list(record)
        return record


COLD: Attributes = {"client": {"deviceType": "ColdRoom", "site": "North", "room": "1"}}


def test_the_tutorials_descriptors_are_its_resource_files(settings: Settings) -> None:
    spec = forwarding_spec(replace(settings, platform_kafka="localhost:9092"), tutorial_scenario())
    assert record_spec(tutorial_scenario()) == TUTORIAL_RECORD
    assert spec.wanted_plugin() == tutorial_plugin()
    assert spec.wanted_rule() == tutorial_rule()
    assert spec.wanted_rule_chain() == tutorial_rule_chain()


def test_addresses_and_names_of_settings_and_scenario(settings: Settings) -> None:
    spec = forwarding_spec(settings, scenario(rule="R", plugin_token="own"))
    plugin, rule, chain = spec.wanted_plugin(), spec.wanted_rule(), spec.wanted_rule_chain()
    assert plugin is not None
    assert rule is not None
    assert chain is not None
    assert (plugin["name"], plugin["apiToken"]) == ("Kafka Plugin for cold-rooms", "own")
    assert plugin["configuration"]["bootstrapServers"] == "inner:9093"
    assert (rule["name"], rule["pluginToken"]) == ("R", "own")
    assert rule["action"]["configuration"]["topic"] == "cold-rooms"
    kafka = chain["metadata"]["nodes"][3]["configuration"]
    assert (kafka["bootstrapServers"], kafka["topicPattern"]) == ("inner:9093", "cold-rooms")
    assert chain["ruleChain"]["name"] == "Forward to cold-rooms"
    assert spec.device_type == "ColdRoom"


def test_keys_that_a_message_lacks_are_left_out(settings: Settings) -> None:
    servers = Servers(settings, scenario(attributes=["site"], telemetry=["temperature", "humidity"], groups=[["site"]]))
    assert servers.both(COLD, {"humidity": 40.5, "temperature": 4}) == {
        "site": "North", "temperature": 4, "humidity": 40.5,
    }  # fmt: skip
    assert servers.both(COLD, {"humidity": 0}) == {"site": "North", "humidity": 0}
    assert servers.both(COLD, {"temperature": -2, "other": 1}) == {"site": "North", "temperature": -2}
    assert servers.both(COLD, {"other": 1}) is None
    assert servers.both(COLD, {}) is None


def test_a_record_of_nothing_but_optional_members_has_no_comma_too_many(settings: Settings) -> None:
    servers = Servers(settings, scenario(attributes=["site", "room"], telemetry=["temperature", "comma", "humidity"]))
    for sites in ({}, {"site": "N"}, {"room": "1"}, {"site": "N", "room": "1"}):
        for values in ({"temperature": 1}, {"humidity": 2}, {"temperature": 1, "comma": 3, "humidity": 2}):
            found = servers.both({"client": {"deviceType": "ColdRoom", **sites}}, values)
            assert found == {**sites, **values}


def test_a_text_is_forwarded_as_the_device_sent_it_and_costs_no_other_key(settings: Settings) -> None:
    servers = Servers(settings, scenario(telemetry=["temperature", "humidity"]))
    assert servers.both(COLD, {"temperature": "31", "humidity": 40}) == {"temperature": "31", "humidity": 40}
    assert servers.both(COLD, {"temperature": "n/a", "humidity": 40}) == {"temperature": "n/a", "humidity": 40}


def test_null_and_objects_are_never_forwarded_by_a_rule_chain(settings: Settings) -> None:
    servers = Servers(settings, scenario(telemetry=["temperature", "humidity"]))
    assert servers.record_4(COLD, {"temperature": None, "humidity": 40}) == {"humidity": 40}
    assert servers.record_4(COLD, {"temperature": {"a": 1}, "humidity": None}) is None


def test_attributes_of_all_scopes(settings: Settings) -> None:
    servers = Servers(settings, scenario(attributes=["site", "server:tier", "shared:owner"], groups=[["site", "tier"]]))
    attributes = {**COLD, "server": {"tier": "gold"}, "shared": {"owner": "Ann"}}
    assert servers.both(attributes, {"temperature": 4}) == {
        "site": "North", "tier": "gold", "owner": "Ann", "temperature": 4,
    }  # fmt: skip
    # Only the server may say which tier a device is of.
    assert servers.both({"client": {**COLD["client"], "tier": "gold"}}, {"temperature": 4}) is None


def test_an_attribute_is_required_only_if_every_analytics_groups_by_it(settings: Settings) -> None:
    grouped = scenario(attributes=["site", "room"], groups=[["site"], ["site", "room"]])
    servers = Servers(settings, grouped)
    without_room: Attributes = {"client": {"deviceType": "ColdRoom", "site": "North"}}
    assert servers.both(without_room, {"temperature": 4}) == {"site": "North", "temperature": 4}
    assert servers.both({"client": {"deviceType": "ColdRoom", "room": "1"}}, {"temperature": 4}) is None
    for groups in ([], [[], ["site"]]):
        open_to_all = Servers(settings, scenario(attributes=["site"], groups=groups))
        assert open_to_all.both({"client": {"deviceType": "ColdRoom"}}, {"temperature": 4}) == {"temperature": 4}


def test_devices_of_another_type_are_not_forwarded(settings: Settings) -> None:
    servers = Servers(settings, scenario())
    assert servers.both({"client": {"deviceType": "Freezer"}}, {"temperature": 4}) is None
    assert servers.both({"server": {"deviceType": "ColdRoom"}}, {"temperature": 4}) is None
    assert servers.both({"client": {"deviceType": "ColdRoom"}}, {"temperature": 4}) == {"temperature": 4}


def test_device_name_and_the_readings_own_time(settings: Settings) -> None:
    servers = Servers(settings, scenario(telemetry=["temperature", "humidity"], device=True))
    for values in ({"temperature": 4}, {"humidity": 40}, {"humidity": 40, "temperature": 4}):
        found = servers.both(COLD, values, "Föhn #1 $x")
        assert found == {**values, "deviceName": "Föhn #1 $x", "ts": TS}
    assert Servers(settings, scenario(device=True)).both(COLD, {"temperature": 4}) == {
        "temperature": 4, "deviceName": "D", "ts": TS,
    }  # fmt: skip


def test_keys_that_are_no_identifiers(settings: Settings) -> None:
    keys = ["site id", "größe", "size", "class", "a.b"]
    servers = Servers(
        settings, scenario(attributes=keys, telemetry=["temp-celsius", "class_2", "in"], groups=[keys], device=True)
    )
    attributes = {"client": {"deviceType": "ColdRoom", **dict.fromkeys(keys, "x")}}
    expected = {**dict.fromkeys(keys, "x"), "temp-celsius": 4, "deviceName": "D", "ts": TS}
    assert servers.both(attributes, {"temp-celsius": 4}) == expected
    assert servers.both(attributes, {"in": 4, "class_2": 1}) == {
        **dict.fromkeys(keys, "x"), "class_2": 1, "in": 4, "deviceName": "D", "ts": TS,
    }  # fmt: skip
    for key in keys:
        less = {other: value for other, value in attributes["client"].items() if other != key}
        assert servers.both({"client": less}, {"temp-celsius": 4}) is None


def test_texts_of_the_type_are_literals(settings: Settings) -> None:
    named = scenario().model_copy(
        update={"platform": scenario().platform.model_copy(update={"device_type": 'It\'s "x"'})}
    )
    servers = Servers(settings, named)
    assert servers.both({"client": {"deviceType": 'It\'s "x"'}}, {"temperature": 1}) == {"temperature": 1}
    assert servers.both({"client": {"deviceType": "It's"}}, {"temperature": 1}) is None


def refusal(wanted: Scenario, generation: str, *, is_generated: bool = True) -> str | None:
    try:
        check_expressible(wanted, ForwardingSpec(is_generated=is_generated), generation)
    except ScenarioError as error:
        return error.message
    return None


@pytest.mark.parametrize("value", ['Rücken 🌀 "Nord"', "Zone\\B"])
def test_what_a_template_cannot_hold_is_refused_with_device_and_value(value: str) -> None:
    device = {
        "name": "Mast /7|[a]",
        "attributes": {"site": value},
        "telemetry": {"temperature": {"min": 1, "max": 2}},
    }
    wanted = scenario(attributes=["site"], devices=[device])
    message = refusal(wanted, "1.x")
    assert message is not None
    assert "'Mast /7|[a]'" in message
    assert repr(value) in message
    assert refusal(wanted, "4.x") is None
    assert refusal(wanted, "1.x", is_generated=False) is None


def test_a_device_name_is_refused_only_where_records_hold_it() -> None:
    devices = [{"name": 'The "best"', "telemetry": {"temperature": {"min": 1, "max": 2}}}]
    assert refusal(scenario(devices=devices), "1.x") is None
    message = refusal(scenario(devices=devices, device=True), "1.x")
    assert message is not None
    assert "its name" in message


@pytest.mark.parametrize("key", ["site id", "größe", "9lives", "_x", "cs", "date", "deviceType", "a.b"])
def test_telemetry_that_a_template_cannot_name_is_refused_on_1_x(key: str) -> None:
    wanted = scenario(telemetry=["temperature", key])
    message = refusal(wanted, "1.x")
    assert message is not None
    assert repr(key) in message
    assert refusal(wanted, "3.x") is None


def test_later_servers_take_any_key_of_telemetry(settings: Settings) -> None:
    servers = Servers(settings, scenario(telemetry=["site id", "größe"]))
    assert servers.record_4(COLD, {"site id": 1, "größe": 2.5}) == {"site id": 1, "größe": 2.5}


@pytest.mark.parametrize(
    ("value", "number"), [("007", "7"), ("1.50", "1.5"), ("-0", "0"), (".5", "0.5"), ("12345678.9", "1.234568E+07")]
)
def test_texts_that_later_servers_would_turn_into_another_number_are_refused(value: str, number: str) -> None:
    device = {"name": "D", "attributes": {"site": value}, "telemetry": {"temperature": {"min": 1, "max": 2}}}
    wanted = scenario(attributes=["site"], devices=[device])
    message = refusal(wanted, "4.x")
    assert message is not None
    assert f"{value!r} of 'D' into the number {number}" in message
    assert refusal(wanted, "1.x") is None
    for fine in ("7", "-3", "0", "1.5", "Room 007", "1e3", "0.001"):
        same = {**device, "attributes": {"site": fine}}
        assert refusal(scenario(attributes=["site"], devices=[same]), "4.x") is None


def test_a_chain_of_the_tutorial_becomes_that_of_another_scenario_in_place(settings: Settings) -> None:
    grown = scenario(attributes=["site"], telemetry=["temperature", "humidity"], groups=[["site"]])
    for before, after in ((tutorial_scenario(), grown), (grown, tutorial_scenario())):
        actual = forwarding_spec(settings, before).wanted_rule_chain()
        wanted = forwarding_spec(settings, after).wanted_rule_chain()
        assert actual is not None
        assert wanted is not None
        found = with_names_of(wanted["metadata"], actual["metadata"])
        assert not [line for line in chain_differences(wanted["metadata"], found) if "missing" in line]
        saved = merge_chain(wanted["metadata"], found)
        assert [node["name"] for node in saved["nodes"]] == [node["name"] for node in wanted["metadata"]["nodes"]]
        assert list(chain_differences(wanted["metadata"], saved)) == []


def test_plugin_and_rule_files_with_different_tokens_are_refused(settings: Settings, tmp_path: Path) -> None:
    rule = tmp_path / "rule.json"
    rule.write_text(json.dumps({**tutorial_rule(), "pluginToken": "another"}), encoding="utf-8")
    with pytest.raises(DescriptorError, match="another"):
        forwarding_spec(settings, tutorial_scenario(), rule_file=rule)


def test_user_files_decide_which_server_generations_the_spec_serves(settings: Settings, tmp_path: Path) -> None:
    chain, rule = tmp_path / "chain.json", tmp_path / "rule.json"
    own = tutorial_rule_chain()
    own["ruleChain"]["name"] = "Mine"
    chain.write_text(json.dumps(own), encoding="utf-8")
    rule.write_text(json.dumps(tutorial_rule()), encoding="utf-8")
    wanted = tutorial_scenario()
    with_chain = forwarding_spec(settings, wanted, rule_chain_file=chain)
    made = with_chain.wanted_rule_chain()
    assert made is not None
    assert (made["ruleChain"]["name"], with_chain.plugin, with_chain.rule) == ("Mine", None, None)
    with_rule = forwarding_spec(settings, wanted, rule_file=rule)
    assert with_rule.rule_chain is None
    with_both = forwarding_spec(settings, wanted, rule_file=rule, rule_chain_file=chain)
    assert None not in (with_both.plugin, with_both.rule, with_both.rule_chain)
    assert (with_chain.is_generated, with_rule.is_generated) == (False, False)
