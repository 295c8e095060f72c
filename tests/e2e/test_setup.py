from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pacifictool.kafka.records import read_records
from pacifictool.kafka.topics import CREATE_TIME, LOG_APPEND_TIME, KafkaAdmin
from pacifictool.local.stack import LocalStack
from pacifictool.rest import tutorial_plugin, tutorial_rule
from pacifictool.settings import KafkaEndpoint
from tests.support.command_line import CommandLine
from tests.support.sandbox_clients import ATTRIBUTES, RawDevice, Tenant
from tests.support.snapshots import Snapshot, WriteScenario, snapshot, with_name

COUNTS = ("created", "changed", "unchanged", "deleted")


@pytest.fixture
def admin(stack: LocalStack) -> KafkaAdmin:
    return KafkaAdmin(KafkaEndpoint(stack.broker.bootstrap))


def counts(document: Any) -> tuple[int, ...]:
    """Created, changed, unchanged, deleted."""
    return tuple(document[name] for name in COUNTS)


def step(document: Any, kind: str, name: str) -> Any:
    [found] = [step for step in document["steps"] if (step["kind"], step["name"]) == (kind, name)]
    return found


def test_setup_makes_what_the_tutorial_describes_and_a_second_run_changes_nothing(
    on_stack: CommandLine, stack: LocalStack, before: Snapshot, admin: KafkaAdmin
) -> None:
    first = on_stack("setup", "-o", "json")
    assert first.code == 0
    made = snapshot(stack.platform.url)

    # Another test of this worker may have made the topic.
    assert counts(first.document) in ((10, 0, 0, 0), (9, 0, 1, 0))
    for number, zone in ((1, "Zone A"), (2, "Zone A"), (3, "Zone B")):
        [device] = with_name(made["devices"], f"Wind Turbine {number}")
        assert device["type"] == "WeatherStation"
        assert made["attributes"][device["id"]["id"]] == {"deviceType": "WeatherStation", "geoZone": zone}
    [asset] = with_name(made["assets"], "Zone A")
    assert asset["type"] == "WeatherStation"
    assert with_name(made["assets"], "Zone B") == []
    [rule] = with_name(made["rules"], tutorial_rule()["name"])
    [plugin] = with_name(made["plugins"], tutorial_plugin()["name"])
    assert (rule["state"], plugin["state"]) == ("ACTIVE", "ACTIVE")
    assert plugin["configuration"]["bootstrapServers"] == stack.broker.bootstrap
    topic = admin.describe("weather-stations-data")
    assert topic is not None
    assert (topic.partitions, topic.timestamp_type) == (1, LOG_APPEND_TIME)

    second = on_stack("setup", "-o", "json")
    assert second.code == 0
    assert counts(second.document) == (0, 0, 10, 0)
    assert snapshot(stack.platform.url) == made

    table = on_stack("setup")
    assert table.stdout.splitlines()[-1] == "0 created, 0 changed, 10 unchanged"


def test_dry_run_on_an_empty_server_plans_everything_and_changes_nothing(
    on_stack: CommandLine, stack: LocalStack, before: Snapshot, admin: KafkaAdmin, write_scenario: WriteScenario
) -> None:
    scenario = write_scenario("dry", turbines=3, zones=2)
    planned = on_stack("setup", "--dry-run", "-s", str(scenario), "-o", "json")
    assert planned.code == 0
    assert planned.document["dry_run"] is True
    assert counts(planned.document) == (11, 0, 0, 0)
    assert snapshot(stack.platform.url) == before
    assert admin.describe("dry") is None

    done = on_stack("setup", "-s", str(scenario), "-o", "json")
    assert done.document["steps"] == planned.document["steps"]


def test_teardown_leaves_the_server_as_it_was_before_setup(
    on_stack: CommandLine, stack: LocalStack, before: Snapshot, admin: KafkaAdmin, write_scenario: WriteScenario
) -> None:
    scenario = str(write_scenario("down", turbines=3, zones=2))
    assert on_stack("setup", "-s", scenario).code == 0
    made = snapshot(stack.platform.url)

    planned = on_stack("teardown", "--dry-run", "-s", scenario, "-o", "json")
    assert counts(planned.document) == (0, 0, 0, 7)
    assert snapshot(stack.platform.url) == made

    done = on_stack("teardown", "--yes", "--topic", "-s", scenario, "-o", "json")
    assert counts(done.document) == (0, 0, 0, 8)
    assert snapshot(stack.platform.url) == before
    assert admin.describe("down") is None

    again = on_stack("teardown", "--yes", "--topic", "-s", scenario, "-o", "json")
    assert (again.code, counts(again.document)) == (0, (0, 0, 0, 0))


def test_teardown_keeps_the_topic_unless_asked_to_delete_it(
    on_stack: CommandLine, admin: KafkaAdmin, write_scenario: WriteScenario
) -> None:
    scenario = str(write_scenario("keeptopic"))
    assert on_stack("setup", "-s", scenario).code == 0
    assert on_stack("teardown", "--yes", "-s", scenario).code == 0
    assert admin.describe("keeptopic") is not None


def test_teardown_spares_devices_and_assets_of_the_same_name_but_another_type(
    on_stack: CommandLine, stack: LocalStack, tenant: Tenant, before: Snapshot, write_scenario: WriteScenario
) -> None:
    scenario = str(write_scenario("spare", turbines=2))
    tenant.device("spare 00000", "Thermometer")
    tenant.post("/api/asset", {"name": "spare Z0", "type": "Building"})
    tenant.device("spare 00001")
    tenant.device("spare 00002")  # right type, not in the scenario
    outcome = on_stack("teardown", "--yes", "-s", scenario, "-o", "json")
    assert outcome.code == 0
    assert [(step["kind"], step["name"]) for step in outcome.document["steps"]] == [("device", "spare 00001")]
    assert outcome.document["notes"] == [
        "Device 'spare 00000' stays: its type is 'Thermometer', not the scenario's.",
        "Asset 'spare Z0' stays: its type is 'Building', not the scenario's.",
    ]
    assert "Warning: Device 'spare 00000' stays" in outcome.stderr
    left = snapshot(stack.platform.url)
    assert with_name(left["devices"], "spare 00000")
    assert with_name(left["devices"], "spare 00002")
    assert with_name(left["assets"], "spare Z0")


def test_teardown_asks_and_does_nothing_where_nobody_can_reply(
    on_stack: CommandLine, stack: LocalStack, write_scenario: WriteScenario
) -> None:
    scenario = str(write_scenario("ask"))
    assert on_stack("setup", "-s", scenario).code == 0
    made = snapshot(stack.platform.url)
    outcome = on_stack("teardown", "-s", scenario, stdin="y\n")
    assert outcome.code == 2
    assert "--yes" in outcome.stderr
    assert snapshot(stack.platform.url) == made


def test_differences_of_every_kind_are_fixed_and_shown(
    on_stack: CommandLine,
    stack: LocalStack,
    tenant: Tenant,
    admin: KafkaAdmin,
    write_scenario: WriteScenario,
) -> None:
    scenario = str(write_scenario("changed", turbines=3))
    admin.create("changed", partitions=2, replication=1, timestamp_type=CREATE_TIME)
    assert on_stack("setup", "-s", scenario).code == 0
    wanted = snapshot(stack.platform.url)

    admin.set_timestamp_type("changed", CREATE_TIME)
    [plugin] = with_name(wanted["plugins"], tutorial_plugin()["name"])
    tenant.post("/api/plugin", {**_saveable(plugin), "configuration": {**plugin["configuration"], "retries": 7}})
    [rule] = with_name(wanted["rules"], tutorial_rule()["name"])
    action = {**rule["action"], "configuration": {**rule["action"]["configuration"], "sync": False}}
    tenant.post("/api/rule", {**_saveable(rule), "action": action})
    tenant.post(f"/api/rule/{rule['id']['id']}/suspend")
    [device] = with_name(wanted["devices"], "changed 00000")
    tenant.post("/api/device", {**device, "type": "Other"})
    [other] = with_name(wanted["devices"], "changed 00001")
    token = tenant.get(f"/api/device/{other['id']['id']}/credentials")["credentialsId"]
    with RawDevice(stack.platform.mqtt_port, token) as connection:
        connection.acknowledged(json.dumps({"geoZone": "Atlantis"}), topic=ATTRIBUTES)
    [asset] = with_name(wanted["assets"], "changed Z0")
    tenant.post("/api/asset", {**asset, "type": "Shed"})

    fixed = on_stack("setup", "-s", scenario, "-o", "json")
    assert fixed.code == 0, fixed.stderr
    document = fixed.document
    assert counts(document) == (0, 6, 4, 0)
    assert step(document, "topic", "changed")["differences"] == [
        "message.timestamp.type LogAppendTime instead of CreateTime"
    ]
    assert step(document, "plugin", plugin["name"])["differences"] == ["configuration.retries: 0 instead of 7"]
    assert step(document, "rule", rule["name"])["differences"] == [
        "action.configuration.sync: true instead of false",
        "state: ACTIVE instead of SUSPENDED",
    ]
    assert step(document, "device", "changed 00000")["differences"] == ["type: 'WeatherStation' instead of 'Other'"]
    assert step(document, "attributes", "changed 00001")["differences"] == [
        "geoZone: 'changed Z0' instead of 'Atlantis'"
    ]
    assert step(document, "asset", "changed Z0")["differences"] == ["type: 'WeatherStation' instead of 'Shed'"]
    assert snapshot(stack.platform.url) == wanted
    topic = admin.describe("changed")
    assert topic is not None
    assert topic.timestamp_type == LOG_APPEND_TIME


def _saveable(document: Any) -> Any:
    """A plugin or rule as it can be saved again: without its state, which cannot be set this way."""
    return {key: value for key, value in document.items() if key != "state"}


def test_a_topic_with_too_few_partitions_is_an_error_until_more_are_asked_for(
    on_stack: CommandLine, stack: LocalStack, before: Snapshot, admin: KafkaAdmin, write_scenario: WriteScenario
) -> None:
    scenario = str(write_scenario("narrow", partitions=3))
    admin.create("narrow", partitions=1, replication=1)
    refused = on_stack("setup", "-s", scenario, "-o", "json")
    assert (refused.code, refused.document["error"]["kind"]) == (1, "topic-mismatch")
    assert "--add-partitions" in refused.document["error"]["hint"]
    assert snapshot(stack.platform.url) == before

    widened = on_stack("setup", "--add-partitions", "-s", scenario, "-o", "json")
    assert step(widened.document, "topic", "narrow")["differences"] == ["3 partitions instead of 1"]
    topic = admin.describe("narrow")
    assert topic is not None
    assert topic.partitions == 3


def test_a_topic_with_more_partitions_than_asked_is_left_alone(
    on_stack: CommandLine, admin: KafkaAdmin, write_scenario: WriteScenario
) -> None:
    admin.create("wide", partitions=4, replication=1)
    done = on_stack("setup", "-s", str(write_scenario("wide")), "-o", "json")
    assert step(done.document, "topic", "wide")["action"] == "unchanged"


def test_a_duplicate_of_the_rule_is_reported_and_suspended_and_removed_by_teardown(
    on_stack: CommandLine, stack: LocalStack, tenant: Tenant, before: Snapshot, write_scenario: WriteScenario
) -> None:
    scenario = str(write_scenario("duplicate"))
    assert on_stack("setup", "-s", scenario).code == 0
    [rule] = with_name(snapshot(stack.platform.url)["rules"], tutorial_rule()["name"])
    copy = {key: value for key, value in _saveable(rule).items() if key not in ("id", "createdTime")}
    duplicate = tenant.post("/api/rule", copy)["id"]["id"]
    tenant.post(f"/api/rule/{duplicate}/activate")

    dry = on_stack("setup", "--dry-run", "-s", scenario)
    assert "Warning: There are 2 rules named" in dry.stderr
    done = on_stack("setup", "-s", scenario, "-o", "json")
    assert counts(done.document) == (0, 1, 8, 0)
    assert [note for note in done.document["notes"] if "2 rules named" in note]
    states = {
        rule["id"]["id"]: rule["state"] for rule in with_name(snapshot(stack.platform.url)["rules"], rule["name"])
    }
    assert states == {rule["id"]["id"]: "ACTIVE", duplicate: "SUSPENDED"}

    assert on_stack("teardown", "--yes", "-s", scenario).code == 0
    assert snapshot(stack.platform.url) == before


def test_a_plugin_that_is_active_but_did_not_start_is_an_error_and_the_next_run_fixes_it(
    on_stack: CommandLine, stack: LocalStack, write_scenario: WriteScenario
) -> None:
    scenario = str(write_scenario("broken"))
    failed = on_stack("setup", "--platform-kafka", "no-such-host.invalid:9092", "-s", scenario, "-o", "json")
    assert (failed.code, failed.document["error"]["kind"]) == (1, "forwarding-failed")
    assert "No resolvable bootstrap urls" in failed.document["error"]["message"]
    made = snapshot(stack.platform.url)
    assert with_name(made["plugins"], tutorial_plugin()["name"])[0]["state"] == "ACTIVE"
    assert with_name(made["rules"], tutorial_rule()["name"]) == []

    fixed = on_stack("setup", "-s", scenario, "-o", "json")
    assert fixed.code == 0, fixed.stderr
    [difference] = step(fixed.document, "plugin", tutorial_plugin()["name"])["differences"][:1]
    assert difference.startswith("configuration.bootstrapServers")
    assert on_stack("setup", "-s", scenario, "-o", "json").document["changed"] == 0


def test_own_plugin_and_rule_files_are_used_and_only_address_and_topic_are_put_in(
    on_stack: CommandLine, stack: LocalStack, before: Snapshot, tmp_path: Path, write_scenario: WriteScenario
) -> None:
    plugin = {**tutorial_plugin(), "name": "My plugin", "apiToken": "my-own-token"}
    rule = {**tutorial_rule(), "name": "My rule", "pluginToken": "my-own-token", "weight": 3}
    plugin_file, rule_file = tmp_path / "plugin.json", tmp_path / "rule.json"
    plugin_file.write_text(json.dumps(plugin), encoding="utf-8")
    rule_file.write_text(json.dumps(rule), encoding="utf-8")
    files = ["--plugin", str(plugin_file), "--rule", str(rule_file), "-s", str(write_scenario("own"))]
    assert on_stack("setup", *files).code == 0
    made = snapshot(stack.platform.url)
    [made_plugin], [made_rule] = with_name(made["plugins"], "My plugin"), with_name(made["rules"], "My rule")
    assert made_plugin["configuration"]["bootstrapServers"] == stack.broker.bootstrap
    assert (made_rule["weight"], made_rule["action"]["configuration"]["topic"]) == (3, "own")
    assert with_name(made["rules"], tutorial_rule()["name"]) == []
    assert on_stack("setup", *files, "-o", "json").document["unchanged"] == 8
    assert on_stack("teardown", "--yes", *files).code == 0
    assert snapshot(stack.platform.url) == before


def test_the_rule_follows_the_scenarios_type_and_keys(
    on_stack: CommandLine, stack: LocalStack, write_scenario: WriteScenario
) -> None:
    scenario = str(write_scenario("keys", device_type="Rain\" or 'Gauge", zone_key="district", value_key="rainfall"))
    assert on_stack("setup", "-s", scenario).code == 0
    made = snapshot(stack.platform.url)
    [device] = with_name(made["devices"], "keys 00000")
    assert made["attributes"][device["id"]["id"]] == {"deviceType": "Rain\" or 'Gauge", "district": "keys Z0"}
    [rule] = with_name(made["rules"], tutorial_rule()["name"])
    text = json.dumps(rule)
    assert "geoZone" not in text
    assert "windSpeed" not in text
    assert on_stack("setup", "-s", scenario, "-o", "json").document["changed"] == 0

    sent = on_stack("simulate", "-s", scenario, "--count", "3", "-o", "json")
    assert (sent.code, sent.document["acknowledged"]) == (0, 6)
    records = list(read_records(KafkaEndpoint(stack.broker.bootstrap), "keys"))
    readings = [json.loads(record.value or b"") for record in records]
    assert len(readings) == 6
    assert all(set(reading) == {"district", "rainfall"} and reading["district"] == "keys Z0" for reading in readings)
    assert all(30 <= reading["rainfall"] <= 35 for reading in readings)


def test_a_renamed_topic_is_refused_as_it_would_take_the_rule_from_the_old_one(
    on_stack: CommandLine, stack: LocalStack, admin: KafkaAdmin, write_scenario: WriteScenario
) -> None:
    old, new = (str(write_scenario("moved", topic=topic, name=f"{topic}.toml")) for topic in ("moved", "renamed"))
    assert on_stack("setup", "-s", old).code == 0
    made = snapshot(stack.platform.url)
    for command in (("setup",), ("teardown", "--yes")):
        refused = on_stack(*command, "-s", new, "-o", "json")
        assert (refused.code, refused.document["error"]["kind"]) == (1, "other-topic")
        assert refused.document["error"]["message"] == (
            "The rule 'WindSpeed Telemetry Rule' writes to the topic 'moved' instead of 'renamed'."
        )
        assert "under [forwarding] in the scenario" in refused.document["error"]["hint"]
    assert snapshot(stack.platform.url) == made
    assert admin.describe("renamed") is None


def test_what_a_template_cannot_hold_is_refused_before_anything_is_changed(
    on_stack: CommandLine, stack: LocalStack, before: Snapshot, admin: KafkaAdmin, tmp_path: Path
) -> None:
    scenario = tmp_path / "quotes.toml"
    scenario.write_text(
        """
        [forwarding]
        topic = "quotes"
        attributes = ["geoZone"]
        telemetry = ["windSpeed"]
        [[devices]]
        name = "Mast /7|[a] #1?x=1&y%2F"
        attributes = { geoZone = "R\u00fccken \\"Nord\\"" }
        telemetry = { windSpeed = { model = "constant", value = 7.25 } }
        """,
        encoding="utf-8",
    )
    refused = on_stack("setup", "-s", str(scenario), "-o", "json")
    assert (refused.code, refused.document["error"]["kind"]) == (2, "scenario-error")
    assert "'Mast /7|[a] #1?x=1&y%2F'" in refused.document["error"]["message"]
    assert "R\u00fccken" in refused.document["error"]["message"]
    assert refused.document["error"]["details"]["value"] == 'R\u00fccken "Nord"'
    assert snapshot(stack.platform.url) == before
    assert admin.describe("quotes") is None
