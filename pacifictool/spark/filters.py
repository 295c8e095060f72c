"""Filters of a query that the data source applies itself, so that what they leave out is never asked for.

Those on what names an entity, and on keys, are applied exactly. Those on `ts` become bounds in milliseconds, which is
exact, too: the platform's times are whole milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pyspark.sql.datasource import (
    EqualNullSafe,
    EqualTo,
    Filter,
    GreaterThan,
    GreaterThanOrEqual,
    In,
    IsNotNull,
    IsNull,
    LessThan,
    LessThanOrEqual,
    Not,
    StringContains,
    StringEndsWith,
    StringStartsWith,
)

from pacifictool.spark.options import LATEST_MS

TS = "ts"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# Texts compare by code points here and by bytes of UTF-8 in Spark, which is the same order.
_COMPARISONS: Final[Mapping[type[Filter], Callable[[str, Any], bool]]] = {
    EqualTo: lambda text, value: bool(text == value),
    EqualNullSafe: lambda text, value: bool(text == value),
    In: lambda text, values: text in values,
    GreaterThan: lambda text, value: bool(text > value),
    GreaterThanOrEqual: lambda text, value: bool(text >= value),
    LessThan: lambda text, value: bool(text < value),
    LessThanOrEqual: lambda text, value: bool(text <= value),
    StringStartsWith: str.startswith,
    StringEndsWith: str.endswith,
    StringContains: lambda text, value: value in text,
}


@dataclass
class Selection:
    """What is left to read."""

    texts: dict[str, list[Filter]] = field(default_factory=dict)
    """Filters by column of texts."""
    start_ms: int = 0
    end_ms: int = LATEST_MS

    def admits(self, column: str, text: str) -> bool:
        """Whether a text of this column, which is never null, passes."""
        return all(_passes(each, text) for each in self.texts.get(column, ()))

    def only(self, column: str) -> set[str] | None:
        """The few texts that this column can have, None when that is not known."""
        found: set[str] | None = None
        for each in self.texts.get(column, ()):
            if isinstance(each, EqualTo | EqualNullSafe):
                values = {each.value}
            elif isinstance(each, In):
                values = set(each.value)
            else:
                continue
            found = values if found is None else found & values
        return None if found is None else {text for text in found if self.admits(column, text)}

    def narrow(self, start_ms: int, end_ms: int) -> None:
        """Keeps what is within start_ms <= ts < end_ms."""
        self.start_ms, self.end_ms = max(self.start_ms, start_ms), min(self.end_ms, end_ms)

    def push(self, filters: Iterable[Filter], texts: Iterable[str], *, times: bool) -> list[Filter]:
        """Takes the filters on columns of `texts` and, with `times`, on `ts`; returns those that Spark must apply."""
        columns, left = set(texts), []
        for each in filters:
            column = _column_of(each)
            if column in columns and _is_for_texts(each):
                self.texts.setdefault(column, []).append(each)
            elif not (times and column == TS and self._push_time(each)):
                left.append(each)
        return left

    def _push_time(self, each: Filter) -> bool:
        if isinstance(each, IsNotNull):
            return True
        value = getattr(each, "value", None)
        if not isinstance(value, datetime) or value.tzinfo is None:
            return False
        # To the microsecond, in integers.
        floor, rest = divmod((value - _EPOCH) // timedelta(microseconds=1), 1000)
        ceiling = floor + (rest > 0)
        match each:
            case GreaterThanOrEqual():
                self.narrow(ceiling, LATEST_MS)
            case GreaterThan():
                self.narrow(floor + 1, LATEST_MS)
            case LessThan():
                self.narrow(0, ceiling)
            case LessThanOrEqual():
                self.narrow(0, floor + 1)
            case EqualTo() | EqualNullSafe():
                self.narrow(floor, ceiling if rest else floor + 1)
                if rest:
                    self.end_ms = self.start_ms
            case _:
                return False
        return True


def _column_of(each: Filter) -> str | None:
    inner = each.child if isinstance(each, Not) else each
    path: tuple[str, ...] = getattr(inner, "attribute", ())
    return path[0] if len(path) == 1 else None


def _is_for_texts(each: Filter) -> bool:
    inner = each.child if isinstance(each, Not) else each
    if isinstance(inner, IsNotNull | IsNull):
        return True
    if type(inner) not in _COMPARISONS:
        return False
    value: Any = getattr(inner, "value", None)
    return all(isinstance(item, str) for item in value) if isinstance(inner, In) else isinstance(value, str)


def _passes(each: Filter, text: str) -> bool:
    if isinstance(each, Not):
        return not _passes(each.child, text)
    if isinstance(each, IsNotNull | IsNull):
        return isinstance(each, IsNotNull)
    return _COMPARISONS[type(each)](text, getattr(each, "value", None))
