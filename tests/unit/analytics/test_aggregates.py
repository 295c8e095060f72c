"""Partial aggregates: whatever the order and the batches, the results are those of a direct computation."""

from __future__ import annotations

import hashlib
import math
import random
import statistics
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.analytics.engine import aggregates
from pacifictool.analytics.engine.aggregates import PartKind, StateLayout
from pacifictool.analytics.windows import UNITS
from pacifictool.scenario import Analytics
from tests.support.scenarios import mean_analytics, mean_state, rules_of

LEAST, GREATEST = -(2**63), 2**63 - 1
PERCENTILES: Final = (1, 5, 25, 50, 75, 95, 99)


@dataclass(frozen=True)
class Reading:
    """A record with a value of the one key, in units of 1e-9, or without one."""

    units: int | None
    event_ms: int
    partition: int
    offset: int

    @property
    def order(self) -> tuple[int, int, int]:
        return self.event_ms, self.partition, self.offset


def analytics_of(*functions: str) -> Analytics:
    """An analytics with these functions of the key `v`; each is the key of its result."""
    telemetry = {function: f"{function}(v)" for function in functions} | {"records": "count()"}
    (analytics,) = rules_of({"group_by": ["site"], "telemetry": telemetry}, telemetry=["v"]).analytics
    return analytics


def hash_of(units: int) -> int:
    digest = hashlib.blake2b(units.to_bytes(9, signed=True), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def part_of(kind: PartKind, reading: Reading) -> bytes:
    """What GroupAggregate.java writes of one record."""
    units = reading.units
    if kind is PartKind.SUM:
        return mean_state(0, 0) if units is None else mean_state(1, units)
    if kind is PartKind.SQUARES:
        return struct.pack(">4q", *(((units or 0) ** 2 >> shift) & 0xFFFFFFFF for shift in (96, 64, 32, 0)))
    if kind is PartKind.EXTREMES:
        return struct.pack(">2q", *((GREATEST, LEAST) if units is None else (units, units)))
    if kind in (PartKind.FIRST, PartKind.LAST):
        nothing = (GREATEST if kind is PartKind.FIRST else -1, 0, 0, 0)
        return struct.pack(">4q", *(nothing if units is None else (*reading.order, units)))
    row = () if units is None else (hash_of(units),) if kind is PartKind.DISTINCT else (units, 1)
    return struct.pack(f">?i{len(row)}q", False, len(row[:1]), *row)


def state_of(layout: StateLayout, reading: Reading) -> bytes:
    parts = sorted(layout.parts, key=lambda part: part.grows)
    return b"".join(part_of(part.kind, reading) for part in parts)


def merged(layout: StateLayout, states: Sequence[bytes], cut: Callable[[int], int]) -> bytes:
    """The states merged in pairs, of halves as `cut` makes them."""
    if len(states) == 1:
        return states[0]
    at = cut(len(states))
    return layout.merge(merged(layout, states[:at], cut), merged(layout, states[at:], cut))


def results_of(analytics: Analytics, readings: Sequence[Reading]) -> dict[str, float | int]:
    layout = StateLayout(analytics)
    state = merged(layout, [state_of(layout, reading) for reading in readings], lambda size: size // 2)
    return layout.results(len(readings), state)


def readings_of(values: Sequence[int | None], random_: random.Random) -> list[Reading]:
    """Readings of these values at any times and places, each place once."""
    times = [random_.randrange(5) * 1000 for _ in values]
    places = random_.sample(range(10 * len(values)), len(values))
    return [Reading(value, time, place % 3, place) for value, time, place in zip(values, times, places, strict=True)]


def direct(readings: Sequence[Reading]) -> dict[str, float | int]:
    """Every function, computed with fractions from the values."""
    counted = sorted((each for each in readings if each.units is not None), key=lambda each: each.order)
    units = [each.units or 0 for each in counted]
    found: dict[str, float | int] = {
        "records": len(readings),
        "count": len(units),
        "count_distinct": len(set(units)),
    }
    if not units:
        return found
    values = [Fraction(each, UNITS) for each in units]
    quantiles = statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else values * 99
    found |= {
        "sum": float(sum(values)),
        "mean": float(statistics.mean(values)),
        "min": float(min(values)),
        "max": float(max(values)),
        "range": float(max(values) - min(values)),
        "first": float(values[0]),
        "last": float(values[-1]),
        "delta": float(values[-1] - values[0]),
        "median": float(statistics.median(values)),
        **{f"p{percent}": float(quantiles[percent - 1]) for percent in PERCENTILES},
    }
    if len(values) > 1:
        variance = sum((value - statistics.mean(values)) ** 2 for value in values) / (len(values) - 1)
        found |= {"variance": float(variance), "stddev": math.sqrt(float(variance))}
    if (passed := counted[-1].event_ms - counted[0].event_ms) > 0:
        found["rate"] = float((values[-1] - values[0]) * 1000 / passed)
    return found


EVERY = analytics_of(
    "count", "count_distinct", "sum", "mean", "min", "max", "range", "variance", "stddev", "first", "last", "delta",
    "rate", "median", *(f"p{percent}" for percent in PERCENTILES),
)  # fmt: skip
VALUES = st.one_of(
    st.none(),
    st.integers(-(10**18), 10**18),
    st.integers(-100, 100).map(lambda number: number * UNITS),
    st.integers(-30, 30),
)


@given(st.lists(VALUES, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_every_function_is_that_of_a_direct_computation(values: list[int | None], random_: random.Random) -> None:
    readings = readings_of(values, random_)
    assert results_of(EVERY, readings) == direct(readings)


@given(st.lists(VALUES, min_size=2, max_size=40), st.randoms(use_true_random=False), st.booleans())
def test_neither_the_order_nor_the_batches_matter(
    values: list[int | None], random_: random.Random, small: bool
) -> None:
    layout = StateLayout(EVERY)
    states = [state_of(layout, reading) for reading in readings_of(values, random_)]
    exact, smallest = (7, 9) if small else (aggregates.EXACT, aggregates.SMALLEST)
    with mock.patch.multiple(aggregates, EXACT=exact, SMALLEST=smallest):
        one = merged(layout, states, lambda _size: 1)
        assert merged(layout, states, lambda size: size - 1) == one
        random_.shuffle(states)
        assert merged(layout, states, lambda size: random_.randrange(1, size)) == one


def test_a_state_holds_what_the_results_need_once() -> None:
    kinds = [part.kind for part in StateLayout(analytics_of("mean", "sum", "count", "stddev", "max", "range")).parts]
    assert kinds == [PartKind.SUM, PartKind.SQUARES, PartKind.EXTREMES]


def test_records_that_lack_the_key_count_only_as_records() -> None:
    empty = Reading(None, 0, 0, 0)
    assert results_of(EVERY, [empty, empty]) == {"records": 2, "count": 0, "count_distinct": 0}
    layout = StateLayout(analytics_of())
    assert layout.results(3, layout.merge(b"", b"")) == {"records": 3}
    assert layout.counts_all
    assert not StateLayout(mean_analytics()).counts_all


def test_first_and_last_go_by_event_time_then_partition_and_offset() -> None:
    readings = [Reading(1 * UNITS, 2000, 1, 5), Reading(2 * UNITS, 2000, 0, 9), Reading(3 * UNITS, 1000, 7, 0)]
    found = results_of(analytics_of("first", "last", "delta", "rate"), readings)
    assert found == {"first": 3.0, "last": 1.0, "delta": -2.0, "rate": -2.0, "records": 3}


def test_a_sum_of_an_earlier_version_becomes_a_state() -> None:
    layout = StateLayout(mean_analytics())
    for total in (0, -1, 2**65 + 1, -(2**64) - 1):
        assert layout.sum_state(4, total) == mean_state(4, total)
        assert layout.results(4, layout.sum_state(4, total)) == {"windSpeed": float(Fraction(total, 4 * UNITS))}


def many(values: Sequence[int]) -> list[Reading]:
    return [Reading(value, 0, 0, offset) for offset, value in enumerate(values)]


ALL_PERCENTILES = analytics_of("median", *(f"p{percent}" for percent in PERCENTILES))


def percentiles_of(values: Sequence[int]) -> tuple[dict[str, float | int], dict[str, float]]:
    """As the state gives them, and as they are."""
    readings = [Reading(value, 0, 0, offset) for offset, value in enumerate(values)]
    quantiles = [float(each) / UNITS for each in statistics.quantiles(values, n=100, method="inclusive")]
    wanted = {f"p{percent}": quantiles[percent - 1] for percent in PERCENTILES} | {"median": quantiles[49]}
    found = results_of(ALL_PERCENTILES, readings)
    assert found.pop("records") == len(values)
    return found, wanted


@pytest.mark.parametrize("distinct", [1000, 1001, 3000])
@pytest.mark.parametrize("scale", [1, UNITS, 10**13])
def test_percentiles_are_exact_up_to_1000_values_and_off_by_a_500th_beyond(distinct: int, scale: int) -> None:
    random_ = random.Random(distinct + scale)
    values = random_.sample(range(1, 10 * distinct), distinct)
    values += random_.choices(values, k=distinct // 2)
    random_.shuffle(values)
    found, wanted = percentiles_of([value * scale for value in values])
    assert found == pytest.approx(wanted, rel=1e-15 if distinct <= 1000 else 0.002)


def test_percentiles_of_values_on_both_sides_of_zero_are_off_by_a_500th_of_the_values_beside_them() -> None:
    found, wanted = percentiles_of([(value - 1500) * UNITS for value in range(3000)])
    assert found == pytest.approx(wanted, rel=0.002, abs=0.002)


@pytest.mark.parametrize("distinct", [1, 4095, 4096, 4097, 5000, 20_000])
def test_distinct_values_are_counted_exactly_up_to_4096_and_within_5_percent_beyond(distinct: int) -> None:
    values = [*range(distinct), *range(0, distinct, 7)]
    readings = [Reading(value, 0, 0, offset) for offset, value in enumerate(values)]
    found = results_of(analytics_of("count_distinct"), readings)["count_distinct"]
    assert isinstance(found, int)
    if distinct <= 4096:
        assert found == distinct
    else:
        assert found == pytest.approx(distinct, rel=0.05)
