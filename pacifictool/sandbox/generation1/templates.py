"""Velocity templates of rule actions, rendered by airspeed.

airspeed resolves names with `getattr`, so a template could walk from any value to the interpreter's inside. Templates
are therefore refused when they use a name with a leading underscore, `format` (which does the same in a text) or a
directive that takes further template text (#evaluate, #parse, #include).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import airspeed

from pacifictool.sandbox.values import Value, Values, java_text

_FORBIDDEN = re.compile(r"[.$!{]_|\.format(?:_map)?\b|#\{?(?:evaluate|parse|include)\b", re.IGNORECASE)
_MAX_OUTPUT = 1_000_000


class TemplateRefused(Exception):
    """The template cannot be compiled."""


class TemplateFailed(Exception):
    """The template cannot be rendered for this message."""


class Reading(dict[str, Any]):
    """One telemetry entry as templates see it: `$windSpeed.valueAsString`, `.value`, `.key`, `.ts`."""

    def __init__(self, key: str, stamp: int, value: Value) -> None:
        text = java_text(value)
        super().__init__(key=key, ts=stamp, value=value, valueAsString=text)
        self["getValueAsString"] = lambda: text
        self["getKey"] = lambda: key
        self["getTs"] = lambda: stamp
        self["getValue"] = lambda: value

    def __str__(self) -> str:
        return str(self["valueAsString"])


class AttributeMap(dict[str, str]):
    """One attribute scope as templates see it: a map of texts with Java's methods."""

    def containsKey(self, key: str) -> bool:  # noqa: N802 - Java's name
        return key in self

    def size(self) -> int:
        return len(self)


class Template:
    """A compiled template. Raises TemplateRefused."""

    def __init__(self, text: str) -> None:
        if found := _FORBIDDEN.search(text):
            raise TemplateRefused(f"The template uses {found.group()!r}, which the sandbox does not execute.")
        self._template = airspeed.Template(text)
        try:
            self._template.ensure_compiled()
        except (airspeed.TemplateError, RecursionError) as error:
            raise TemplateRefused(f"The template is not valid: {error}") from None

    def render(self, context: Mapping[str, Any]) -> str:
        """The text for one message; unresolved references stay as they are written. Raises TemplateFailed."""
        try:
            text = str(self._template.merge(dict(context)))
        except (airspeed.TemplateError, RecursionError, MemoryError) as error:
            raise TemplateFailed(str(error)) from None
        if len(text) > _MAX_OUTPUT:
            raise TemplateFailed("The rendered text is longer than 1 MB.")
        return text


def attribute_maps(scopes: Mapping[str, Values]) -> dict[str, AttributeMap]:
    """`$cs`, `$ss` and `$shared` of the attributes by scope: all values as texts."""
    return {
        name: AttributeMap({key: java_text(value) for key, value in values.items()}) for name, values in scopes.items()
    }
