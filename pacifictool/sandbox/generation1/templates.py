"""Velocity templates of rule actions, rendered by airspeed.

airspeed resolves names with `getattr`, so a template could reach the interpreter's internals from any value. Templates
are therefore refused when they use a name with a leading underscore, `format` (which does the same in a text) or a
directive that evaluates further template text (#evaluate, #parse, #include). Those of the usual form, as nearly all
are, are filled in by `template_parts`; airspeed renders the others in a process with limits on time and memory.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any

from pacifictool.sandbox.generation1.template_parts import NotPlain, PlainTemplate
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
        self._plain: PlainTemplate | None = None
        with contextlib.suppress(NotPlain):
            self._plain = PlainTemplate(text)
        if self._plain is None:
            try:
                response = _worker.ask({"template": text})
            except LimitExceeded as error:
                raise TemplateRefused(str(error)) from None
            if "invalid" in response:
                raise TemplateRefused(f"The template is not valid: {response['invalid']}")

    def render(self, context: Mapping[str, Any]) -> str:
        """The text for one message; unresolved references stay as they are written. Raises TemplateFailed."""
        try:
            text = self._render(context) if self._plain is None else self._plain.fill(context)
        except NotPlain:
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
