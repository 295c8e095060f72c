"""What a new 4.x sandbox has besides the demo devices: the root rule chain, and an empty one for edge servers."""

from __future__ import annotations

from typing import Any

from pacifictool.sandbox.generation4 import nodes
from pacifictool.sandbox.generation4.rule_chains import RuleChains

_LOG_SCRIPT = (
    "return '\\nIncoming message:\\n' + JSON.stringify(msg) + '\\nIncoming metadata:\\n' + JSON.stringify(metadata);"
)


def _node(type_: str, name: str, x: int, y: int, configuration: dict[str, Any], version: int = 0) -> dict[str, Any]:
    return {
        "type": type_,
        "name": name,
        "configurationVersion": version,
        "configuration": configuration,
        "additionalInfo": {"layoutX": x, "layoutY": y},
    }


def _log(name: str, y: int) -> dict[str, Any]:
    return _node(nodes.LOG, name, 825, y, {"scriptLang": "TBEL", "jsScript": _LOG_SCRIPT, "tbelScript": _LOG_SCRIPT})


def root_metadata() -> dict[str, Any]:
    """The default branches: telemetry and client attributes are stored, the rest is logged."""
    profile = {"persistAlarmRulesState": False, "fetchAlarmRulesStateOnStart": False}
    timeseries = {"defaultTTL": 0, "useServerTs": False, "processingSettings": {"type": "ON_EVERY_MESSAGE"}}
    attributes = {
        "scope": "CLIENT_SCOPE",
        "notifyDevice": False,
        "sendAttributesUpdatedNotification": False,
        "updateAttributesOnlyOnValueChange": True,
        "processingSettings": {"type": "ON_EVERY_MESSAGE"},
    }
    content = [
        _node(nodes.PROFILE, "Device Profile Node", 204, 240, profile, 1),
        _node(nodes.TYPE_SWITCH, "Message Type Switch", 347, 149, {"version": 0}),
        _node(nodes.SAVE_TELEMETRY, "Save Timeseries", 824, 156, timeseries, 1),
        _node(nodes.SAVE_ATTRIBUTES, "Save Client Attributes", 825, 52, attributes, 3),
        _log("Log RPC from Device", 266),
        _log("Log Other", 379),
        _node(nodes.SEND_RPC, "RPC Call Request", 825, 468, {"timeoutInSeconds": 60}),
    ]
    ways = (
        (0, 1, "Success"),
        (1, 2, "Post telemetry"),
        (1, 3, "Post attributes"),
        (1, 4, "RPC Request from Device"),
        (1, 5, "Other"),
        (1, 6, "RPC Request to Device"),
    )
    connections = [{"fromIndex": source, "toIndex": target, "type": type_} for source, target, type_ in ways]
    return {"firstNodeIndex": 0, "nodes": content, "connections": connections}


def install_rule_chains(chains: RuleChains, tenant: str) -> None:
    """Stores both chains; not committed and not running yet."""
    for name, type_ in (("Root Rule Chain", "CORE"), ("Edge Root Rule Chain", "EDGE")):
        content = {"name": name, "debugMode": False, "configuration": None, "additionalInfo": None}
        chain = chains.create(tenant, content, type_=type_, root=True)
        if type_ == "CORE":
            chains.store_metadata(chain, root_metadata())
