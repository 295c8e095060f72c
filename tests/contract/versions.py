"""Versions of servers, and the ranges of them on which facts were observed
(docs/servers/index.md#reading-a-row).

A range is written "4.3.1" for one version, "4.3.1 to 4.3.1.3" for all from one to another, "3.9.1, 4.3.1" for several.
The pages in docs/servers/ say the same, row by row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

OBSERVED_1: Final = "1.4"
OBSERVED_4: Final = "3.9.1, 4.3.1 to 4.3.1.3"
"""Where the tests of each folder were seen to hold, unless a fact says otherwise."""

Version = tuple[int, ...]


def parse_version(text: str) -> Version:
    """ "4.3.1.3" as numbers; what follows them ("4.3.1PE") does not count. Raises ValueError."""
    numbers = []
    for part in text.strip().split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    if not numbers:
        raise ValueError(f"{text!r} is not a version")
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def is_within(version: Version, span: str) -> bool:
    """Whether a range has the version."""
    for part in span.split(", "):
        first, _, last = part.partition(" to ")
        if parse_version(first) <= version <= parse_version(last or first):
            return True
    return False


@dataclass(frozen=True, slots=True)
class ByVersion:
    """What is expected where servers differ: by range."""

    values: Mapping[str, Any]


def expectation(expected: Any, version: Version, observed: str) -> tuple[bool, Any]:
    """Whether somebody has seen what a server of this version does, and what that was; for other versions, what the
    nearest does. `observed`: the range of a fact that is the same on all of them."""
    if not isinstance(expected, ByVersion):
        return is_within(version, observed), expected
    for span, value in expected.values.items():
        if is_within(version, span):
            return True, value
    older = [span for span in expected.values if parse_version(re.split(", | to ", span)[0]) <= version]
    return False, expected.values[(older or list(expected.values))[-1 if older else 0]]
