"""Which groups a person wants to see, of hundreds: by analytics, by name, in which order, and how many."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

SORTS: Final = ("scenario", "name", "value", "age")
"""As in the scenario; by name; the greatest newest value first; the oldest update first."""

MAX_LIMIT: Final = 500
"""Most groups that the page shows at once."""

_DIGITS: Final = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Choice:
    """What to show."""

    analytics: str | None = None
    """None: all."""
    search: str = ""
    """Only names that contain this, in capitals or not."""
    sort: str = "scenario"
    """One of SORTS."""
    key: str | None = None
    """The key of results whose newest value `sort = "value"` compares; None: the first."""
    limit: int | None = None
    """None: all."""

    def includes(self, analytics: str) -> bool:
        return self.analytics in (None, analytics)


EVERYTHING: Final = Choice()


@dataclass(frozen=True, slots=True)
class Shown(Generic[Item]):
    """What is shown of what was found."""

    items: list[Item]
    found: int
    """How many the search has found; more than `items` when the limit cuts."""
    total: int

    def cut_text(self) -> str:
        """What is left out: "showing 50 of 300", or "3 of 300 match"; empty when nothing is."""
        if len(self.items) < self.found:
            return f"showing {len(self.items):,} of {self.found:,}"
        return f"{self.found:,} of {self.total:,} match" if self.found < self.total else ""


def shown_of(
    items: Iterable[Item],
    choice: Choice,
    *,
    name: Callable[[Item], str],
    value: Callable[[Item], float | None],
    age: Callable[[Item], float | None],
) -> Shown[Item]:
    """The items that `choice` asks for, in its order: those without a value last, those without an update first."""
    everything = list(items)
    wanted = choice.search.casefold()
    found = [item for item in everything if wanted in name(item).casefold()]
    if choice.sort == "name":
        found.sort(key=lambda item: natural(name(item)))
    elif choice.sort == "value":
        found.sort(key=lambda item: _descending(value(item), -math.inf))
    elif choice.sort == "age":
        found.sort(key=lambda item: _descending(age(item), math.inf))
    shown = found if choice.limit is None else found[: choice.limit]
    return Shown(shown, len(found), len(everything))


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key to sort by: "Zone 2" comes before "Zone 10"."""
    parts = _DIGITS.split(name.casefold())
    return [(0, int(part), "") if index % 2 else (1, 0, part) for index, part in enumerate(parts)]


def _descending(number: float | None, otherwise: float) -> float:
    return -(otherwise if number is None else number)
