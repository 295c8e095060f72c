from __future__ import annotations

import copy
import json
from importlib import resources
from typing import Any

import pytest

from pacifictool.errors import (
    AlreadyExists,
    DescriptorError,
    ForwardingFailed,
    InvalidRequest,
    OtherTopic,
    UnexpectedAnswer,
)
from pacifictool.plan import Change
from pacifictool.rest import ForwardingSpec, Platform, Session, tutorial_rule, tutorial_rule_chain
from pacifictool.rest.forwarding.rule_chain import RuleChainForwarding
from tests.support.chain_server import INPUT, KAFKA, ChainServer
from tests.support.recorders import RecordingReporter
from tests.support.scripted_platform import DROP, ScriptedPlatform

VERSIONS = ["2.0", "2.5.6", "3.0", "3.2.2", "3.3.3", "3.6.4", "4.3.1"]
NAME = "WindSpeed Telemetry Rule Chain"
PUBLISHED = json.loads((resources.files("pacifictool") / "resources" / "weather_rule_chain.json").read_text())


@pytest.fixture(params=VERSIONS)
def chains(request: pytest.FixtureRequest, server: ScriptedPlatform) -> ChainServer:
    return ChainServer(server, request.param)


@pytest.fixture
def modern(server: ScriptedPlatform) -> ChainServer:
    return ChainServer(server, "4.3.1")


@pytest.fixture
def spec() -> ForwardingSpec:
    return ForwardingSpec(rule_chain=tutorial_rule_chain(), bootstrap_servers="kafka:29092", topic="readings")


def wanted_nodes() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = copy.deepcopy(PUBLISHED["metadata"]["nodes"])
    nodes[3]["configuration"] |= {"bootstrapServers": "kafka:29092", "topicPattern": "readings"}
    return nodes


def actions(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.name, str(change.action)) for change in changes]


def edges(metadata: dict[str, Any]) -> set[tuple[str, str, str]]:
    names = [node["name"] for node in metadata["nodes"]]
    found = {(names[link["fromIndex"]], link["type"], names[link["toIndex"]]) for link in metadata["connections"]}
    for link in metadata["ruleChainConnections"] or []:
        found.add((names[link["fromIndex"]], link["type"], link["targetRuleChainId"]["id"]))
    return found


def test_one_body_is_sent_to_every_version(chains: ChainServer, platform: Platform, spec: ForwardingSpec) -> None:
    changes = platform.forwarding.apply(spec)
    assert actions(changes) == [(NAME, "created"), ("Root Rule Chain", "changed")]
    (chain_id,) = chains.with_name(NAME)
    assert chains.created == [
        {
            "name": NAME,
            "root": False,
            "debugMode": False,
            "additionalInfo": {"description": "Forwards the telemetry of weather stations with a zone to Kafka."},
        }
    ]
    assert chains.saved[0] == {
        "ruleChainId": {"entityType": "RULE_CHAIN", "id": chain_id},
        "firstNodeIndex": 0,
        "nodes": wanted_nodes(),
        "connections": [
            {"fromIndex": 0, "toIndex": 1, "type": "Success"},
            {"fromIndex": 1, "toIndex": 2, "type": "True"},
            {"fromIndex": 2, "toIndex": 3, "type": "Success"},
        ],
        "ruleChainConnections": None,
    }
    assert set(wanted_nodes()[3]["configuration"]) == {
        *("topicPattern", "bootstrapServers", "retries", "batchSize", "linger", "bufferMemory", "acks"),
        *("keySerializer", "valueSerializer", "otherProperties"),
    }
    assert platform.forwarding.inspect(spec).ready


def test_the_root_chain_is_sent_as_it_was_with_one_way_more(
    chains: ChainServer, platform: Platform, spec: ForwardingSpec
) -> None:
    before = copy.deepcopy(chains.metadata[chains.root_id])
    platform.forwarding.apply(spec)
    (chain_id,) = chains.with_name(NAME)
    sent = chains.saved[1]
    if not chains.version.at_least(3, 3, 3):
        assert sent == {
            **before,
            "ruleChainConnections": [
                {
                    "fromIndex": 2,
                    "targetRuleChainId": {"entityType": "RULE_CHAIN", "id": chain_id},
                    "additionalInfo": {
                        "layoutX": 617,
                        "layoutY": 246,
                        "ruleChainNodeId": f"rule-chain-node-{chain_id}",
                    },
                    "type": "Post telemetry",
                }
            ],
        }
        return
    node: dict[str, Any] = {
        "type": INPUT,
        "name": NAME,
        "configuration": {"ruleChainId": chain_id},
        "additionalInfo": {"layoutX": 617, "layoutY": 246},
    }
    if chains.version.at_least(4):
        node["configuration"]["forwardMsgToDefaultRuleChain"] = False
        node["configurationVersion"] = 1
    assert sent == {
        **before,
        "nodes": [*before["nodes"], node],
        "connections": [*before["connections"], {"fromIndex": 2, "toIndex": 3, "type": "Post telemetry"}],
    }


def test_a_second_time_nothing_changes(chains: ChainServer, platform: Platform, spec: ForwardingSpec) -> None:
    platform.forwarding.apply(spec)
    saved = len(chains.saved)
    assert actions(platform.forwarding.apply(spec)) == [(NAME, "unchanged"), ("Root Rule Chain", "unchanged")]
    assert (len(chains.saved), len(chains.created)) == (saved, 1)


def test_the_root_chain_is_as_before_after_the_removal(
    chains: ChainServer, platform: Platform, spec: ForwardingSpec
) -> None:
    before = chains.root_now()
    platform.forwarding.apply(spec)
    assert chains.root_now() != before
    assert actions(platform.forwarding.remove(spec)) == [("Root Rule Chain", "changed"), (NAME, "deleted")]
    assert chains.root_now() == before
    assert chains.with_name(NAME) == []
    assert platform.forwarding.remove(spec) == []


def test_a_hook_before_other_nodes_and_links_leaves_them_where_they_point(
    chains: ChainServer, platform: Platform, spec: ForwardingSpec
) -> None:
    platform.forwarding.apply(spec)
    other = chains.add_chain("Alarms")
    root = copy.deepcopy(chains.metadata[chains.root_id])
    root["nodes"].append({"type": "x.LogNode", "name": "Log", "configuration": {}, "additionalInfo": {}})
    root["connections"].append({"fromIndex": 0, "toIndex": len(root["nodes"]) - 1, "type": "Success"})
    link = {"targetRuleChainId": {"entityType": "RULE_CHAIN", "id": other}, "additionalInfo": {}, "type": "Success"}
    root["ruleChainConnections"] = [
        *(root["ruleChainConnections"] or []),
        {"fromIndex": len(root["nodes"]) - 1, **link},
    ]
    chains.store(chains.root_id, root)
    platform.forwarding.remove(spec)
    after = chains.metadata[chains.root_id]
    alarms = "Alarms" if chains.version.at_least(3, 3, 3) else other
    assert edges(after) == {
        ("Message Type Switch", "Post telemetry", "Save Timeseries"),
        ("Message Type Switch", "Post attributes", "Save Client Attributes"),
        ("Save Timeseries", "Success", "Log"),
        ("Log", "Success", alarms),
    }
    assert after["nodes"][after["firstNodeIndex"]]["name"] == "Message Type Switch"


def test_another_address_of_kafka_changes_one_node_and_keeps_every_id(
    chains: ChainServer, platform: Platform, spec: ForwardingSpec
) -> None:
    platform.forwarding.apply(spec)
    (chain_id,) = chains.with_name(NAME)
    ids = [node["id"] for node in chains.metadata[chain_id]["nodes"]]
    moved = ForwardingSpec(rule_chain=tutorial_rule_chain(), bootstrap_servers="other:9092", topic="readings")
    change, hook = platform.forwarding.apply(moved)
    assert change.differences == ('Kafka.bootstrapServers: "other:9092" instead of "kafka:29092"',)
    assert hook.apply is None
    after = chains.metadata[chain_id]["nodes"]
    assert [node["id"] for node in after] == ids
    assert after[3]["configuration"]["bootstrapServers"] == "other:9092"
    assert actions(platform.forwarding.apply(moved)) == [(NAME, "unchanged"), ("Root Rule Chain", "unchanged")]


def test_a_chain_that_serves_another_topic_is_neither_changed_nor_deleted(
    chains: ChainServer, platform: Platform, spec: ForwardingSpec
) -> None:
    platform.forwarding.apply(spec)
    (chain_id,) = chains.with_name(NAME)
    before = copy.deepcopy((chains.chains, chains.metadata))
    other = ForwardingSpec(rule_chain=tutorial_rule_chain(), bootstrap_servers="kafka:29092", topic="other")
    forwarding = platform.forwarding
    for attempt in (forwarding.plan, forwarding.apply, forwarding.plan_removal, forwarding.remove):
        with pytest.raises(OtherTopic) as refused:
            attempt(other)
        assert refused.value.message == f"The rule chain {NAME!r} writes to the topic 'readings' instead of 'other'."
        assert refused.value.hint is not None
        assert "rule_chain under [forwarding]" in refused.value.hint
    assert (chains.chains, chains.metadata) == before
    assert forwarding.inspect(spec).conflicts == ()
    # Next to one that serves our topic, another's is reported and left alone.
    duplicate = chains.add_chain(NAME)
    chains.store(
        duplicate, {**chains.metadata[duplicate], **{key: chains.metadata[chain_id][key] for key in ("nodes",)}}
    )
    chains.metadata[duplicate]["nodes"][3]["configuration"]["topicPattern"] = "elsewhere"
    state = forwarding.inspect(spec)
    assert any("writes to 'elsewhere'; it is left alone" in note for note in state.notes)
    assert [str(change.action) for change in forwarding.remove(spec)] == ["changed", "deleted"]
    assert chains.with_name(NAME) == [duplicate]


def test_two_chains_behind_one_root_come_and_go_without_touching_each_other(
    chains: ChainServer, platform: Platform, spec: ForwardingSpec
) -> None:
    document = tutorial_rule_chain()
    document["ruleChain"]["name"] = "Second"
    second = ForwardingSpec(rule_chain=document, bootstrap_servers="kafka:29092", topic="second")
    root = copy.deepcopy(chains.metadata[chains.root_id])
    for first, last in ((spec, second), (second, spec)):
        platform.forwarding.apply(spec)
        platform.forwarding.apply(second)
        assert platform.forwarding.inspect(spec).ready
        assert platform.forwarding.inspect(second).ready
        platform.forwarding.remove(first)
        assert platform.forwarding.inspect(last).ready
        platform.forwarding.remove(last)
        assert edges(chains.metadata[chains.root_id]) == edges(root)
        assert (chains.with_name(NAME), chains.with_name("Second")) == ([], [])


def test_settings_and_nodes_of_others_in_our_chain_survive(
    modern: ChainServer, platform: Platform, spec: ForwardingSpec
) -> None:
    platform.forwarding.apply(spec)
    (chain_id,) = modern.with_name(NAME)
    touched = copy.deepcopy(modern.metadata[chain_id])
    touched["nodes"][3]["configuration"]["keyPattern"] = "${deviceName}"
    touched["nodes"][3]["additionalInfo"]["layoutX"] = 1
    touched["nodes"].insert(0, {"type": "x.LogNode", "name": "Log", "configuration": {}})
    for link in touched["connections"]:
        link["fromIndex"], link["toIndex"] = link["fromIndex"] + 1, link["toIndex"] + 1
    touched["firstNodeIndex"] = 1
    touched["connections"].append({"fromIndex": 2, "toIndex": 0, "type": "False"})
    touched["connections"].append({"fromIndex": 1, "toIndex": 4, "type": "Success"})
    modern.store(chain_id, touched)
    (change, _) = platform.forwarding.apply(spec)
    assert change.differences == ("connection 'Client attributes' –Success→ 'Kafka' is not wanted",)
    after = modern.metadata[chain_id]
    kafka = next(node for node in after["nodes"] if node["type"] == KAFKA)
    assert (kafka["configuration"]["keyPattern"], kafka["additionalInfo"]["layoutX"]) == ("${deviceName}", 1)
    assert ("Stations with a zone and a number", "False", "Log") in edges(after)
    assert ("Client attributes", "Success", "Kafka") not in edges(after)
    assert str(platform.forwarding.apply(spec)[0].action) == "unchanged"


def test_the_order_of_a_servers_list_is_no_difference(
    modern: ChainServer, platform: Platform, spec: ForwardingSpec
) -> None:
    platform.forwarding.apply(spec)
    (chain_id,) = modern.with_name(NAME)
    turned = modern.metadata[chain_id]
    turned["nodes"].reverse()
    turned["firstNodeIndex"] = 3
    for link in turned["connections"]:
        link["fromIndex"], link["toIndex"] = 3 - link["fromIndex"], 3 - link["toIndex"]
    turned["connections"].reverse()
    assert actions(platform.forwarding.apply(spec)) == [(NAME, "unchanged"), ("Root Rule Chain", "unchanged")]


def test_a_node_that_does_not_start_is_reported_and_the_root_chain_left_alone(
    chains: ChainServer, platform: Platform, spec: ForwardingSpec
) -> None:
    before = chains.root_now()
    reason = "org.apache.kafka.common.config.ConfigException: No resolvable bootstrap urls"
    chains.starts = lambda node: reason if node["type"] == KAFKA else None
    with pytest.raises(ForwardingFailed, match=r"'Kafka' was saved, but does not run: .*No resolvable bootstrap urls"):
        platform.forwarding.apply(spec)
    assert chains.root_now() == before
    state = platform.forwarding.inspect(spec)
    assert not state.ready
    assert reason in state.failures["rule-chain"]
    chains.starts = lambda _node: None
    change, hook = platform.forwarding.apply(spec)
    assert change.differences == (f"node 'Kafka' did not start: {reason}",)
    assert str(hook.action) == "changed"
    assert platform.forwarding.inspect(spec).ready
    assert len(chains.with_name(NAME)) == 1


def test_a_server_that_says_nothing_about_starts(
    modern: ChainServer, session: Session, reporter: RecordingReporter, spec: ForwardingSpec
) -> None:
    platform = Platform(session)
    platform.generation()
    quick = RuleChainForwarding(
        session, platform.events, platform._paging(), version=modern.version, event_timeout_seconds=0.0
    )
    modern._start = lambda node, event: modern.platform.on(  # type: ignore[method-assign]
        "GET", f"/api/events/RULE_NODE/{node['id']['id']}/LC_EVENT", lambda request: modern._log([], request)
    )
    quick.apply(spec)
    assert "did not say within 0 s whether these rule nodes have started: 'Client attributes'" in reporter.warnings[0]


def test_a_chain_that_somebody_changes_meanwhile_is_read_again(
    modern: ChainServer, platform: Platform, spec: ForwardingSpec
) -> None:
    def somebody() -> None:
        if len(modern.saved) == 2:
            root = copy.deepcopy(modern.metadata[modern.root_id])
            root["nodes"].append({"type": "x.LogNode", "name": "Log", "configuration": {}})
            modern.store(modern.root_id, root)

    modern.before_save = somebody
    platform.forwarding.apply(spec)
    assert [node["name"] for node in modern.metadata[modern.root_id]["nodes"]][3:] == ["Log", NAME]


def test_a_chain_that_somebody_changes_all_the_time(
    modern: ChainServer, platform: Platform, spec: ForwardingSpec
) -> None:
    def somebody() -> None:
        modern.store(modern.root_id, modern.metadata[modern.root_id])

    modern.before_save = somebody
    with pytest.raises(InvalidRequest, match="already changed by someone else") as caught:
        platform.forwarding.apply(spec)
    assert caught.value.status == 409
    assert len(modern.saved) == 3


def test_a_creation_whose_response_is_lost_makes_one_chain(
    modern: ChainServer, server: ScriptedPlatform, platform: Platform, spec: ForwardingSpec
) -> None:
    # The chain that the lookup finds was created by the request whose response was lost.
    def lose(request: Any) -> Any:
        modern.chains[modern.add_chain(NAME)]["createdTime"] = 2**53
        return DROP

    server.on("POST", "/api/ruleChain", lose, modern._create)
    platform.forwarding.apply(spec)
    assert len(modern.with_name(NAME)) == 1


def test_duplicates_are_reported_and_the_one_in_use_is_taken(
    modern: ChainServer, platform: Platform, spec: ForwardingSpec, reporter: RecordingReporter
) -> None:
    older = modern.add_chain(NAME)
    platform.forwarding.apply(spec)
    younger = modern.add_chain(NAME)
    reporter.warnings.clear()
    assert actions(platform.forwarding.apply(spec)) == [(NAME, "unchanged"), ("Root Rule Chain", "unchanged")]
    (warning,) = reporter.warnings
    assert f"There are 2 rule chains named {NAME!r} ({older}, {younger}); the first is used." in warning
    platform.forwarding.remove(spec)
    assert modern.with_name(NAME) == []


def test_a_way_that_somebody_has_drawn_is_enough(
    modern: ChainServer, platform: Platform, spec: ForwardingSpec, reporter: RecordingReporter
) -> None:
    platform.forwarding.apply(spec)
    root = copy.deepcopy(modern.metadata[modern.root_id])
    root["connections"][-1] = {"fromIndex": 0, "toIndex": 3, "type": "Success"}
    modern.store(modern.root_id, root)
    assert actions(platform.forwarding.apply(spec))[1] == ("Root Rule Chain", "unchanged")
    assert "by 'Save Timeseries' –Success→ instead of 'Post telemetry'" in reporter.warnings[-1]
    root["connections"].append({"fromIndex": 2, "toIndex": 3, "type": "Post telemetry"})
    modern.store(modern.root_id, root)
    platform.forwarding.apply(spec)
    assert "in 2 ways" in reporter.warnings[-1]


def test_a_chain_that_another_one_uses_stays(
    modern: ChainServer, platform: Platform, spec: ForwardingSpec, reporter: RecordingReporter
) -> None:
    before = modern.root_now()
    platform.forwarding.apply(spec)
    (chain_id,) = modern.with_name(NAME)
    other = modern.add_chain("Alarms")
    link = {"fromIndex": 0, "targetRuleChainId": {"id": chain_id}, "type": "Success", "additionalInfo": {}}
    filled = {**modern.metadata[other], "nodes": [{"type": "x", "name": "n", "configuration": {}}]}
    modern.store(other, {**filled, "ruleChainConnections": [link]})
    assert actions(platform.forwarding.remove(spec)) == [("Root Rule Chain", "changed"), (NAME, "unchanged")]
    assert modern.with_name(NAME) == [chain_id]
    assert modern.root_now() == before
    assert "stays: still used by 'Alarms'" in reporter.warnings[-1]


@pytest.mark.parametrize("whose", ["other", "ours", "root", "none", "leads on"])
def test_profiles_that_lead_devices_astray(
    modern: ChainServer, platform: Platform, spec: ForwardingSpec, whose: str
) -> None:
    meant = ForwardingSpec(rule_chain=spec.rule_chain, device_type="WeatherStation")
    platform.forwarding.apply(meant)
    (ours,) = modern.with_name(NAME)
    other = modern.add_chain("Thermostat")
    if whose == "leads on":
        nodes = [{"type": "x", "name": "n", "configuration": {}}]
        link = {"fromIndex": 0, "targetRuleChainId": {"id": ours}, "type": "Success", "additionalInfo": {}}
        modern.store(other, {**modern.metadata[other], "nodes": nodes, "ruleChainConnections": [link]})
    modern.add_profile("WeatherStation 2", other)
    chain_ids = {"ours": ours, "root": modern.root_id, "none": None}
    modern.add_profile("WeatherStation", chain_ids.get(whose, other))
    notes = platform.forwarding.inspect(meant).notes
    if whose == "other":
        assert "'WeatherStation' has a default rule chain, 'Thermostat': its devices bypass the root" in notes[0]
    elif whose == "ours":
        assert "nor the client attributes that the chain looks for are stored" in notes[0]
    else:
        assert notes == ()


def test_a_deletion_that_a_profile_forbids_is_explained(
    modern: ChainServer, platform: Platform, spec: ForwardingSpec
) -> None:
    platform.forwarding.apply(spec)
    modern.add_profile("WeatherStation", modern.with_name(NAME)[0])
    with pytest.raises(InvalidRequest) as caught:
        platform.forwarding.remove(spec)
    assert caught.value.hint == ("Take the chain out of the device profiles that name it as their default rule chain.")


def test_importing_without_activation_touches_no_root_chain(
    modern: ChainServer, platform: Platform, spec: ForwardingSpec
) -> None:
    before = modern.root_now()
    changes = platform.forwarding.apply(ForwardingSpec(rule_chain=spec.rule_chain, activate=False))
    assert actions(changes) == [(NAME, "created")]
    assert modern.root_now() == before


def test_a_root_chain_without_a_switch(modern: ChainServer, platform: Platform, spec: ForwardingSpec) -> None:
    root = modern.metadata[modern.root_id]
    root["nodes"][2]["type"] = "x.Other"
    with pytest.raises(ForwardingFailed, match="no message type switch"):
        platform.forwarding.apply(spec)


def test_no_root_chain_and_one_of_our_name(modern: ChainServer, platform: Platform, spec: ForwardingSpec) -> None:
    modern.chains[modern.root_id]["name"] = NAME
    with pytest.raises(AlreadyExists, match="has the name"):
        platform.forwarding.apply(spec)
    modern.chains[modern.root_id]["root"] = False
    with pytest.raises(ForwardingFailed, match="has no root rule chain"):
        platform.forwarding.apply(spec)


def test_edge_chains_are_not_seen(modern: ChainServer, platform: Platform, spec: ForwardingSpec) -> None:
    modern.add_chain(NAME, type="EDGE")
    first = {modern.add_chain("Edge Root Rule Chain", root=True, type="EDGE"): None}
    modern.chains = {key: modern.chains[key] for key in [*first, *modern.chains]}
    assert actions(platform.forwarding.apply(spec))[0] == (NAME, "created")


@pytest.mark.parametrize("spec_of_1", [ForwardingSpec(rule=tutorial_rule()), ForwardingSpec()])
def test_plugins_and_rules_are_not_for_these_servers(
    modern: ChainServer, platform: Platform, spec_of_1: ForwardingSpec
) -> None:
    for call in (platform.forwarding.inspect, platform.forwarding.apply, platform.forwarding.plan_removal):
        with pytest.raises(DescriptorError, match=r"generation 4\.x: it has rule chains"):
            call(spec_of_1)


def test_rule_chains_are_not_for_servers_of_the_first_generation(
    server: ScriptedPlatform, platform: Platform, spec: ForwardingSpec
) -> None:
    for call in (platform.forwarding.inspect, platform.forwarding.apply, platform.forwarding.plan_removal):
        with pytest.raises(DescriptorError, match=r"generation 1\.x: it has plugins"):
            call(spec)


def test_a_root_chain_of_another_server_is_not_put_behind_the_root_chain(
    modern: ChainServer, platform: Platform
) -> None:
    exported = tutorial_rule_chain()
    exported["ruleChain"] |= {"root": True, "name": "Their Root"}
    with pytest.raises(DescriptorError, match="is another server's root chain"):
        platform.forwarding.apply(ForwardingSpec(rule_chain=exported))
    platform.forwarding.apply(ForwardingSpec(rule_chain=exported, activate=False))
    assert modern.created[0]["root"] is False


def test_an_exported_chain_with_links_of_old_versions(chains: ChainServer, platform: Platform) -> None:
    other = chains.add_chain("Alarms")
    exported = tutorial_rule_chain()
    link = {"fromIndex": 3, "targetRuleChainId": {"id": other}, "type": "Failure", "additionalInfo": {"layoutX": 1}}
    exported["metadata"]["ruleChainConnections"] = [link]
    exported["ruleChain"]["type"] = "CORE"
    spec = ForwardingSpec(rule_chain=exported)
    platform.forwarding.apply(spec)
    assert ("type" in chains.created[0]) is chains.version.at_least(3, 3)
    assert actions(platform.forwarding.apply(spec)) == [(NAME, "unchanged"), ("Root Rule Chain", "unchanged")]


def test_duplicates_of_nodes_are_distinguished_by_content(modern: ChainServer, platform: Platform) -> None:
    exported = tutorial_rule_chain()
    exported["metadata"]["nodes"][1]["name"] = exported["metadata"]["nodes"][0]["name"] = "Same"
    spec = ForwardingSpec(rule_chain=exported)
    platform.forwarding.apply(spec)
    assert str(platform.forwarding.apply(spec)[0].action) == "unchanged"


def test_the_forwarding_describes_itself(chains: ChainServer, platform: Platform, spec: ForwardingSpec) -> None:
    assert platform.forwarding.describe(spec) == f"rule-chain '{NAME}' behind the root rule chain"
    assert platform.forwarding.generation == platform.generation() == f"{chains.version.major}.x"


@pytest.mark.parametrize(
    "metadata",
    [
        {"nodes": "none"},
        {"nodes": [5]},
        {"nodes": [{"name": "a"}], "connections": [{"fromIndex": 0, "toIndex": 1, "type": "x"}]},
        {"nodes": [{"name": "a"}], "connections": [{"fromIndex": "0", "toIndex": 0, "type": "x"}]},
    ],
)
def test_metadata_that_make_no_sense(
    modern: ChainServer, platform: Platform, spec: ForwardingSpec, metadata: dict[str, Any]
) -> None:
    modern.metadata[modern.root_id] = metadata
    with pytest.raises(UnexpectedAnswer):
        platform.forwarding.apply(spec)
