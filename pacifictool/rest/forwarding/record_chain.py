"""The rule chain of servers from 2.0 on that writes the records of a `RecordSpec`.

Its scripts are JavaScript, which every version runs, and rely on docs/servers/2.x-3.x.md#rule-chains, rows 1 and 9,
and docs/servers/2.x-3.x.md#nodes, rows 5 and 6.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pacifictool.rest.descriptors import tutorial_rule_chain
from pacifictool.rest.forwarding.record import (
    DEVICE_NAME,
    DEVICE_TYPE,
    READING_TIME,
    TUTORIAL_RECORD,
    RecordAttribute,
    RecordSpec,
    js_member,
    js_text,
)

_PREFIXES: Final = {"client": "cs_", "server": "ss_", "shared": "shared_"}
_LISTS: Final = {"client": "clientAttributeNames", "server": "serverAttributeNames", "shared": "sharedAttributeNames"}
_NAMES: Final = ("Attributes", "Messages to forward", "Record", "Kafka")
"""Names of the nodes, in their order; the tutorial's nodes have names of their own."""
_IS_SENT: Final = "function isSent(value) { return typeof value === 'number' || typeof value === 'string'; }\n"
"""A key that the message lacks, null, objects and Booleans are not forwarded."""


def rule_chain_descriptor(name: str, topic: str, record: RecordSpec) -> dict[str, Any]:
    """The rule chain, {ruleChain, metadata}."""
    document = tutorial_rule_chain()
    chain, nodes = document["ruleChain"], document["metadata"]["nodes"]
    if record != TUTORIAL_RECORD:
        chain["additionalInfo"]["description"] = "Forwards telemetry to Kafka."
        for node, label in zip(nodes, _NAMES, strict=True):
            node["name"] = label
    attributes, messages, shape, kafka = (node["configuration"] for node in nodes)
    for scope, field in _LISTS.items():
        keys = [attribute.key for attribute in record.attributes if attribute.scope == scope]
        attributes[field] = list(dict.fromkeys([DEVICE_TYPE, *keys])) if scope == "client" else keys
    messages["jsScript"] = _message_filter(record)
    shape["jsScript"] = _shape(record)
    kafka["topicPattern"] = topic
    chain["name"] = name
    return document


def with_names_of(wanted: Mapping[str, Any], actual: dict[str, Any]) -> dict[str, Any]:
    """`actual` with the names of `wanted` for our own nodes.

    Nodes are recognised by their names, and the tutorial's have other names than those of other scenarios: without
    this, a scenario that is no longer the tutorial's would get new nodes next to the old ones.
    """
    tutorial = tuple(node["name"] for node in tutorial_rule_chain()["metadata"]["nodes"])
    types = {node["name"]: node["type"] for node in wanted["nodes"]}
    for old, new in ((tutorial, _NAMES), (_NAMES, tutorial)):
        if types.keys() == set(new):
            taken = {node.get("name") for node in actual.get("nodes") or ()}
            renamed = {before: after for before, after in zip(old, new, strict=True) if after not in taken}
            changed = copy.deepcopy(actual)
            for node in changed.get("nodes") or ():
                name = renamed.get(node.get("name"))
                if name is not None and node.get("type") == types[name]:
                    node["name"] = name
            return changed
    return actual


def _metadata(attribute: RecordAttribute) -> str:
    return js_member("metadata", _PREFIXES[attribute.scope] + attribute.key)


def _message_filter(record: RecordSpec) -> str:
    conditions = [f"metadata.cs_{DEVICE_TYPE} === {js_text(record.device_type)}"]
    conditions += [f"!!{_metadata(attribute)}" for attribute in record.attributes if attribute.required]
    values = [js_member("msg", key) for key in record.telemetry]
    if record.is_simple:
        return (
            f"var value = {values[0]};\n"
            "var numeric = typeof value === 'number' || (typeof value === 'string' && /\\S/.test(value));\n"
            f"return {' && '.join(conditions)} && numeric && isFinite(Number(value));"
        )
    sent = " || ".join(f"isSent({value})" for value in values)
    return f"{_IS_SENT}return {' && '.join(conditions)} && ({sent});"


def _shape(record: RecordSpec) -> str:
    if record.is_simple:
        [key] = record.telemetry
        members = [f"{_property(attribute.key)}: {_metadata(attribute)}" for attribute in record.attributes]
        members.append(f"{_property(key)}: Number({js_member('msg', key)})")
        return f"return {{msg: {{{', '.join(members)}}}, metadata: metadata, msgType: msgType}};"
    return "\n".join(
        [
            f"{_IS_SENT}var record = {{}};",
            *_statements(record),
            "return {msg: record, metadata: metadata, msgType: msgType};",
        ]
    )


def _statements(record: RecordSpec) -> Iterator[str]:
    for attribute in record.attributes:
        value = _metadata(attribute)
        statement = f"{js_member('record', attribute.key)} = {value};"
        yield statement if attribute.required else f"if ({value}) {{ {statement} }}"
    for key in record.telemetry:
        value = js_member("msg", key)
        yield f"if (isSent({value})) {{ {js_member('record', key)} = {value}; }}"
    if record.device:
        yield f"record.{DEVICE_NAME} = metadata.{DEVICE_NAME};"
        yield f"record.{READING_TIME} = Number(metadata.{READING_TIME});"


def _property(key: str) -> str:
    member = js_member("", key)
    return member[1:] if member.startswith(".") else member[1:-1]
