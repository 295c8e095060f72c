"""The variables of a template, and their JSON for the process that renders it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pacifictool.sandbox.values import Value, Values, java_text

MAX_OUTPUT = 1_000_000
"""Characters of a rendered text."""


_DATA_TYPES = {str: "STRING", int: "LONG", float: "DOUBLE", bool: "BOOLEAN"}


class TemplateReading(dict[str, Any]):
    """One telemetry entry as templates see it: `$windSpeed.valueAsString`, `.value`, `.dataType`, `.key`, `.ts`."""

    def __init__(self, key: str, timestamp: int, value: Value) -> None:
        text = java_text(value)
        super().__init__(key=key, ts=timestamp, value=value, valueAsString=text, dataType=_DATA_TYPES[type(value)])
        self["getValueAsString"] = lambda: text
        self["getKey"] = lambda: key
        self["getTs"] = lambda: timestamp
        self["getValue"] = lambda: value

    def __str__(self) -> str:
        return str(self["valueAsString"])


class AttributeMap(dict[str, str]):
    """One attribute scope as templates see it: a map of texts with Java's methods."""

    def containsKey(self, key: str) -> bool:  # noqa: N802 - Java's name
        return key in self

    def size(self) -> int:
        return len(self)


def attribute_maps(scopes: Mapping[str, Values]) -> dict[str, AttributeMap]:
    """`$cs`, `$ss` and `$shared` of the attributes by scope: all values as texts."""
    return {
        name: AttributeMap({key: java_text(value) for key, value in values.items()}) for name, values in scopes.items()
    }


def document_of(context: Mapping[str, Any]) -> dict[str, Any]:
    """A template's context as JSON."""
    return {
        name: [value["key"], value["ts"], value["value"]] if isinstance(value, TemplateReading) else value
        for name, value in context.items()
    }


def context_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """The context that `document_of` made the document of."""
    return {name: _value_of(value) for name, value in document.items()}


def _value_of(value: Any) -> Any:
    if isinstance(value, list):
        return TemplateReading(*value)
    return AttributeMap(value) if isinstance(value, dict) else value
