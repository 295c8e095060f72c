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

_REFERENCE = re.compile(
    r"\$(?:(?P<reading>[A-Za-z][A-Za-z0-9]*)\.valueAsString|(?P<scope>cs|ss|shared)\.get\('(?P<key>[A-Za-z0-9 _-]+)'\))"
    r"(?![A-Za-z0-9_.(\[-])"
)
_VELOCITY = re.compile(r"[$#\\]")


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
        self._plain = _plain_parts(text)

    def render(self, context: Mapping[str, Any]) -> str:
        """The text for one message; unresolved references stay as they are written. Raises TemplateFailed."""
        text = None if self._plain is None else _fill(self._plain, context)
        if text is None:
            text = self._render(context)
        if len(text) > _MAX_OUTPUT:
            raise TemplateFailed("The rendered text is longer than 1 MB.")
        return text

    def _render(self, context: Mapping[str, Any]) -> str:
        try:
            return str(self._template.merge(dict(context)))
        except (airspeed.TemplateError, RecursionError, MemoryError) as error:
            raise TemplateFailed(str(error)) from None


_Part = str | tuple[str, str]
"""A text, or the name of a reading or a map with the key that is asked for."""


def _plain_parts(text: str) -> list[_Part] | None:
    """The parts of a template that only prints readings and attributes, as nearly all do; None for any other.

    Filling such parts in takes a twentieth of what airspeed needs, which was the most of what a message cost.
    """
    parts: list[_Part] = []
    position = 0
    for found in _REFERENCE.finditer(text):
        parts.append(text[position : found.start()])
        reading = found["reading"]
        parts.append((reading, "valueAsString") if reading is not None else (found["scope"], found["key"]))
        position = found.end()
    parts.append(text[position:])
    texts = (part for part in parts if isinstance(part, str))
    return None if any(_VELOCITY.search(part) for part in texts) else parts


def _fill(parts: list[_Part], context: Mapping[str, Any]) -> str | None:
    """The text, or None when something is not there: what that means is for airspeed to say."""
    filled = []
    for part in parts:
        if isinstance(part, str):
            filled.append(part)
            continue
        name, key = part
        source = context.get(name)
        if not isinstance(source, Reading if key == "valueAsString" else AttributeMap) or key not in source:
            return None
        filled.append(source[key])
    return "".join(filled)


def attribute_maps(scopes: Mapping[str, Values]) -> dict[str, AttributeMap]:
    """`$cs`, `$ss` and `$shared` of the attributes by scope: all values as texts."""
    return {
        name: AttributeMap({key: java_text(value) for key, value in values.items()}) for name, values in scopes.items()
    }
