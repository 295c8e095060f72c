"""Plugins, rules and rule chains as JSON: files of the user's, or the tutorial's own; checked before anything is sent.

Files that the platform's web UI exported carry fields of the installation they came from (id, tenant, state, time);
those are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pacifictool.errors import DescriptorError, file_fault

PLUGIN_RESOURCE = "kafka_plugin.json"
RULE_RESOURCE = "windspeed_rule.json"

RULE_CHAIN_RESOURCE = "weather_rule_chain.json"

_OF_AN_INSTALLATION = ("id", "createdTime", "tenantId", "state")
_OF_A_CHAIN_THERE = frozenset({*_OF_AN_INSTALLATION, "version", "externalId", "firstRuleNodeId", "ruleChainId"})
_LARGEST_FILE_BYTES = 1024 * 1024

_KINDS: dict[type, str] = {
    str: "a text that is not empty",
    dict: "a JSON object",
    list: "a list",
    int: "a whole number",
}

Descriptor = dict[str, Any]


def tutorial_plugin() -> Descriptor:
    """The tutorial's Kafka plugin."""
    return parse_plugin(_resource(PLUGIN_RESOURCE), source=f"resources/{PLUGIN_RESOURCE}")


def tutorial_rule() -> Descriptor:
    """The tutorial's wind speed rule."""
    return parse_rule(_resource(RULE_RESOURCE), source=f"resources/{RULE_RESOURCE}")


def tutorial_rule_chain() -> Descriptor:
    """The tutorial's rule chain, which does the same as its plugin and rule; its body suits servers from 2.0 on."""
    return parse_rule_chain(_resource(RULE_CHAIN_RESOURCE), source=f"resources/{RULE_CHAIN_RESOURCE}")


def read_plugin(path: Path) -> Descriptor:
    """Reads a plugin file. Raises DescriptorError with the file, the line of a JSON fault, or what is missing."""
    return parse_plugin(_read(path), source=str(path))


def read_rule(path: Path) -> Descriptor:
    """Reads a rule file. Raises DescriptorError with the file, the line of a JSON fault, or what is missing."""
    return parse_rule(_read(path), source=str(path))


def read_rule_chain(path: Path) -> Descriptor:
    """Reads a rule chain file. Raises DescriptorError with the file, the line of a JSON fault, or what is missing."""
    return parse_rule_chain(_read(path), source=str(path))


def parse_plugin(text: str, *, source: str) -> Descriptor:
    """Checks a plugin given as JSON text; `source` names it in error messages."""
    document = _parse(text, source)
    _refuse_rule_chain(document, source)
    if "pluginToken" in document and "apiToken" not in document:
        raise DescriptorError(f"{source} describes a rule, not a plugin.", hint="Use: pacifictool import rule FILE")
    for key in ("name", "apiToken", "clazz"):
        _require(document, key, str, source)
    _require(document, "configuration", dict, source)
    return document


def parse_rule(text: str, *, source: str) -> Descriptor:
    """Checks a rule given as JSON text; `source` names it in error messages."""
    document = _parse(text, source)
    _refuse_rule_chain(document, source)
    if "apiToken" in document and "pluginToken" not in document:
        raise DescriptorError(f"{source} describes a plugin, not a rule.", hint="Use: pacifictool import plugin FILE")
    for key in ("name", "pluginToken"):
        _require(document, key, str, source)
    _require(document, "filters", list, source)
    for number, component in enumerate(document["filters"], start=1):
        _check_component(component, f"filters[{number}]", source)
    _check_component(document.get("action"), "action", source)
    if document.get("processor") is not None:
        _check_component(document["processor"], "processor", source)
    return document


def parse_rule_chain(text: str, *, source: str) -> Descriptor:
    """Checks a rule chain given as JSON text, {ruleChain, metadata}; `source` names it in error messages.

    A server accepts nearly anything and fails later, so that nodes and connections are checked here.
    """
    document = _parse(text, source)
    if "ruleChain" not in document and ("apiToken" in document or "pluginToken" in document):
        raise DescriptorError(
            f"{source} describes a plugin or rule, not a rule chain.",
            hint="Those belong to servers of the 1.x generation: pacifictool import plugin FILE, import rule FILE",
        )
    _require(document, "ruleChain", dict, source)
    _require(document, "metadata", dict, source)
    chain, metadata = document["ruleChain"], document["metadata"]
    _require(chain, "name", str, source, place="ruleChain.")
    if chain.get("type") == "EDGE":
        raise DescriptorError(
            f"{source} holds a rule chain for edges; no message of the server itself passes through it.",
            hint="Export one of the server's own rule chains.",
        )
    _require(metadata, "nodes", list, source, place="metadata.")
    nodes = metadata["nodes"]
    for number, node in enumerate(nodes, start=1):
        _check_component(node, f"metadata.nodes[{number}]", source, "type")
    if nodes:
        _check_index(metadata, "firstNodeIndex", nodes, "metadata.", source)
    for key, ends in (("connections", ("fromIndex", "toIndex")), ("ruleChainConnections", ("fromIndex",))):
        links = metadata.get(key)
        if links is not None and not isinstance(links, list):
            raise DescriptorError(f"{source}: 'metadata.{key}' must be {_KINDS[list]}.")
        for number, link in enumerate(links or [], start=1):
            place = f"metadata.{key}[{number}]"
            if not isinstance(link, dict):
                raise DescriptorError(f"{source}: {place} is not a JSON object.")
            _require(link, "type", str, source, place=f"{place}.")
            for end in ends:
                _check_index(link, end, nodes, f"{place}.", source)
    return {
        "ruleChain": _without(chain, _OF_A_CHAIN_THERE),
        "metadata": {
            "connections": [],
            **_without(metadata, _OF_A_CHAIN_THERE),
            "nodes": [_without(node, _OF_A_CHAIN_THERE) for node in nodes],
        },
    }


def _check_index(link: Mapping[str, Any], key: str, nodes: list[Any], place: str, source: str) -> None:
    _require(link, key, int, source, place=place)
    if isinstance(link[key], bool) or not 0 <= link[key] < len(nodes):
        raise DescriptorError(
            f"{source}: {place + key!r} is {link[key]}, but there are {len(nodes)} nodes, counted from 0."
        )


def _without(document: Mapping[str, Any], keys: frozenset[str]) -> Descriptor:
    return {key: value for key, value in document.items() if key not in keys}


def _refuse_rule_chain(document: Mapping[str, Any], source: str) -> None:
    if "ruleChain" in document:
        raise DescriptorError(f"{source} describes a rule chain.", hint="Use: pacifictool import rule-chain FILE")


def _check_component(component: Any, place: str, source: str, class_key: str = "clazz") -> None:
    """Checks a part of a rule, or a node of a rule chain, whose class is its "type"."""
    if not isinstance(component, dict):
        hint = f"It needs {class_key}, name, configuration."
        raise DescriptorError(f"{source}: {place} is not a JSON object.", hint=hint)
    for key, kind in ((class_key, str), ("name", str), ("configuration", dict)):
        _require(component, key, kind, source, place=f"{place}.")


def _require(document: Mapping[str, Any], key: str, kind: type, source: str, place: str = "") -> None:
    if key not in document:
        raise DescriptorError(
            f"{source}: key {place + key!r} is missing.",
            hint="Export it from the platform's web UI, or start from the files in pacifictool/resources.",
        )
    value = document[key]
    if not isinstance(value, kind) or value == "":
        raise DescriptorError(f"{source}: {place + key!r} must be {_KINDS[kind]}.", hint="Correct it and try again.")


def _parse(text: str, source: str) -> Descriptor:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise DescriptorError(
            f"{source} is not valid JSON: {error.msg}, line {error.lineno}, column {error.colno}.",
            hint="Correct that line and try again.",
        ) from None
    except (RecursionError, ValueError) as error:
        raise DescriptorError(
            f"{source} is not usable JSON: {error}.", hint="Export it again from the web UI."
        ) from None
    if not isinstance(document, dict):
        raise DescriptorError(
            f"{source} must hold one JSON object.",
            hint="Export the plugin or rule on its own from the platform's web UI.",
        )
    return {key: value for key, value in document.items() if key not in _OF_AN_INSTALLATION}


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise DescriptorError(
                f"{path} is larger than any plugin, rule or rule chain.", hint="Check the file's name."
            )
        # utf-8-sig: editors on Windows put a byte order mark in front.
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DescriptorError(f"{path} does not exist.", hint="Check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DescriptorError(
            f"{path} cannot be read: {file_fault(error)}.", hint="It must be readable text."
        ) from error


def _resource(name: str) -> str:
    return (resources.files("pacifictool") / "resources" / name).read_text(encoding="utf-8")
