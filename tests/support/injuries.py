"""What can be wrong with the platform, its devices and its topic, by the code of the problem that must be reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from place import Place

from pacifictool.kafka.topics import CREATE_TIME

DEAD = "127.0.0.1:9"
"""Nothing listens here (discard)."""
NOWHERE = "no-such-host.invalid:9092"


@dataclass(frozen=True)
class Injury:
    """One thing to break. `pacifictool setup` heals it unless `heal` does what a person would do by hand."""

    cause: str
    line: str
    """The name of doctor's check."""
    break_it: Callable[[Place], Any]
    generations: tuple[int, ...] = (1, 4)
    heal: Callable[[Place], Any] | None = None
    fix: str = "pacifictool setup"
    """What the printed fix must contain."""
    label: str = ""
    stops_readings: bool = True
    """Whether no reading reaches Kafka as long as it lasts."""

    @property
    def id(self) -> str:
        return self.label or self.cause


def _change_rule(place: Place, *, topic: str | None = None, script: str | None = None) -> None:
    rule = place.rule()
    if topic is not None:
        rule["action"]["configuration"]["topic"] = topic
    if script is not None:
        rule["filters"][1]["configuration"]["filter"] = script
    place.save("rule", rule)


def _change_plugin(place: Place, **configuration: Any) -> None:
    plugin = place.plugin()
    place.save("plugin", plugin, configuration={**plugin["configuration"], **configuration})


def _delete_rule(place: Place) -> None:
    rule = place.rule()
    place.do("rule", rule, "suspend")
    place.tenant.delete(f"/api/rule/{rule['id']['id']}")


def _delete_plugin(place: Place) -> None:
    _delete_rule(place)
    plugin = place.plugin()
    place.do("plugin", plugin, "suspend")
    place.tenant.delete(f"/api/plugin/{plugin['id']['id']}")


def _suspend_plugin(place: Place) -> None:
    # A server lets nobody suspend a plugin that has active rules.
    place.do("rule", place.rule(), "suspend")
    place.do("plugin", place.plugin(), "suspend")


def _twin_rule(place: Place) -> None:
    copy = {key: value for key, value in place.rule().items() if key not in ("id", "createdTime")}
    place.do("rule", place.save("rule", copy), "activate")


def _delete_chain(place: Place) -> None:
    chain = place.chain()
    place.unhook(chain)
    place.tenant.delete(f"/api/ruleChain/{chain['id']['id']}")


def _twin_chain(place: Place) -> None:
    original = place.chain()
    twin = place.tenant.post("/api/ruleChain", {"name": original["name"], "type": "CORE"})
    metadata = place.metadata(original)
    nodes = [{key: value for key, value in node.items() if key != "id"} for node in metadata["nodes"]]
    place.save_metadata({**metadata, "ruleChainId": twin["id"], "nodes": nodes})
    place.hook(twin)


def _twins(place: Place) -> list[dict[str, Any]]:
    found = [chain for chain in place.chains() if chain["name"] == place.chain()["name"]]
    return sorted(found, key=lambda chain: chain["createdTime"])


def _end_twin_chain(place: Place) -> None:
    twin = _twins(place)[-1]
    place.unhook(twin)
    place.tenant.delete(f"/api/ruleChain/{twin['id']['id']}")


def _store_only_chain(place: Place) -> None:
    """The device profile's own chain stores what devices send, and hands nothing on."""
    chain = place.tenant.post("/api/ruleChain", {"name": "Only stores", "type": "CORE"})
    root = place.metadata(place.root())
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
    place.save_metadata({"ruleChainId": chain["id"], "nodes": nodes, "connections": links, "firstNodeIndex": switch})
    place.use_profile_chain(chain)


def _end_store_only_chain(place: Place) -> None:
    place.use_profile_chain(None)
    chain = next(chain for chain in place.chains() if chain["name"] == "Only stores")
    place.tenant.delete(f"/api/ruleChain/{chain['id']['id']}")


def _wrong_scope(place: Place) -> None:
    identifier = place.without_attributes("Mill 1")
    place.tenant.post(
        f"/api/plugins/telemetry/DEVICE/{identifier}/attributes/SERVER_SCOPE",
        {"deviceType": "WeatherStation", "geoZone": "North"},
    )


def _without_device_type(place: Place) -> None:
    place.without_attributes("Mill 1")
    place.set_attributes("Mill 1", {"geoZone": "North"})


def _create_time(place: Place) -> None:
    place.admin.set_timestamp_type(_topic(place), CREATE_TIME)


def _topic(place: Place) -> str:
    return f"winds{place.generation}"


def _with_type(document: dict[str, Any], type_: str) -> dict[str, Any]:
    """On 4.x the profile would win over the type."""
    return {key: value for key, value in document.items() if not key.endswith("ProfileId")} | {"type": type_}


def _rename_type(place: Place) -> None:
    place.tenant.post("/api/device", _with_type(place.device("Mill 1"), "Thermometer"))


def _delete_asset(place: Place) -> None:
    asset = place.tenant.get("/api/tenant/assets?assetName=North")
    place.tenant.delete(f"/api/asset/{asset['id']['id']}")


def _rename_asset_type(place: Place) -> None:
    asset = place.tenant.get("/api/tenant/assets?assetName=North")
    place.tenant.post("/api/asset", _with_type(asset, "Shed"))


def _change_template(place: Place) -> None:
    rule = place.rule()
    rule["action"]["configuration"]["template"] += " "
    place.save("rule", rule)


def _namesake(place: Place) -> None:
    others = [plugin for plugin in place.tenant.get("/api/plugins") if plugin["apiToken"] == "another"]
    copy = {key: value for key, value in place.plugin().items() if key not in ("id", "createdTime")}
    if not others:
        place.save("plugin", copy, apiToken="another")
    copy = {key: value for key, value in place.rule().items() if key not in ("id", "createdTime")}
    place.save("rule", copy, pluginToken="another")


def _rename_namesake(place: Place) -> None:
    [other] = [rule for rule in place.tenant.get("/api/rules") if rule["pluginToken"] == "another"]
    place.save("rule", other, name="Another rule")


def _let_nothing_pass(place: Place) -> None:
    metadata = place.metadata(place.chain())
    node = next(node for node in metadata["nodes"] if node["type"].endswith("TbJsFilterNode"))
    node["configuration"]["jsScript"] = "return false;"
    place.save_metadata(metadata)


FAILURES = [
    # Forwarding on 1.x
    Injury("plugin-missing", "plugin", _delete_plugin, (1,)),
    Injury("plugin-suspended", "plugin", _suspend_plugin, (1,)),
    Injury("plugin-failed", "plugin", lambda place: _change_plugin(place, bootstrapServers=NOWHERE), (1,)),
    Injury("rule-missing", "rule", _delete_rule, (1,)),
    Injury("rule-suspended", "rule", lambda place: place.do("rule", place.rule(), "suspend"), (1,)),
    Injury("rule-failed", "rule", lambda place: _change_rule(place, script="this is no JavaScript"), (1,)),
    Injury(
        "rule-topic-differs",
        "rule",
        lambda place: _change_rule(place, topic="elsewhere"),
        (1,),
        lambda place: _change_rule(place, topic="weather-stations-data"),
        "give ours another name: rule and plugin_token",
    ),
    Injury("rule-twice", "twins", _twin_rule, (1,), stops_readings=False),
    Injury(
        "platform-kafka-unreachable",
        "plugin",
        lambda place: _change_plugin(place, bootstrapServers=DEAD),
        (1,),
        label="platform-kafka-unreachable-plugin",
    ),
    Injury(
        "platform-kafka-differs",
        "plugin",
        lambda place: _change_plugin(place, bootstrapServers=place.elsewhere["kafka"]),
        (1,),
    ),
    # Forwarding on 4.x
    Injury("rule-chain-missing", "rule-chain", _delete_chain, (4,)),
    Injury("rule-chain-not-connected", "root-chain", lambda place: place.unhook(place.chain()), (4,)),
    Injury("rule-chain-failed", "rule-chain", lambda place: place.change_kafka_node(bootstrapServers=NOWHERE), (4,)),
    Injury(
        "rule-chain-topic-differs",
        "rule-chain",
        lambda place: place.change_kafka_node(topicPattern="elsewhere"),
        (4,),
        lambda place: place.change_kafka_node(topicPattern="weather-stations-data"),
        "give ours another name: rule_chain",
    ),
    Injury("rule-chain-twice", "twins", _twin_chain, (4,), _end_twin_chain, "Take those out", stops_readings=False),
    Injury(
        "device-profile-bypasses",
        "device-profile",
        _store_only_chain,
        (4,),
        _end_store_only_chain,
        "Take the default rule chain out of the profile",
    ),
    Injury(
        "device-profile-bypasses",
        "device-profile",
        lambda place: place.use_profile_chain(place.chain()),
        (4,),
        lambda place: place.use_profile_chain(None),
        "Take the default rule chain out of the profile",
        label="device-profile-names-ours",
    ),
    Injury(
        "platform-kafka-unreachable",
        "rule-chain",
        lambda place: place.change_kafka_node(bootstrapServers=DEAD),
        (4,),
        label="platform-kafka-unreachable-node",
    ),
    # Devices
    Injury("device-missing", "devices", lambda place: place.delete_device("Mill 1")),
    Injury("zone-missing", "attributes", lambda place: place.without_attributes("Mill 1")),
    Injury("device-type-missing", "attributes", _without_device_type),
    Injury("device-type-differs", "attributes", lambda place: place.set_attributes("Mill 1", {"deviceType": "Buoy"})),
    Injury("attributes-in-wrong-scope", "attributes", _wrong_scope),
    Injury(
        "zone-differs",
        "attributes",
        lambda place: place.set_attributes("Mill 1", {"geoZone": "Atlantis"}),
        stops_readings=False,
    ),
    # Kafka
    Injury("topic-missing", "topic", lambda place: place.admin.delete(_topic(place))),
]
"""What doctor reports as failed."""

WARNINGS = [
    Injury("topic-create-time", "topic", _create_time, (1,), stops_readings=False),
    Injury("entity-type-differs", "devices", _rename_type, stops_readings=False),
    Injury("asset-missing", "assets", _delete_asset, stops_readings=False),
    Injury("entity-type-differs", "assets", _rename_asset_type, label="asset-type-differs", stops_readings=False),
    Injury("plugin-differs", "plugin", lambda place: _change_plugin(place, retries=7), (1,), stops_readings=False),
    Injury("rule-filter-differs", "rule", lambda place: _change_rule(place, script="windSpeed > 1000"), (1,)),
    Injury("rule-differs", "rule", _change_template, (1,), stops_readings=False),
    Injury(
        "rule-namesake",
        "rule",
        _namesake,
        (1,),
        _rename_namesake,
        "Rename that rule on the platform",
        stops_readings=False,
    ),
    Injury("rule-chain-differs", "rule-chain", _let_nothing_pass, (4,)),
]
"""What doctor warns of. `stops_readings` says which of them keep readings out nevertheless."""
