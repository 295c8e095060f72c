"""Connections from one rule chain to another: found, added and removed without changing any other node.

Before 3.3.3 such a connection is a member of `ruleChainConnections`, since then a node of its own, the
TbRuleChainInputNode (docs/servers/2.x-3.x.md#rule-chains, row 4; docs/servers/4.x.md#rule-chains, row 9). Both are
recognised whatever the server's version.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pacifictool.errors import ForwardingFailed
from pacifictool.rest.forwarding.chain_body import (
    INPUT_NODE,
    Metadata,
    called_by,
    chain_connections_of,
    connections_of,
    nodes_of,
)
from pacifictool.server_version import ServerVersion

SWITCH_NODE = "org.thingsboard.rule.engine.filter.TbMsgTypeSwitchNode"
POST_TELEMETRY = "Post telemetry"

_DISTANCE_X, _DISTANCE_Y = 270, 90
_START_X, _START_Y = 300, 150


def entries(metadata: Metadata, chain_id: str) -> list[str]:
    """From where the chain of `metadata` hands messages to the chain `chain_id`: "node –relation→", one per way."""
    names = [str(node.get("name")) for node in nodes_of(metadata)]
    inputs = _inputs(metadata, chain_id)
    ways = [(link["fromIndex"], link["type"]) for link in connections_of(metadata) if link["toIndex"] in inputs]
    if metadata.get("firstNodeIndex") in inputs:
        ways.append((metadata["firstNodeIndex"], "its first node"))
    ways += [(link["fromIndex"], link["type"]) for link in chain_connections_of(metadata) if _leads_to(link, chain_id)]
    return [f"{names[index]!r} –{relation}→" for index, relation in ways]


def input_nodes(metadata: Metadata, chain_id: str) -> list[dict[str, Any]]:
    """The nodes that stand for the chain `chain_id`."""
    nodes = nodes_of(metadata)
    return [nodes[index] for index in sorted(_inputs(metadata, chain_id))]


def with_hook(metadata: Metadata, chain_id: str, name: str, version: ServerVersion) -> dict[str, Any]:
    """`metadata` with one more way from the message type switch to the chain `chain_id`. Raises ForwardingFailed."""
    changed = copy.deepcopy(dict(metadata))
    switch = _switch(changed)
    if not version.at_least(3, 3, 3):
        changed["ruleChainConnections"] = [
            *chain_connections_of(changed),
            {
                "fromIndex": switch,
                "targetRuleChainId": {"entityType": "RULE_CHAIN", "id": chain_id},
                # The UI of these versions draws one box for all connections with the same ruleChainNodeId.
                "additionalInfo": {**_place(changed, switch), "ruleChainNodeId": f"rule-chain-node-{chain_id}"},
                "type": POST_TELEMETRY,
            },
        ]
        return changed
    target = min(_inputs(changed, chain_id), default=None)
    if target is None:
        target = len(nodes_of(changed))
        changed["nodes"] = [*nodes_of(changed), _input_node(chain_id, name, version, _place(changed, switch))]
    changed["connections"] = [
        *connections_of(changed),
        {"fromIndex": switch, "toIndex": target, "type": POST_TELEMETRY},
    ]
    return changed


def without_hook(metadata: Metadata, chain_id: str) -> dict[str, Any]:
    """`metadata` without any way to the chain `chain_id`."""
    changed = copy.deepcopy(dict(metadata))
    gone = _inputs(changed, chain_id)
    new_index = {
        old: new for new, old in enumerate(index for index in range(len(nodes_of(changed))) if index not in gone)
    }
    changed["nodes"] = [node for index, node in enumerate(nodes_of(changed)) if index not in gone]
    changed["firstNodeIndex"] = new_index.get(changed.get("firstNodeIndex", -1))
    if changed.get("connections") is not None:
        changed["connections"] = [
            {**link, "fromIndex": new_index[link["fromIndex"]], "toIndex": new_index[link["toIndex"]]}
            for link in connections_of(changed)
            if link["fromIndex"] in new_index and link["toIndex"] in new_index
        ]
    if changed.get("ruleChainConnections"):
        kept = [
            {**link, "fromIndex": new_index[link["fromIndex"]]}
            for link in chain_connections_of(changed)
            if link["fromIndex"] in new_index and not _leads_to(link, chain_id)
        ]
        changed["ruleChainConnections"] = kept or None
    return changed


def _inputs(metadata: Metadata, chain_id: str) -> set[int]:
    return {index for index, node in enumerate(nodes_of(metadata)) if called_by(node) == chain_id}


def _leads_to(link: Mapping[str, Any], chain_id: str) -> bool:
    return (link.get("targetRuleChainId") or {}).get("id") == chain_id


def _switch(metadata: Metadata) -> int:
    """The index of the message type switch; of several, of the one whose telemetry goes somewhere."""
    switches = [index for index, node in enumerate(nodes_of(metadata)) if node.get("type") == SWITCH_NODE]
    used = [
        link["fromIndex"]
        for link in connections_of(metadata)
        if link["fromIndex"] in switches and link["type"] == POST_TELEMETRY
    ]
    if not switches:
        raise ForwardingFailed(
            "The root rule chain has no message type switch that could hand telemetry on.",
            hint="Lead the telemetry to our rule chain yourself in the platform's web UI, and run the command again.",
        )
    return used[0] if used else switches[0]


def _input_node(chain_id: str, name: str, version: ServerVersion, place: Mapping[str, Any]) -> dict[str, Any]:
    node: dict[str, Any] = {
        "type": INPUT_NODE,
        "name": name,
        "configuration": {"ruleChainId": chain_id},
        "additionalInfo": dict(place),
    }
    if version.at_least(4):
        # docs/servers/4.x.md#rule-chains, row 9. An older server's node may not know the field, and then does
        # not start (docs/servers/2.x-3.x.md#nodes, row 3).
        node["configuration"] = {"ruleChainId": chain_id, "forwardMsgToDefaultRuleChain": False}
        node["configurationVersion"] = 1
    return node


def _place(metadata: Metadata, switch: int) -> dict[str, int]:
    """A free place on the UI's canvas: right of the switch, below everything else."""
    places = [node.get("additionalInfo") or {} for node in nodes_of(metadata)]
    places += [link.get("additionalInfo") or {} for link in chain_connections_of(metadata)]
    bottom = max((_number(place.get("layoutY"), 0) for place in places), default=_START_Y)
    own = nodes_of(metadata)[switch].get("additionalInfo") or {}
    return {"layoutX": _number(own.get("layoutX"), _START_X) + _DISTANCE_X, "layoutY": bottom + _DISTANCE_Y}


def _number(value: Any, otherwise: int) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else otherwise
