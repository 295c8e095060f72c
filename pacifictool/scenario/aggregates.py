"""Expressions such as `mean(temperature)`: what an analytics computes for each group and window."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Self

FUNCTIONS: Final = (
    "count", "count_distinct", "sum", "mean", "min", "max", "range", "variance", "stddev", "first", "last", "delta",
    "rate", "median",
)  # fmt: skip
"""And `p1` to `p99`. docs/scenario.md says what each is."""

KEEPS_UNIT: Final = frozenset({"sum", "mean", "min", "max", "range", "stddev", "first", "last", "delta", "median"})
"""As p1 to p99 do: their results have the unit of their key."""

_CALL = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*\(([^()]*)\)\s*")
_PERCENTILE = re.compile(r"p([1-9][0-9]?)")


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One function of one key over the records of a group and window."""

    function: str
    """As in `FUNCTIONS`, or "p1" to "p99"."""
    key: str | None = None
    """None: of the records themselves, `count()`."""

    @classmethod
    def parse(cls, text: Any) -> Self:
        """Raises ValueError with a sentence for the user."""
        if isinstance(text, cls):
            return text
        call = _CALL.fullmatch(text) if isinstance(text, str) else None
        if call is None:
            raise ValueError(f'{text!r} is not a function of a key, such as "mean(temperature)" or "count()"')
        function, key = call[1].lower(), call[2].strip()
        if function not in FUNCTIONS and _PERCENTILE.fullmatch(function) is None:
            raise ValueError(f"there is no function {call[1]!r}; there are {', '.join(FUNCTIONS)} and p1 to p99")
        if not key and function != "count":
            raise ValueError(f"{function}() needs a key, such as {function}(temperature)")
        return cls(function, key or None)

    @property
    def percentile(self) -> int | None:
        """50 for the median, 95 for p95; None for other functions."""
        found = _PERCENTILE.fullmatch(self.function)
        return int(found[1]) if found else 50 if self.function == "median" else None

    @property
    def counts_all(self) -> bool:
        """Whether records count that lack the key: those of `count()`, and of texts that are counted."""
        return self.key is None or self.function == "count_distinct"

    def depends_on(self, key: str) -> bool:
        """Whether a reading of this key counts in the result."""
        return self.key == key or self.counts_all

    @property
    def keeps_unit(self) -> bool:
        """Whether the result has the unit of its key."""
        return self.function in KEEPS_UNIT or self.percentile is not None

    def __str__(self) -> str:
        return f"{self.function}({self.key or ''})"
