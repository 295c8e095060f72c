"""Templates of the usual form, filled in directly: a twentieth of what airspeed needs, which was the most of what a
message cost.

The usual form prints readings, attributes and variables, within `#if` of whether one is there or a text, and with
`#set` of a text. Anything else is left to airspeed; docs/servers/1.x.md#filters-and-templates says what both must do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pacifictool.sandbox.generation1.template_values import AttributeMap, TemplateReading

_NAME, _KEY = r"[A-Za-z][A-Za-z0-9_-]*", r"[^'$#\\\n]+"
_CONDITION = (
    rf"\(\$(?:(?P<scope>cs|ss|shared)\.containsKey\('(?P<in_scope>{_KEY})'\)"
    rf"|(?P<reading>{_NAME})\.dataType == '(?P<type>[A-Z]+)'|(?P<present>{_NAME}))\)"
)
_AFTER_DIRECTIVE = r"(?![A-Za-z0-9_@{(])(?![ \t\r]*\n)"
"""Directives gobble the rest of a line that they end."""
_AFTER_REFERENCE = r"(?![A-Za-z0-9_.(\[-])"
_TOKEN = re.compile(
    rf"#(?P<directive>if|elseif){_CONDITION}(?![ \t\r]*\n)|#(?P<word>else|end){_AFTER_DIRECTIVE}"
    rf"|#set\(\$(?P<set>{_NAME}) = \"(?P<text>[^\"$#\\\n]*)\"\)(?![ \t\r]*\n)"
    rf"|\$(?P<of>{_NAME})\.(?P<member>valueAsString|ts|dataType){_AFTER_REFERENCE}"
    rf"|\$(?P<map>cs|ss|shared)\.get\('(?P<key>{_KEY})'\){_AFTER_REFERENCE}"
    rf"|\$(?P<variable>{_NAME}){_AFTER_REFERENCE}|\$\{{(?P<braced>{_NAME})\}}"
)
_VELOCITY = re.compile(r"[$#\\]")

Context = dict[str, Any]
Part = Callable[[Context], str]


class NotPlain(Exception):
    """The template, or a value, is not of the usual form."""


class PlainTemplate:
    """A template of the usual form. Raises NotPlain for any other."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_TOKEN.finditer(text))
        self._position = 0
        try:
            self._parts, end = self._block(0)
        except RecursionError:
            raise NotPlain from None
        if end != len(self._tokens):
            raise NotPlain

    def fill(self, context: Mapping[str, Any]) -> str:
        """The text for one message. Raises NotPlain for values that the usual form does not have."""
        variables = dict(context)
        try:
            return "".join([part(variables) for part in self._parts])
        except RecursionError:
            raise NotPlain from None

    def _block(self, at: int) -> tuple[list[Part], int]:
        """The parts up to the token that ends the block, and its number."""
        parts: list[Part] = []
        while at < len(self._tokens):
            token = self._tokens[at]
            self._add_text(parts, token.start())
            if token["word"] is not None or token["directive"] == "elseif":
                return parts, at
            self._position = token.end()
            if token["directive"] is not None:
                part, at = self._branches(at)
                parts.append(part)
            else:
                parts.append(_setter(token) if token["set"] is not None else _reference(token))
            at += 1
        self._add_text(parts, len(self._text))
        return parts, at

    def _add_text(self, parts: list[Part], end: int) -> None:
        text = self._text[self._position : end]
        if _VELOCITY.search(text):
            raise NotPlain
        if text:
            parts.append(lambda _context: text)

    def _branches(self, at: int) -> tuple[Part, int]:
        """An #if with all that belongs to it, and the number of its #end."""
        branches: list[tuple[Callable[[Context], bool], list[Part]]] = []
        while True:
            token = self._tokens[at]
            self._position = token.end()
            if token["word"] == "end":
                break
            condition = _condition(token) if token["directive"] is not None else _always
            parts, at = self._block(at + 1)
            branches.append((condition, parts))
            if at == len(self._tokens) or (condition is _always and self._tokens[at]["word"] != "end"):
                raise NotPlain

        def run(context: Context) -> str:
            for condition, parts in branches:
                if condition(context):
                    return "".join([part(context) for part in parts])
            return ""

        return run, at


def _always(_context: Context) -> bool:
    return True


def _condition(token: re.Match[str]) -> Callable[[Context], bool]:
    scope, key, reading, type_, name = token.group("scope", "in_scope", "reading", "type", "present")
    if scope is not None:
        return lambda context: key in _of_kind(context.get(scope), AttributeMap)
    if reading is not None:
        return lambda context: bool(_of_kind(context.get(reading), TemplateReading)["dataType"] == type_)

    def is_present(context: Context) -> bool:
        # Only readings: airspeed and Velocity differ on whether empty texts and maps are true.
        return context.get(name) is not None and bool(_of_kind(context[name], TemplateReading))

    return is_present


def _setter(token: re.Match[str]) -> Part:
    name, text = token.group("set", "text")

    def assign(context: Context) -> str:
        context[name] = text
        return ""

    return assign


def _reference(token: re.Match[str]) -> Part:
    written = token.group()
    if token["of"] is not None or token["map"] is not None:
        name, key, kind = (
            (token["of"], token["member"], TemplateReading)
            if token["of"] is not None
            else (token["map"], token["key"], AttributeMap)
        )

        def member(context: Context) -> str:
            source = context.get(name)
            return written if source is None else str(_of_kind(source, kind).get(key, written))

        return member
    name = token["variable"] or token["braced"]

    def variable(context: Context) -> str:
        value = context.get(name)
        return written if value is None else str(_of_kind(value, str))

    return variable


def _of_kind(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise NotPlain
    return value
