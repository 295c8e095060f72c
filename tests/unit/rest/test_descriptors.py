from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import quickjs
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.errors import DescriptorError
from pacifictool.rest import read_plugin, read_rule, tutorial_plugin, tutorial_rule
from pacifictool.rest.descriptors import parse_plugin, parse_rule


def run_filter(script: str, bindings: dict[str, Any]) -> Any:
    """The result of a filter in a JavaScript engine, with attributes or telemetry as plain names."""
    context = quickjs.Context()
    run = context.eval("(function (names, script) { with (JSON.parse(names)) { return eval(script); } })")
    return run(json.dumps(bindings), script)


SCRIPTS = [item["configuration"]["filter"] for item in tutorial_rule()["filters"]]


def test_the_tutorials_plugin() -> None:
    plugin = tutorial_plugin()
    assert (plugin["name"], plugin["apiToken"]) == (
        "Kafka Plugin for Spark Streaming Sample",
        "kafka-spark-streaming-sample",
    )
    assert plugin["clazz"] == "org.thingsboard.server.extensions.kafka.plugin.KafkaPlugin"
    assert plugin["configuration"]["bootstrapServers"] == "localhost:9092"
    assert (plugin["configuration"]["acks"], plugin["configuration"]["otherProperties"]) == (-1, [])


def test_the_tutorials_rule() -> None:
    rule = tutorial_rule()
    assert (rule["name"], rule["pluginToken"]) == ("WindSpeed Telemetry Rule", tutorial_plugin()["apiToken"])
    assert [item["clazz"].rpartition(".")[2] for item in rule["filters"]] == [
        "DeviceAttributesFilter",
        "DeviceTelemetryFilter",
    ]
    assert rule["action"]["configuration"] == {
        "sync": True,
        "topic": "weather-stations-data",
        "template": '{"geoZone":"$cs.get(\'geoZone\')", "windSpeed":$windSpeed.valueAsString}',
    }


@pytest.mark.parametrize(
    ("attributes", "passes"),
    [
        ({"deviceType": "WeatherStation", "geoZone": "Zone A"}, True),
        ({"deviceType": "WeatherStation", "geoZone": ""}, True),
        ({"deviceType": "WeatherStation", "geoZone": 7}, True),
        ({"deviceType": "WeatherStation", "geoZone": None}, False),
        ({"deviceType": "WeatherStation"}, False),
        ({"deviceType": "Pump", "geoZone": "Zone A"}, False),
        ({"geoZone": "Zone A"}, False),
        ({}, False),
    ],
)
def test_the_attributes_filter_never_throws(attributes: dict[str, Any], passes: bool) -> None:
    scopes = {"cs": attributes, "ss": {"deviceType": "WeatherStation", "geoZone": "Zone A"}, "shared": {}}
    assert run_filter(SCRIPTS[0], scopes) is passes


def test_the_attributes_filter_without_any_map() -> None:
    assert run_filter(SCRIPTS[0], {}) is False


@pytest.mark.parametrize(
    ("telemetry", "passes"),
    [({"windSpeed": "31"}, True), ({"windSpeed": 0}, True), ({"temperature": 5}, False), ({}, False)],
)
def test_the_telemetry_filter_never_throws(telemetry: dict[str, Any], passes: bool) -> None:
    assert run_filter(SCRIPTS[1], telemetry) is passes


def test_what_the_web_ui_exported_is_cleaned(tmp_path: Path) -> None:
    exported = {
        "id": {"entityType": "PLUGIN", "id": "b5c25ac0-e796-11f1-82e5-03a95f4b7a43"},
        "createdTime": 1,
        "tenantId": {"entityType": "TENANT", "id": "x"},
        "state": "ACTIVE",
    }
    for read, document in ((read_plugin, tutorial_plugin()), (read_rule, tutorial_rule())):
        path = tmp_path / "exported.json"
        path.write_bytes(b"\xef\xbb\xbf" + json.dumps({**exported, **document}).encode())
        assert read(path) == document


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{\n  "name": "x",\n  oops\n}', "line 3, column 3"),
        ("", "line 1"),
        ("[]", "must hold one JSON object"),
        ("[" * 100_000, "not usable JSON"),
        ('{"apiToken":"t","clazz":"c","configuration":{}}', "key 'name' is missing"),
        ('{"name":"n","clazz":"c","configuration":{}}', "key 'apiToken' is missing"),
        ('{"name":"n","apiToken":"t","clazz":"c"}', "key 'configuration' is missing"),
        ('{"name":"","apiToken":"t","clazz":"c","configuration":{}}', "'name' must be a text that is not empty"),
        ('{"name":"n","apiToken":5,"clazz":"c","configuration":{}}', "'apiToken' must be a text"),
        ('{"name":"n","apiToken":"t","clazz":"c","configuration":[]}', "'configuration' must be a JSON object"),
    ],
)
def test_plugin_files_with_faults(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "plugin.json"
    path.write_text(text)
    with pytest.raises(DescriptorError) as caught:
        read_plugin(path)
    assert str(path) in caught.value.message
    assert complaint in caught.value.message


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"pluginToken": None}, "'pluginToken' must be a text"),
        ({"filters": {}}, "'filters' must be a list"),
        ({"filters": ["x"]}, "filters[1] is not a JSON object"),
        ({"filters": [{"clazz": "c", "name": "n"}]}, "key 'filters[1].configuration' is missing"),
        ({"action": None}, "action is not a JSON object"),
        ({"action": {"clazz": "c", "configuration": {}}}, "key 'action.name' is missing"),
        ({"processor": {"clazz": "c"}}, "key 'processor.name' is missing"),
    ],
)
def test_rule_files_with_faults(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DescriptorError) as caught:
        parse_rule(json.dumps({**tutorial_rule(), **change}), source="rule.json")
    assert complaint in caught.value.message


def test_a_rule_in_the_place_of_a_plugin_and_the_other_way_round() -> None:
    with pytest.raises(DescriptorError, match="describes a rule, not a plugin") as caught:
        parse_plugin(json.dumps(tutorial_rule()), source="x")
    assert caught.value.hint == "Use: pacifictool import rule FILE"
    with pytest.raises(DescriptorError, match="describes a plugin, not a rule"):
        parse_rule(json.dumps(tutorial_plugin()), source="x")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DescriptorError, match="does not exist"):
        read_plugin(tmp_path / "nosuch.json")
    with pytest.raises(DescriptorError, match="cannot be read"):
        read_plugin(tmp_path)
    (tmp_path / "latin1.json").write_bytes(b'{"name": "\xe9"}')
    with pytest.raises(DescriptorError, match="cannot be read"):
        read_plugin(tmp_path / "latin1.json")
    (tmp_path / "huge.json").write_bytes(b" " * 2_000_000)
    with pytest.raises(DescriptorError, match="larger than any"):
        read_rule(tmp_path / "huge.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
keys = st.sampled_from(["name", "apiToken", "pluginToken", "clazz", "configuration", "filters", "action", "processor"])


@given(st.dictionaries(keys, json_values) | json_values)
def test_whatever_a_file_holds_it_is_read_or_refused_in_words(document: Any) -> None:
    for parse in (parse_plugin, parse_rule):
        try:
            assert isinstance(parse(json.dumps(document), source="file"), dict)
        except DescriptorError as error:
            assert error.message.startswith("file")
