"""What is pushed down leaves exactly the rows that Spark's own filters would leave."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
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

from pacifictool.spark.filters import Selection

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAME, TS = ("name",), ("ts",)
COMPARED: list[tuple[type[Any], Any]] = [
    (GreaterThan, lambda a, b: a > b),
    (GreaterThanOrEqual, lambda a, b: a >= b),
    (LessThan, lambda a, b: a < b),
    (LessThanOrEqual, lambda a, b: a <= b),
    (EqualTo, lambda a, b: a == b),
    (EqualNullSafe, lambda a, b: a == b),
]


@given(
    st.lists(st.tuples(st.sampled_from(COMPARED), st.integers(0, 20_000)), max_size=3),
    st.integers(0, 20),
)
def test_bounds_of_time_are_exact(bounds: list[tuple[tuple[type[Any], Any], int]], ts_ms: int) -> None:
    filters = [kind(TS, EPOCH + timedelta(microseconds=us)) for (kind, _), us in bounds]
    selection = Selection()
    assert selection.push(filters, ["name"], times=True) == []
    wanted = all(compare(ts_ms * 1000, us) for (_, compare), us in bounds)
    assert (selection.start_ms <= ts_ms < selection.end_ms) == wanted


TEXTS: list[tuple[Filter, Any]] = [
    (EqualTo(NAME, "b"), lambda text: text == "b"),
    (Not(EqualTo(NAME, "b")), lambda text: text != "b"),
    (In(NAME, ("a", "b")), lambda text: text in ("a", "b")),
    (Not(In(NAME, ("a", "b"))), lambda text: text not in ("a", "b")),
    (StringStartsWith(NAME, "a"), lambda text: text.startswith("a")),
    (StringEndsWith(NAME, "b"), lambda text: text.endswith("b")),
    (Not(StringContains(NAME, "é")), lambda text: "é" not in text),
    (GreaterThan(NAME, "a"), lambda text: text > "a"),
    (LessThanOrEqual(NAME, "ab"), lambda text: text <= "ab"),
    (IsNotNull(NAME), lambda text: True),
    (IsNull(NAME), lambda text: False),
    (Not(IsNull(NAME)), lambda text: True),
]


@given(st.lists(st.sampled_from(TEXTS), max_size=3), st.text("abé", max_size=3))
def test_filters_on_names_are_exact(filters: list[tuple[Filter, Any]], text: str) -> None:
    selection = Selection()
    assert selection.push([each for each, _ in filters], ["name"], times=False) == []
    assert selection.admits("name", text) == all(holds(text) for _, holds in filters)
    only = selection.only("name")
    assert only is None or (text in only) == selection.admits("name", text)


@pytest.mark.parametrize(
    "left",
    [
        EqualTo(("value",), 1.0),
        EqualTo(("name", "first"), "a"),
        EqualTo(NAME, 1),
        Not(EqualTo(TS, EPOCH)),
        In(TS, (EPOCH,)),
        EqualTo(TS, EPOCH.replace(tzinfo=None)),
    ],
)
def test_what_cannot_be_pushed_down_is_left_to_spark(left: Filter) -> None:
    selection = Selection()
    assert selection.push([left, IsNotNull(TS), EqualTo(NAME, "a")], ["name"], times=True) == [left]


def test_times_of_aggregates_are_left_to_spark() -> None:
    left = GreaterThan(TS, EPOCH)
    assert Selection().push([left], ["name"], times=False) == [left]
