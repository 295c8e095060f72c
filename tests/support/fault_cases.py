"""Faults of the platform, its devices and its topic, each with the code of the problem to report."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from pacifictool.kafka.topics import CREATE_TIME
from tests.support.deployments import Deployment

DEAD = "127.0.0.1:9"
"""Nothing listens here (discard)."""
NOWHERE = "no-such-host.invalid:9092"


@dataclass(frozen=True)
class FaultCase:
    """A fault to inject. `pacifictool setup` repairs it unless `repair` does what a person would do by hand."""

    cause: str
    line: str
    """The name of doctor's check."""
    inject: Callable[[Deployment], Any]
    generations: tuple[int, ...] = (1, 4)
    repair: Callable[[Deployment], Any] | None = None
    fix: str = "pacifictool setup"
    """What the printed fix must contain."""
    label: str = ""
    stops_readings: bool = True
    """Whether it keeps all readings from reaching Kafka."""

    @property
    def id(self) -> str:
        return self.label or self.cause


def _change_rule(deployment: Deployment, *, topic: str | None = None, script: str | None = None) -> None:
    rule = deployment.rule()
    if topic is not None:
        rule["action"]["configuration"]["topic"] = topic
    if script is not None:
        rule["filters"][1]["configuration"]["filter"] = script
    deployment.save("rule", rule)


def _use_for_another_topic(deployment: Deployment) -> None:
    """The rule becomes another scenario's, which uses the same plugin."""
    rule = deployment.rule()
    rule["action"]["configuration"]["topic"] = "elsewhere"
    deployment.save("rule", rule, name="Another rule of the plugin")


def _end_use_for_another_topic(deployment: Deployment) -> None:
    [rule] = [rule for rule in deployment.tenant.get("/api/rules") if rule["name"] == "Another rule of the plugin"]
    rule["action"]["configuration"]["topic"] = _topic(deployment)
    deployment.save("rule", rule, name="WindSpeed Telemetry Rule")


def _change_plugin(deployment: Deployment, **configuration: Any) -> None:
    plugin = deployment.plugin()
    deployment.save("plugin", plugin, configuration={**plugin["configuration"], **configuration})


def _delete_rule(deployment: Deployment) -> None:
    rule = deployment.rule()
    deployment.do("rule", rule, "suspend")
    deployment.tenant.delete(f"/api/rule/{rule['id']['id']}")


def _delete_plugin(deployment: Deployment) -> None:
    _delete_rule(deployment)
    plugin = deployment.plugin()
    deployment.do("plugin", plugin, "suspend")
    deployment.tenant.delete(f"/api/plugin/{plugin['id']['id']}")


def _suspend_plugin(deployment: Deployment) -> None:
    # A server refuses to suspend a plugin that has active rules.
    deployment.do("rule", deployment.rule(), "suspend")
    deployment.do("plugin", deployment.plugin(), "suspend")


def _duplicate_rule(deployment: Deployment) -> None:
    copy = {key: value for key, value in deployment.rule().items() if key not in ("id", "createdTime")}
    deployment.do("rule", deployment.save("rule", copy), "activate")


def _delete_chain(deployment: Deployment) -> None:
    chain = deployment.chain()
    deployment.unhook(chain)
    deployment.tenant.delete(f"/api/ruleChain/{chain['id']['id']}")


def _duplicate_chain(deployment: Deployment) -> None:
    original = deployment.chain()
    duplicate = deployment.tenant.post("/api/ruleChain", {"name": original["name"], "type": "CORE"})
    metadata = deployment.metadata(original)
    nodes = [{key: value for key, value in node.items() if key != "id"} for node in metadata["nodes"]]
    deployment.save_metadata({**metadata, "ruleChainId": duplicate["id"], "nodes": nodes})
    deployment.hook(duplicate)


def _duplicates(deployment: Deployment) -> list[dict[str, Any]]:
    found = [chain for chain in deployment.chains() if chain["name"] == deployment.chain()["name"]]
    return sorted(found, key=lambda chain: chain["createdTime"])


def _end_duplicate_chain(deployment: Deployment) -> None:
    duplicate = _duplicates(deployment)[-1]
    deployment.unhook(duplicate)
    deployment.tenant.delete(f"/api/ruleChain/{duplicate['id']['id']}")


def _store_only_chain(deployment: Deployment) -> None:
    """The device profile's chain stores what devices send and forwards nothing."""
    chain = deployment.tenant.post("/api/ruleChain", {"name": "Only stores", "type": "CORE"})
    root = deployment.metadata(deployment.root())
    kept = ("TbMsgTypeSwitchNode", "TbMsgTimeseriesNode", "TbMsgAttributesNode")
    chosen = [n for n, node in enumerate(root["nodes"]) if node["type"].endswith(kept)]
    renumbered = {old: new for new, old in enumerate(chosen)}
    nodes = [{key: value for key, value in root["nodes"][n].items() if key != "id"} for n in chosen]
    links = [
        {**link, "fromIndex": renumbered[link["fromIndex"]], "toIndex": renumbered[link["toIndex"]]}
        for link in root["connections"]
        if link["fromIndex"] in renumbered and link["toIndex"] in renumbered
    ]
    switch = next(n for n, node in enumerate(nodes) if node["type"].endswith("TbMsgTypeSwitchNode"))
    deployment.save_metadata(
        {"ruleChainId": chain["id"], "nodes": nodes, "connections": links, "firstNodeIndex": switch}
    )
    deployment.use_profile_chain(chain)


def _end_store_only_chain(deployment: Deployment) -> None:
    deployment.use_profile_chain(None)
    chain = next(chain for chain in deployment.chains() if chain["name"] == "Only stores")
    deployment.tenant.delete(f"/api/ruleChain/{chain['id']['id']}")


def _wrong_scope(deployment: Deployment) -> None:
    identifier = deployment.without_attributes("Mill 1")
    deployment.tenant.post(
        f"/api/plugins/telemetry/DEVICE/{identifier}/attributes/SERVER_SCOPE",
        {"deviceType": "WeatherStation", "geoZone": "North"},
    )


def _without_device_type(deployment: Deployment) -> None:
    deployment.without_attributes("Mill 1")
    deployment.set_attributes("Mill 1", {"geoZone": "North"})


def _create_time(deployment: Deployment) -> None:
    deployment.admin.set_timestamp_type(_topic(deployment), CREATE_TIME)


def _topic(deployment: Deployment) -> str:
    return f"winds{deployment.generation}"


def _with_type(document: dict[str, Any], type_: str) -> dict[str, Any]:
    """On 4.x the profile would take precedence over the type."""
    return {key: value for key, value in document.items() if not key.endswith("ProfileId")} | {"type": type_}


def _rename_type(deployment: Deployment) -> None:
    deployment.tenant.post("/api/device", _with_type(deployment.device("Mill 1"), "Thermometer"))


def _delete_asset(deployment: Deployment) -> None:
    asset = deployment.tenant.get("/api/tenant/assets?assetName=North")
    deployment.tenant.delete(f"/api/asset/{asset['id']['id']}")


def _rename_asset_type(deployment: Deployment) -> None:
    asset = deployment.tenant.get("/api/tenant/assets?assetName=North")
    deployment.tenant.post("/api/asset", _with_type(asset, "Shed"))


def _change_template(deployment: Deployment) -> None:
    rule = deployment.rule()
    rule["action"]["configuration"]["template"] += " "
    deployment.save("rule", rule)


def _namesake(deployment: Deployment) -> None:
    others = [plugin for plugin in deployment.tenant.get("/api/plugins") if plugin["apiToken"] == "another"]
    copy = {key: value for key, value in deployment.plugin().items() if key not in ("id", "createdTime")}
    if not others:
        deployment.save("plugin", copy, apiToken="another")
    copy = {key: value for key, value in deployment.rule().items() if key not in ("id", "createdTime")}
    deployment.save("rule", copy, pluginToken="another")


def _rename_namesake(deployment: Deployment) -> None:
    [other] = [rule for rule in deployment.tenant.get("/api/rules") if rule["pluginToken"] == "another"]
    deployment.save("rule", other, name="Another rule")


def _let_nothing_pass(deployment: Deployment) -> None:
    metadata = deployment.metadata(deployment.chain())
    node = next(node for node in metadata["nodes"] if node["type"].endswith("TbJsFilterNode"))
    node["configuration"]["jsScript"] = "return false;"
    deployment.save_metadata(metadata)


FAILURES = [
    # Forwarding on 1.x
    FaultCase("plugin-missing", "plugin", _delete_plugin, (1,)),
    FaultCase("plugin-suspended", "plugin", _suspend_plugin, (1,)),
    FaultCase("plugin-failed", "plugin", lambda deployment: _change_plugin(deployment, bootstrapServers=NOWHERE), (1,)),
    FaultCase("rule-missing", "rule", _delete_rule, (1,)),
    FaultCase("rule-suspended", "rule", lambda deployment: deployment.do("rule", deployment.rule(), "suspend"), (1,)),
    FaultCase(
        "rule-failed", "rule", lambda deployment: _change_rule(deployment, script="this is not JavaScript"), (1,)
    ),
    FaultCase(
        "rule-topic-differs",
        "rule",
        lambda deployment: _change_rule(deployment, topic="elsewhere"),
        (1,),
        lambda deployment: _change_rule(deployment, topic=_topic(deployment)),
        "give ours another name: rule and plugin_token",
    ),
    FaultCase(
        "plugin-topic-differs",
        "plugin",
        _use_for_another_topic,
        (1,),
        _end_use_for_another_topic,
        "give ours another name: plugin_token",
    ),
    FaultCase("rule-twice", "twins", _duplicate_rule, (1,), stops_readings=False),
    FaultCase(
        "platform-kafka-unreachable",
        "plugin",
        lambda deployment: _change_plugin(deployment, bootstrapServers=DEAD),
        (1,),
        label="platform-kafka-unreachable-plugin",
    ),
    FaultCase(
        "platform-kafka-differs",
        "plugin",
        lambda deployment: _change_plugin(deployment, bootstrapServers=deployment.elsewhere["kafka"]),
        (1,),
    ),
    # Forwarding on 4.x
    FaultCase("rule-chain-missing", "rule-chain", _delete_chain, (4,)),
    FaultCase("rule-chain-not-connected", "root-chain", lambda deployment: deployment.unhook(deployment.chain()), (4,)),
    FaultCase(
        "rule-chain-failed",
        "rule-chain",
        lambda deployment: deployment.change_kafka_node(bootstrapServers=NOWHERE),
        (4,),
    ),
    FaultCase(
        "rule-chain-topic-differs",
        "rule-chain",
        lambda deployment: deployment.change_kafka_node(topicPattern="elsewhere"),
        (4,),
        lambda deployment: deployment.change_kafka_node(topicPattern=_topic(deployment)),
        "give ours another name: rule_chain",
    ),
    FaultCase(
        "rule-chain-twice",
        "twins",
        _duplicate_chain,
        (4,),
        _end_duplicate_chain,
        "Take those out",
        stops_readings=False,
    ),
    FaultCase(
        "device-profile-bypasses",
        "device-profile",
        _store_only_chain,
        (4,),
        _end_store_only_chain,
        "Take the default rule chain out of the profile",
    ),
    FaultCase(
        "device-profile-bypasses",
        "device-profile",
        lambda deployment: deployment.use_profile_chain(deployment.chain()),
        (4,),
        lambda deployment: deployment.use_profile_chain(None),
        "Take the default rule chain out of the profile",
        label="device-profile-names-ours",
    ),
    FaultCase(
        "platform-kafka-unreachable",
        "rule-chain",
        lambda deployment: deployment.change_kafka_node(bootstrapServers=DEAD),
        (4,),
        label="platform-kafka-unreachable-node",
    ),
    # Devices
    FaultCase("device-missing", "devices", lambda deployment: deployment.delete_device("Mill 1")),
    FaultCase("zone-missing", "attributes", lambda deployment: deployment.without_attributes("Mill 1")),
    FaultCase("device-type-missing", "attributes", _without_device_type),
    FaultCase(
        "device-type-differs",
        "attributes",
        lambda deployment: deployment.set_attributes("Mill 1", {"deviceType": "Buoy"}),
    ),
    FaultCase("attributes-in-wrong-scope", "attributes", _wrong_scope),
    FaultCase(
        "zone-differs",
        "attributes",
        lambda deployment: deployment.set_attributes("Mill 1", {"geoZone": "Atlantis"}),
        stops_readings=False,
    ),
    # Kafka
    FaultCase("topic-missing", "topic", lambda deployment: deployment.admin.delete(_topic(deployment))),
]
"""What doctor reports as failed."""

WARNINGS = [
    FaultCase("topic-create-time", "topic", _create_time, (1,), stops_readings=False),
    FaultCase("entity-type-differs", "devices", _rename_type, stops_readings=False),
    FaultCase("asset-missing", "assets", _delete_asset, stops_readings=False),
    FaultCase("entity-type-differs", "assets", _rename_asset_type, label="asset-type-differs", stops_readings=False),
    FaultCase(
        "plugin-differs", "plugin", lambda deployment: _change_plugin(deployment, retries=7), (1,), stops_readings=False
    ),
    FaultCase(
        "rule-filter-differs", "rule", lambda deployment: _change_rule(deployment, script="windSpeed > 1000"), (1,)
    ),
    FaultCase("rule-differs", "rule", _change_template, (1,), stops_readings=False),
    FaultCase(
        "rule-namesake",
        "rule",
        _namesake,
        (1,),
        _rename_namesake,
        "Rename that rule on the platform",
        stops_readings=False,
    ),
    FaultCase("rule-chain-differs", "rule-chain", _let_nothing_pass, (4,)),
]
"""What doctor warns of; `stops_readings` marks those that also keep readings out."""


def by_turns(cases: Iterable[FaultCase], first: int) -> list[Any]:
    """Generation and case as a test's parameters.

    Of a case that both generations have, one is in every run and the other is `long`: by turns, from generation `first`.
    Doctor and trace begin with different ones, so that every run sees each such case on both.
    """
    turns, found = itertools.cycle((first, 5 - first)), []
    for case in cases:
        quick = next(turns) if len(case.generations) > 1 else case.generations[0]
        for generation in case.generations:
            marks = () if generation == quick else (pytest.mark.long,)
            found.append(pytest.param(generation, case, id=f"{case.id}-{generation}", marks=marks))
    return found
