"""Partial aggregates: what a window keeps of its records, how two of them merge, and the results that they give.

The Java in java/ makes them of records; here they are merged into the state store and read. A window's state is what
its analytics needs and no more: parts of a fixed number of 64-bit integers, then parts that grow (AnalyticsSpec.java).
All of it depends on the records alone, never on their order or on how they came in batches.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from typing import Final

from pacifictool.analytics.windows import UNITS
from pacifictool.scenario import Aggregate, Analytics

EXACT: Final = 1000
"""A percentile is exact while a window holds at most this many different values of its key."""
SMALLEST: Final = 4097
"""Hashes that are kept. A count of distinct values is exact while there are fewer, so up to 4096. Beyond, its standard
error is 1/sqrt(SMALLEST): 1.6 %."""
DIGITS: Final = 9
"""Beyond EXACT, percentiles are of values with this many binary digits: they are off by at most 0.2 %."""

_LOW_BITS: Final = 32
_HASHES: Final = 2**64


class PartKind(IntEnum):
    """Kinds of parts, as in AnalyticsSpec.java."""

    SUM = 0
    """Count, and sum as upper and lower halves, so that sums of 64-bit integers cannot overflow."""
    SQUARES = 1
    """Sum of squares in four parts of 32 bits."""
    EXTREMES = 2
    """Least and greatest value."""
    FIRST = 3
    """Event time, partition, offset and value of the first one."""
    LAST = 4
    VALUES = 5
    """How often each value occurred."""
    DISTINCT = 6
    """Hashes of values that occurred."""


_SIZES: Final = {
    PartKind.SUM: 3, PartKind.SQUARES: 4, PartKind.EXTREMES: 2, PartKind.FIRST: 4, PartKind.LAST: 4,
}  # fmt: skip
_NEEDS: Final[Mapping[str, tuple[PartKind, ...]]] = {
    "count": (PartKind.SUM,),
    "count_distinct": (PartKind.DISTINCT,),
    "sum": (PartKind.SUM,),
    "mean": (PartKind.SUM,),
    "min": (PartKind.EXTREMES,),
    "max": (PartKind.EXTREMES,),
    "range": (PartKind.EXTREMES,),
    "variance": (PartKind.SUM, PartKind.SQUARES),
    "stddev": (PartKind.SUM, PartKind.SQUARES),
    "first": (PartKind.FIRST,),
    "last": (PartKind.LAST,),
    "delta": (PartKind.FIRST, PartKind.LAST),
    "rate": (PartKind.FIRST, PartKind.LAST),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a window's state."""

    kind: PartKind
    key: str

    @property
    def grows(self) -> bool:
        return self.kind in (PartKind.VALUES, PartKind.DISTINCT)


class StateLayout:
    """Where a window's state holds what; the same for all windows of one analytics."""

    def __init__(self, analytics: Analytics) -> None:
        self._results = analytics.telemetry
        wanted = [
            Part(kind, aggregate.key)
            for aggregate in analytics.telemetry.values()
            if aggregate.key is not None
            for kind in _NEEDS.get(aggregate.function, (PartKind.VALUES,))
        ]
        self.parts: tuple[Part, ...] = tuple(dict.fromkeys(wanted))
        """In the order in which Java writes them, except that those that grow come behind the others."""
        self.counts_all = analytics.function is not None or any(
            aggregate.counts_all for aggregate in self._results.values()
        )
        """Whether records count that have none of the keys; a function gets all records."""
        self._places: dict[Part, int] = {}
        fixed = 0
        for part in self.parts:
            if not part.grows:
                self._places[part] = fixed
                fixed += _SIZES[part.kind]
        self._growing = [part for part in self.parts if part.grows]
        self._fixed = struct.Struct(f">{fixed}q")
        self._only_mean = self._key_of_only_mean()

    def merge(self, one: bytes, other: bytes) -> bytes:
        """The state of the records of both."""
        numbers, more = list(self._fixed.unpack_from(one)), self._fixed.unpack_from(other)
        for part, place in self._places.items():
            if part.kind in (PartKind.SUM, PartKind.SQUARES):
                for index in range(place, place + _SIZES[part.kind]):
                    numbers[index] += more[index]
            elif part.kind is PartKind.EXTREMES:
                numbers[place] = min(numbers[place], more[place])
                numbers[place + 1] = max(numbers[place + 1], more[place + 1])
            else:
                choose = min if part.kind is PartKind.FIRST else max
                end = place + _SIZES[part.kind]
                numbers[place:end] = choose(numbers[place:end], list(more[place:end]))
        state = self._fixed.pack(*numbers)
        if self._growing:
            pairs = zip(self._growing, self._read(one), self._read(other), strict=True)
            state += b"".join(_written(_merged(part.kind, mine, theirs), part.kind) for part, mine, theirs in pairs)
        return state

    def results(self, count: int, state: bytes) -> dict[str, float | int]:
        """By key of the result, as far as the records define it; `count` is their number."""
        if self._only_mean is not None:
            counted, high, low = self._fixed.unpack(state)
            return {self._only_mean: ((high << _LOW_BITS) + low) / (counted * UNITS)} if counted else {}
        numbers = self._fixed.unpack_from(state)
        growing = dict(zip(self._growing, self._read(state), strict=True))
        found: dict[str, float | int] = {}
        for key, aggregate in self._results.items():
            value = self._value(aggregate, count, numbers, growing)
            if value is not None:
                found[key] = value
        return found

    def sum_state(self, count: int, total: int) -> bytes:
        """The state of an analytics with one mean or sum, from a count and the sum in units of 1e-9."""
        return self._fixed.pack(count, total >> _LOW_BITS, total & ((1 << _LOW_BITS) - 1))

    def _key_of_only_mean(self) -> str | None:
        """The key of an analytics with one mean and nothing else, which is the most frequent: thousands of results are
        computed in a third of the time."""
        ((key, aggregate), *more) = self._results.items() or [("", None)]
        return key if aggregate is not None and aggregate.function == "mean" and not more else None

    def _value(
        self, aggregate: Aggregate, count: int, numbers: tuple[int, ...], growing: Mapping[Part, _Counts]
    ) -> float | int | None:
        function, key = aggregate.function, aggregate.key
        if key is None:
            return count
        if function == "count_distinct":
            return growing[Part(PartKind.DISTINCT, key)].distinct()
        if (percent := aggregate.percentile) is not None:
            return growing[Part(PartKind.VALUES, key)].percentile(percent)

        def part(kind: PartKind) -> tuple[int, ...]:
            place = self._places[Part(kind, key)]
            return numbers[place : place + _SIZES[kind]]

        if function in ("min", "max", "range"):
            return _extreme(function, *part(PartKind.EXTREMES))
        if function in ("first", "last", "delta", "rate"):
            kinds = _NEEDS[function]
            return _edge(function, part(kinds[0]), part(kinds[-1]))
        counted, high, low = part(PartKind.SUM)
        total = (high << _LOW_BITS) + low
        if function == "count":
            return counted
        if not counted:
            return None
        if function == "sum":
            return total / UNITS  # of integers, which Python rounds once
        if function == "mean":
            return total / (counted * UNITS)
        squares = 0
        for digit in part(PartKind.SQUARES):
            squares = (squares << _LOW_BITS) + digit
        if counted == 1:
            return None
        variance = (counted * squares - total * total) / (counted * (counted - 1) * UNITS * UNITS)
        return variance if function == "variance" else math.sqrt(variance)

    def _read(self, state: bytes) -> list[_Counts]:
        place, found = self._fixed.size, []
        for part in self._growing:
            rounded, size = struct.unpack_from(">?i", state, place)
            place += 5
            width = 1 if part.kind is PartKind.DISTINCT else 2
            row = struct.unpack_from(f">{width * size}q", state, place)
            place += 8 * width * size
            counts = dict.fromkeys(row, 1) if width == 1 else dict(zip(row[::2], row[1::2], strict=True))
            found.append(_Counts(counts, rounded))
        return found


@dataclass(frozen=True, slots=True)
class _Counts:
    """How often each value (or hash) occurred; see ValueCounts.java."""

    counts: Mapping[int, int]
    rounded: bool

    def distinct(self) -> int:
        """How many different values occurred: estimated from how dense the smallest hashes are, beyond SMALLEST."""
        if len(self.counts) < SMALLEST:
            return len(self.counts)
        largest = max(self.counts) + _HASHES // 2 + 1
        return round((SMALLEST - 1) * _HASHES / largest)

    def percentile(self, percent: int) -> float | None:
        """The value below which `percent` % of the values lie, between the two nearest ones in proportion."""
        if not self.counts:
            return None
        rank = Fraction((sum(self.counts.values()) - 1) * percent, 100)
        below = math.floor(rank)
        low, high = self._at(below), self._at(math.ceil(rank))
        return float((low + (high - low) * (rank - below)) / UNITS)

    def _at(self, rank: int) -> Fraction:
        """The value at a rank, from 0; of a rounded one, the middle of what it stands for."""
        seen = 0
        for value in sorted(self.counts):
            seen += self.counts[value]
            if seen > rank:
                break
        shift = max(0, abs(value).bit_length() - DIGITS) if self.rounded else 0
        half = Fraction((1 << shift) - 1, 2)
        return value - half if value < 0 else value + half


def _rounded(value: int) -> int:
    shift = max(0, abs(value).bit_length() - DIGITS)
    kept = (abs(value) >> shift) << shift
    return -kept if value < 0 else kept


def _merged(kind: PartKind, one: _Counts, other: _Counts) -> _Counts:
    if kind is PartKind.DISTINCT:
        smallest = sorted(one.counts.keys() | other.counts.keys())[:SMALLEST]
        return _Counts(dict.fromkeys(smallest, 1), rounded=False)
    rounded = one.rounded or other.rounded or len(one.counts.keys() | other.counts.keys()) > EXACT
    counts: dict[int, int] = {}
    for each in (one, other):
        for value, number in each.counts.items():
            key = _rounded(value) if rounded else value
            counts[key] = counts.get(key, 0) + number
    return _Counts(counts, rounded)


def _written(counts: _Counts, kind: PartKind) -> bytes:
    row: list[int] = []
    for value in sorted(counts.counts):
        row.append(value)
        if kind is PartKind.VALUES:
            row.append(counts.counts[value])
    return struct.pack(f">?i{len(row)}q", counts.rounded, len(counts.counts), *row)


def _extreme(function: str, least: int, greatest: int) -> float | None:
    if least > greatest:
        return None
    return {"min": least, "max": greatest, "range": greatest - least}[function] / UNITS


def _edge(function: str, first: tuple[int, ...], last: tuple[int, ...]) -> float | None:
    """`first` and `last` are event time in milliseconds, partition, offset and value; of one of them, both are it."""
    began, *_, at_first = first
    ended, *_, at_last = last
    if ended == -1 or began == 2**63 - 1:
        return None
    if function in ("first", "last"):
        return at_first / UNITS
    if function == "delta":
        return (at_last - at_first) / UNITS
    return (at_last - at_first) * 1000 / (UNITS * (ended - began)) if ended > began else None
