"""Plugin and rule descriptors: JSON files of the user's, or the tutorial's own, checked before anything is sent.

Files that the platform's web UI exported carry fields of the installation they came from (id, tenant, state, time);
those are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pacifictool.errors import DescriptorError

PLUGIN_RESOURCE = "kafka_plugin.json"
RULE_RESOURCE = "windspeed_rule.json"

_OF_AN_INSTALLATION = ("id", "createdTime", "tenantId", "state")
_LARGEST_FILE_BYTES = 1024 * 1024

_KINDS: dict[type, str] = {str: "a text that is not empty", dict: "a JSON object", list: "a list"}

Descriptor = dict[str, Any]


def tutorial_plugin() -> Descriptor:
    """The tutorial's Kafka plugin."""
    return parse_plugin(_resource(PLUGIN_RESOURCE), source=f"resources/{PLUGIN_RESOURCE}")


def tutorial_rule() -> Descriptor:
    """The tutorial's wind speed rule."""
    return parse_rule(_resource(RULE_RESOURCE), source=f"resources/{RULE_RESOURCE}")


def read_plugin(path: Path) -> Descriptor:
    """Reads a plugin file. Raises DescriptorError with the file, the line of a JSON fault, or what is missing."""
    return parse_plugin(_read(path), source=str(path))


def read_rule(path: Path) -> Descriptor:
    """Reads a rule file. Raises DescriptorError with the file, the line of a JSON fault, or what is missing."""
    return parse_rule(_read(path), source=str(path))


def parse_plugin(text: str, *, source: str) -> Descriptor:
    """Checks a plugin given as JSON text; `source` names it in error messages."""
    document = _parse(text, source)
    if "pluginToken" in document and "apiToken" not in document:
        raise DescriptorError(f"{source} describes a rule, not a plugin.", hint="Use: pacifictool import rule FILE")
    for key in ("name", "apiToken", "clazz"):
        _require(document, key, str, source)
    _require(document, "configuration", dict, source)
    return document


def parse_rule(text: str, *, source: str) -> Descriptor:
    """Checks a rule given as JSON text; `source` names it in error messages."""
    document = _parse(text, source)
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


def _check_component(component: Any, place: str, source: str) -> None:
    if not isinstance(component, dict):
        raise DescriptorError(f"{source}: {place} is not a JSON object.", hint="It needs clazz, name, configuration.")
    for key, kind in (("clazz", str), ("name", str), ("configuration", dict)):
        _require(component, key, kind, source, place=f"{place}.")


def _require(document: Mapping[str, Any], key: str, kind: type, source: str, place: str = "") -> None:
    if key not in document:
        raise DescriptorError(
            f"{source}: key {place + key!r} is missing.",
            hint="Export the plugin or rule from the platform's web UI, or start from the files in"
            " pacifictool/resources.",
        )
    value = document[key]
    if not isinstance(value, kind) or value == "":
        raise DescriptorError(f"{source}: {place + key!r} must be {_KINDS[kind]}.")


def _parse(text: str, source: str) -> Descriptor:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise DescriptorError(
            f"{source} is not valid JSON: {error.msg}, line {error.lineno}, column {error.colno}.",
            hint="Mend that line and try again.",
        ) from None
    except (RecursionError, ValueError) as error:
        raise DescriptorError(f"{source} is not usable JSON: {error}.") from None
    if not isinstance(document, dict):
        raise DescriptorError(f"{source} must hold one JSON object.")
    return {key: value for key, value in document.items() if key not in _OF_AN_INSTALLATION}


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise DescriptorError(f"{path} is larger than any plugin or rule.", hint="Check the file's name.")
        # utf-8-sig: editors on Windows put a byte order mark in front.
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DescriptorError(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DescriptorError(f"{path} cannot be read: {error}.") from error


def _resource(name: str) -> str:
    return (resources.files("pacifictool") / "resources" / name).read_text(encoding="utf-8")
