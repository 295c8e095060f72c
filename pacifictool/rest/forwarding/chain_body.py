"""The metadata of a rule chain, its nodes and connections, compared with and merged into what a server has.

Nodes are known by their names: ids are the server's, and the order in which it lists nodes is its own.
"""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeAlias

from pacifictool.rest.forwarding.compare import Difference, DifferenceKind, differences, merged

KAFKA_NODE = "org.thingsboard.rule.engine.kafka.TbKafkaNode"
INPUT_NODE = "org.thingsboard.rule.engine.flow.TbRuleChainInputNode"
"""Stands for another chain (3.3.3 and later)."""

Metadata: TypeAlias = Mapping[str, Any]
Node: TypeAlias = Mapping[str, Any]
Edge: TypeAlias = tuple[str, str, str]
"""From which node, by which relation, to which node; nodes by their labels."""


def nodes_of(metadata: Metadata) -> list[dict[str, Any]]:
    """The nodes, also of a chain that has none yet."""
    return list(metadata.get("nodes") or [])


def connections_of(metadata: Metadata) -> list[dict[str, Any]]:
    """The connections between nodes; a server writes null where there are none."""
    return list(metadata.get("connections") or [])


def chain_connections_of(metadata: Metadata) -> list[dict[str, Any]]:
    """The connections to other chains, as servers before 3.3.3 keep them."""
    return list(metadata.get("ruleChainConnections") or [])


def topics_of(metadata: Metadata) -> set[str]:
    """The topics that its Kafka nodes write to."""
    found = [
        (node.get("configuration") or {}).get("topicPattern")
        for node in nodes_of(metadata)
        if node.get("type") == KAFKA_NODE
    ]
    return {topic for topic in found if isinstance(topic, str)}


def labels_of(metadata: Metadata) -> list[str]:
    """A label for each node: its name; of nodes with the same name, the second is "name (2)"."""
    nodes = nodes_of(metadata)
    same: dict[str, list[int]] = defaultdict(list)
    for index, node in enumerate(nodes):
        same[str(node.get("name"))].append(index)
    labels = [""] * len(nodes)
    for name, indices in same.items():
        # The order of a server's list is not a property of the chain; content is.
        indices.sort(key=lambda index: _content(nodes[index]))
        for number, index in enumerate(indices, start=1):
            labels[index] = name if number == 1 else f"{name} ({number})"
    return labels


def edges_of(metadata: Metadata) -> set[Edge]:
    """The connections between nodes, by labels."""
    labels = labels_of(metadata)
    return {
        (labels[connection["fromIndex"]], str(connection["type"]), labels[connection["toIndex"]])
        for connection in connections_of(metadata)
    }


def calls_of(metadata: Metadata) -> set[Edge]:
    """The connections to other chains, by label and chain id, in whichever way the server keeps them."""
    labels, nodes = labels_of(metadata), nodes_of(metadata)
    calls = {
        (labels[link["fromIndex"]], str(link["type"]), target)
        for link in connections_of(metadata)
        if (target := called_by(nodes[link["toIndex"]])) is not None
    }
    return calls | {_call(link, labels) for link in chain_connections_of(metadata)}


def called_by(node: Node) -> str | None:
    """The id of the chain that the node stands for."""
    target = (node.get("configuration") or {}).get("ruleChainId")
    return str(target) if node.get("type") == INPUT_NODE and target else None


def _call(link: Mapping[str, Any], labels: list[str]) -> Edge:
    target = (link.get("targetRuleChainId") or {}).get("id")
    return labels[link["fromIndex"]], str(link["type"]), str(target)


def chain_differences(wanted: Metadata, actual: Metadata) -> Iterator[Difference]:
    """One line for each part of `wanted` that `actual` lacks.

    Nodes that somebody has added do not count; connections between wanted nodes that are not wanted do.
    """
    labels = labels_of(wanted)
    found = dict(zip(labels_of(actual), nodes_of(actual), strict=True))
    for label, node in zip(labels, nodes_of(wanted), strict=True):
        other = found.get(label)
        if other is None:
            yield Difference(f"node {label!r} is missing", DifferenceKind.STRUCTURE)
        elif other.get("type") != node.get("type"):
            yield Difference.between(f"node {label!r}", _short(node), _short(other))
        else:
            yield from differences(_expected(node, other), other.get("configuration") or {}, label)
    wanted_edges = edges_of(wanted)
    actual_edges = {edge for edge in edges_of(actual) if edge[0] in labels and edge[2] in labels}
    for edge in sorted(wanted_edges - actual_edges):
        yield Difference(f"connection {_shown(edge)} is missing", DifferenceKind.STRUCTURE)
    for edge in sorted(actual_edges - wanted_edges):
        yield Difference(f"connection {_shown(edge)} is not wanted", DifferenceKind.STRUCTURE)
    for call in sorted(calls_of(wanted) - calls_of(actual)):
        yield Difference(f"connection {_shown(call)} to another rule chain is missing", DifferenceKind.STRUCTURE)
    if (first := _first_label(wanted)) != _first_label(actual):
        yield Difference.between("first node", repr(first), repr(_first_label(actual)))


def merge_chain(wanted: Metadata, actual: Metadata, renew: Collection[str] = ()) -> dict[str, Any]:
    """`wanted` as it is to be saved over `actual`.

    Nodes keep their ids, settings and places, except those labelled in `renew`: without an id a server replaces a node,
    which restarts it. Nodes that somebody has added stay, with their connections.
    """
    wanted_nodes = dict(zip(labels_of(wanted), nodes_of(wanted), strict=True))
    nodes: list[dict[str, Any]] = []
    index_of: dict[str, int] = {}
    for label, node in zip(labels_of(actual), nodes_of(actual), strict=True):
        index_of[label] = len(nodes)
        wish = wanted_nodes.get(label)
        if wish is None:
            nodes.append(node)
        elif wish.get("type") != node.get("type"):
            nodes.append(copy.deepcopy(dict(wish)))
        else:
            kept = {key: value for key, value in node.items() if key != "id" or label not in renew}
            kept["configuration"] = merged(_expected(wish, node), node.get("configuration") or {})
            nodes.append(kept)
    for label, wish in wanted_nodes.items():
        if label not in index_of:
            index_of[label] = len(nodes)
            nodes.append(copy.deepcopy(dict(wish)))
    foreign = [edge for edge in _listed_edges(actual) if not {edge[0], edge[2]} <= set(wanted_nodes)]
    first = _first_label(wanted)
    present, labels = calls_of(actual), labels_of(wanted)
    links = [
        {**link, "fromIndex": index_of[labels[link["fromIndex"]]]}
        for link in chain_connections_of(wanted)
        if _call(link, labels) not in present
    ]
    return {
        **actual,
        "firstNodeIndex": None if first is None else index_of[first],
        "nodes": nodes,
        "connections": [
            {"fromIndex": index_of[source], "toIndex": index_of[target], "type": relation}
            for source, relation, target in (*_listed_edges(wanted), *foreign)
        ],
        "ruleChainConnections": [*chain_connections_of(actual), *links] or None,
    }


def _expected(wish: Node, actual: Node) -> dict[str, Any]:
    """The wanted configuration as a server keeps it that has upgraded it to a later version.

    From 3.6 on a server rewrites configurations of older versions when they are saved; what it took out then (on 4.x
    the serializers of the Kafka node) must not be put back: the node would not start.
    """
    configuration = dict(wish.get("configuration") or {})
    if _configuration_version(actual) > _configuration_version(wish):
        kept = actual.get("configuration") or {}
        return {key: value for key, value in configuration.items() if key in kept}
    return configuration


def _configuration_version(node: Node) -> int:
    version = node.get("configurationVersion")
    return version if isinstance(version, int) else 0


def _listed_edges(metadata: Metadata) -> list[Edge]:
    labels = labels_of(metadata)
    return [
        (labels[connection["fromIndex"]], str(connection["type"]), labels[connection["toIndex"]])
        for connection in connections_of(metadata)
    ]


def _first_label(metadata: Metadata) -> str | None:
    index = metadata.get("firstNodeIndex")
    labels = labels_of(metadata)
    return labels[index] if isinstance(index, int) and 0 <= index < len(labels) else None


def _content(node: Node) -> str:
    return json.dumps([node.get("type"), node.get("configuration")], sort_keys=True)


def _short(node: Node) -> str:
    return str(node.get("type")).rpartition(".")[2]


def _shown(edge: Edge) -> str:
    source, relation, target = edge
    return f"{source!r} –{relation}→ {target!r}"
