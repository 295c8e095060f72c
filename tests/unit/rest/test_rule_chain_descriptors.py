from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import quickjs
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.errors import DescriptorError
from pacifictool.rest import read_rule_chain, tutorial_plugin, tutorial_rule, tutorial_rule_chain
from pacifictool.rest.descriptors import parse_plugin, parse_rule, parse_rule_chain

NODES = tutorial_rule_chain()["metadata"]["nodes"]
STATION = {"cs_deviceType": "WeatherStation", "cs_geoZone": "Zone A", "deviceName": "Wind Turbine 1", "ts": "5"}


def run(script: str, msg: Any, metadata: dict[str, str]) -> Any:
    """The result of a node's script in a JavaScript engine; the platform calls it as a function of three arguments."""
    context = quickjs.Context()
    call = f"(function (msg, metadata, msgType) {{ 'use strict'; {script} }})"
    text = f"JSON.stringify({call}({json.dumps(msg)}, {json.dumps(metadata)}, 'POST_TELEMETRY_REQUEST'))"
    return json.loads(context.eval(text))


def passes(msg: Any, metadata: dict[str, str] = STATION) -> Any:
    return run(NODES[1]["configuration"]["jsScript"], msg, metadata)


def record(msg: Any, metadata: dict[str, str] = STATION) -> str:
    shaped = run(NODES[2]["configuration"]["jsScript"], msg, metadata)
    assert (shaped["metadata"], shaped["msgType"]) == (metadata, "POST_TELEMETRY_REQUEST")
    return json.dumps(shaped["msg"], separators=(",", ":"), ensure_ascii=False)


def test_the_chain_does_what_the_rule_does() -> None:
    chain = tutorial_rule_chain()
    assert chain["ruleChain"]["name"] == f"{tutorial_rule()['name']} Chain"
    plugin, kafka = tutorial_plugin()["configuration"], NODES[3]["configuration"]
    assert kafka["topicPattern"] == tutorial_rule()["action"]["configuration"]["topic"]
    assert {key: kafka[key] for key in plugin if key not in ("acks", "otherProperties")} == {
        key: plugin[key] for key in plugin if key not in ("acks", "otherProperties")
    }
    assert (kafka["acks"], kafka["otherProperties"]) == ("-1", {})
    assert not any("configurationVersion" in node for node in NODES)


@pytest.mark.parametrize("value", [31, 31.7, 0, -1, 1e-7, 100, "31", "31.50", " 7 ", "12345678901234567890"])
def test_numbers_pass_also_as_text(value: Any) -> None:
    assert passes({"windSpeed": value}) is True
    assert json.loads(record({"windSpeed": value, "humidity": 5})) == {
        "geoZone": "Zone A",
        "windSpeed": pytest.approx(float(value)),
    }


@pytest.mark.parametrize("value", ["abc", "", " ", True, False, None, {"a": 1}, [5], "NaN", "Infinity", "1e999"])
def test_whatever_is_no_finite_number_does_not_pass(value: Any) -> None:
    assert passes({"windSpeed": value}) is False


def test_records_have_two_members_and_no_blank_between_them() -> None:
    assert record({"windSpeed": 31}) == '{"geoZone":"Zone A","windSpeed":31}'
    quoted = {**STATION, "cs_geoZone": 'Zone B "q" é'}
    assert record({"windSpeed": "31.5"}, quoted) == '{"geoZone":"Zone B \\"q\\" é","windSpeed":31.5}'


@pytest.mark.parametrize(
    ("metadata", "response"),
    [
        (STATION, True),
        ({**STATION, "cs_geoZone": "5"}, True),
        ({**STATION, "cs_geoZone": ""}, False),
        ({"cs_deviceType": "WeatherStation"}, False),
        ({**STATION, "cs_deviceType": "Pump"}, False),
        ({"ss_deviceType": "WeatherStation", "ss_geoZone": "Zone A", "deviceType": "WeatherStation"}, False),
        ({}, False),
    ],
)
def test_only_stations_with_a_zone_pass(metadata: dict[str, str], response: bool) -> None:
    assert passes({"windSpeed": 31}, metadata) is response
    assert passes({"temperature": 31}, metadata) is False


def exported() -> dict[str, Any]:
    """The tutorial's chain as the web UI of 4.3 would export it."""
    document = copy.deepcopy(tutorial_rule_chain())
    there = {"id": {"id": "x"}, "createdTime": 1, "version": 3, "externalId": None}
    document["ruleChain"] |= {**there, "tenantId": {}, "type": "CORE", "firstRuleNodeId": {"id": "y"}}
    document["metadata"] |= {"ruleChainId": {"id": "x"}, "version": 3}
    for node in document["metadata"]["nodes"]:
        node |= {**there, "ruleChainId": {"id": "x"}, "debugSettings": None}
    return document


def test_what_the_web_ui_exported_is_cleaned(tmp_path: Path) -> None:
    path = tmp_path / "chain.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(exported()).encode())
    found = read_rule_chain(path)
    assert found["ruleChain"] == {**tutorial_rule_chain()["ruleChain"], "type": "CORE"}
    assert found["metadata"]["nodes"] == [{**node, "debugSettings": None} for node in NODES]
    assert set(found["metadata"]) == {"firstNodeIndex", "nodes", "connections", "ruleChainConnections"}


def test_a_chain_without_nodes() -> None:
    text = json.dumps({"ruleChain": {"name": "n"}, "metadata": {"firstNodeIndex": None, "nodes": []}})
    assert parse_rule_chain(text, source="x")["metadata"] == {"firstNodeIndex": None, "nodes": [], "connections": []}


def changed(**metadata: Any) -> dict[str, Any]:
    document = exported()
    document["metadata"] |= metadata
    return document


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"metadata": {}}, "key 'ruleChain' is missing"),
        ({"ruleChain": {}}, "key 'metadata' is missing"),
        ({"ruleChain": {}, "metadata": {}}, "key 'ruleChain.name' is missing"),
        ({"ruleChain": {"name": "n", "type": "EDGE"}, "metadata": {}}, "holds a rule chain for edges"),
        ({"ruleChain": {"name": "n"}, "metadata": {}}, "key 'metadata.nodes' is missing"),
        (changed(nodes=[5]), "metadata.nodes[1] is not a JSON object"),
        (changed(nodes=[{"type": "t", "name": "n"}]), "key 'metadata.nodes[1].configuration' is missing"),
        (changed(firstNodeIndex=None), "'metadata.firstNodeIndex' must be a whole number"),
        (changed(firstNodeIndex=True), "'metadata.firstNodeIndex' is True, but there are 4 nodes"),
        (changed(firstNodeIndex=4), "'metadata.firstNodeIndex' is 4, but there are 4 nodes"),
        (changed(connections={}), "'metadata.connections' must be a list"),
        (changed(connections=[1]), "metadata.connections[1] is not a JSON object"),
        (changed(connections=[{"fromIndex": 0, "toIndex": 1}]), "key 'metadata.connections[1].type' is missing"),
        (changed(connections=[{"fromIndex": 0, "toIndex": 9, "type": "x"}]), "'metadata.connections[1].toIndex' is 9"),
        (
            changed(ruleChainConnections=[{"fromIndex": -1, "type": "x"}]),
            "'metadata.ruleChainConnections[1].fromIndex' is -1",
        ),
        (tutorial_rule(), "describes a plugin or rule, not a rule chain"),
        (tutorial_plugin(), "describes a plugin or rule, not a rule chain"),
    ],
)
def test_rule_chain_files_with_faults(document: Any, complaint: str) -> None:
    with pytest.raises(DescriptorError) as caught:
        parse_rule_chain(json.dumps(document), source="chain.json")
    assert caught.value.message.startswith("chain.json")
    assert complaint in caught.value.message


def test_a_rule_chain_in_the_place_of_a_plugin_or_rule() -> None:
    for parse in (parse_plugin, parse_rule):
        with pytest.raises(DescriptorError, match="describes a rule chain") as caught:
            parse(json.dumps(exported()), source="x")
        assert caught.value.hint == "Use: pacifictool import rule-chain FILE"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
members = st.sampled_from(["firstNodeIndex", "nodes", "connections", "ruleChainConnections"])


@given(json_values, st.dictionaries(members, json_values))
def test_whatever_a_file_holds_it_is_read_or_refused_in_words(chain: Any, metadata: dict[str, Any]) -> None:
    for document in (chain, {"ruleChain": chain, "metadata": metadata}, changed(**metadata)):
        try:
            assert set(parse_rule_chain(json.dumps(document), source="file")) == {"ruleChain", "metadata"}
        except DescriptorError as error:
            assert error.message.startswith("file")
