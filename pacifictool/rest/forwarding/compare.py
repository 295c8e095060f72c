"""Compares what is wanted with what a server has, and describes the differences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Self

_SENSITIVE = re.compile(r"password|secret|jaas|credential|token$|otherProperties", re.IGNORECASE)
_PUBLIC = re.compile(r"(api|plugin)Token$")
_LONGEST_TEXT = 60


class DifferenceKind(StrEnum):
    """What differs."""

    VALUE = "value"
    """A value: `Difference.place` names it."""
    STATE = "state"
    """The part is suspended, or did not start."""
    DUPLICATE = "duplicate"
    """The part itself is one too many."""
    STRUCTURE = "structure"
    """A node or connection is missing, or not wanted."""


class Difference(str):
    """One line that says what differs. Code looks at its attributes, never at the text."""

    __slots__ = ("actual", "as_found", "kind", "place")
    kind: DifferenceKind
    place: str
    """Path of the value, for example action.configuration.topic."""
    actual: Any
    """What the server has there; None for a secret."""
    as_found: str
    """The same line with the server's value first."""

    def __new__(
        cls, text: str, kind: DifferenceKind, *, place: str = "", actual: Any = None, as_found: str | None = None
    ) -> Self:
        self = super().__new__(cls, text)
        self.kind, self.place, self.actual, self.as_found = kind, place, actual, as_found or text
        return self

    @classmethod
    def between(cls, place: str, wanted: str, found: str, actual: Any = None) -> Self:
        """The difference of a value, given in two texts."""
        as_found = f"{place} is {found} instead of {wanted}"
        text = f"{place}: {wanted} instead of {found}"
        return cls(text, DifferenceKind.VALUE, place=place, actual=actual, as_found=as_found)


def differences(wanted: Any, actual: Any, place: str = "") -> Iterator[Difference]:
    """One line for each wanted value that the server does not have.

    What the server has beyond that (ids, times, defaults of its own) does not count, and null equals absence.
    """
    if isinstance(wanted, Mapping) and isinstance(actual, Mapping):
        for key, value in wanted.items():
            yield from differences(value, actual.get(key), f"{place}.{key}" if place else str(key))
    elif isinstance(wanted, list) and isinstance(actual, list) and len(wanted) == len(actual):
        for number, (one, other) in enumerate(zip(wanted, actual, strict=True), start=1):
            yield from differences(one, other, f"{place}[{number}]")
    elif not _equal(wanted, actual):
        if _SENSITIVE.search(place) and not _PUBLIC.search(place):
            yield Difference(f"{place}: differs", DifferenceKind.VALUE, place=place)
        else:
            yield Difference.between(place, _shown(wanted), _shown(actual), actual)


def merged(wanted: Mapping[str, Any], actual: Mapping[str, Any]) -> dict[str, Any]:
    """What is wanted, with everything kept that the server has beyond it."""
    result = dict(actual)
    for key, value in wanted.items():
        other = actual.get(key)
        both = isinstance(value, Mapping) and isinstance(other, Mapping)
        result[key] = merged(value, other) if both else value  # type: ignore[arg-type]
    return result


def _equal(wanted: Any, actual: Any) -> bool:
    if isinstance(wanted, bool) or isinstance(actual, bool):
        return wanted is actual
    return bool(wanted == actual)


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…"
