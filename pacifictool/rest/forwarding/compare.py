"""Compares what is wanted with what a server has, and describes the differences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_SENSITIVE = re.compile(r"password|secret|jaas|credential|token$|otherProperties", re.IGNORECASE)
_PUBLIC = re.compile(r"(api|plugin)Token$")
_LONGEST_TEXT = 60


def differences(wanted: Any, actual: Any, place: str = "") -> Iterator[str]:
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
            yield f"{place}: differs"
        else:
            yield f"{place}: {_shown(wanted)} instead of {_shown(actual)}"


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
