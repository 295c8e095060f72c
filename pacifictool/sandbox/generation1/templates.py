"""Velocity templates of rule actions, rendered by airspeed.

airspeed resolves names with `getattr`, so a template could reach the interpreter's internals from any value. Templates
are therefore refused when they use a name with a leading underscore, `format` (which does the same in a text) or a
directive that evaluates further template text (#evaluate, #parse, #include). Those that only print readings and
attributes, as nearly all do, are filled in here; airspeed renders the others in a process with limits on time and
memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pacifictool.sandbox.generation1.template_process import LimitExceeded, TemplateProcess
from pacifictool.sandbox.generation1.template_values import (
    MAX_OUTPUT,
    AttributeMap,
    TemplateReading,
    attribute_maps,
    document_of,
)

__all__ = ["AttributeMap", "Template", "TemplateFailed", "TemplateReading", "TemplateRefused", "attribute_maps"]

_FORBIDDEN = re.compile(r"[.$!{]_|\.format(?:_map)?\b|#\{?(?:evaluate|parse|include)\b", re.IGNORECASE)

_REFERENCE = re.compile(
    r"\$(?:(?P<reading>[A-Za-z][A-Za-z0-9]*)\.valueAsString|(?P<scope>cs|ss|shared)\.get\('(?P<key>[A-Za-z0-9 _-]+)'\))"
    r"(?![A-Za-z0-9_.(\[-])"
)
_VELOCITY = re.compile(r"[$#\\]")
_worker = TemplateProcess()


class TemplateRefused(Exception):
    """The template cannot be compiled."""


class TemplateFailed(Exception):
    """The template cannot be rendered for this message."""


class Template:
    """A compiled template. Raises TemplateRefused."""

    def __init__(self, text: str) -> None:
        if found := _FORBIDDEN.search(text):
            raise TemplateRefused(f"The template uses {found.group()!r}, which the sandbox does not execute.")
        self._text = text
        self._plain = _plain_parts(text)
        if self._plain is None:
            try:
                response = _worker.ask({"template": text})
            except LimitExceeded as error:
                raise TemplateRefused(str(error)) from None
            if "invalid" in response:
                raise TemplateRefused(f"The template is not valid: {response['invalid']}")

    def render(self, context: Mapping[str, Any]) -> str:
        """The text for one message; unresolved references stay as they are written. Raises TemplateFailed."""
        text = None if self._plain is None else _fill(self._plain, context)
        if text is None:
            text = self._render(context)
        if len(text) > MAX_OUTPUT:
            raise TemplateFailed("The rendered text is longer than 1 MB.")
        return text

    def _render(self, context: Mapping[str, Any]) -> str:
        try:
            response = _worker.ask({"template": self._text, "context": document_of(context)})
        except LimitExceeded as error:
            raise TemplateFailed(str(error)) from None
        if "text" not in response:
            raise TemplateFailed(response.get("failed") or response.get("invalid") or "The template failed.")
        return response["text"]


_Part = str | tuple[str, str, str]
"""A text, or the name of a reading or a map, the requested key, and the reference as it is written."""


def _plain_parts(text: str) -> list[_Part] | None:
    """The parts of a template that only prints readings and attributes, as nearly all do; None for any other.

    Filling in such parts takes a twentieth of the time of airspeed, which was most of the cost of a message.
    """
    parts: list[_Part] = []
    position = 0
    for found in _REFERENCE.finditer(text):
        parts.append(text[position : found.start()])
        reading = found["reading"]
        name, key = (reading, "valueAsString") if reading is not None else (found["scope"], found["key"])
        parts.append((name, key, found.group()))
        position = found.end()
    parts.append(text[position:])
    texts = (part for part in parts if isinstance(part, str))
    return None if any(_VELOCITY.search(part) for part in texts) else parts


def _fill(parts: list[_Part], context: Mapping[str, Any]) -> str | None:
    """The text, or None if a name is neither a reading nor a map, which is left to airspeed."""
    filled = []
    for part in parts:
        if isinstance(part, str):
            filled.append(part)
            continue
        name, key, written = part
        source = context.get(name)
        if source is None:
            filled.append(written)
            continue
        if not isinstance(source, TemplateReading if key == "valueAsString" else AttributeMap):
            return None
        filled.append(source.get(key, written))
    return "".join(filled)
