"""Frames that are written: both layouts, and what is wrong with a row, by its name."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql.pandas.types import from_arrow_schema

from pacifictool.errors import InvalidRequest, SettingsError
from pacifictool.spark.frame import FrameLayout, WrittenRow
from pacifictool.spark.options import WriteOptions

NOW_MS = 1_795_477_550_123
NOW = pa.array([NOW_MS * 1000], pa.timestamp("us", tz="UTC"))
NAME = pa.array(["Sensor 1"])
DEFAULTS = WriteOptions()


def rows(options: WriteOptions = DEFAULTS, *, with_ts: bool = True, **columns: Any) -> list[WrittenRow]:
    batch = pa.record_batch(columns)
    layout = FrameLayout.from_schema(from_arrow_schema(batch.schema), options, "Writing 'timeseries'", with_ts=with_ts)
    return list(layout.rows(batch, options))


def test_a_column_for_each_key() -> None:
    [row] = rows(
        name=NAME, entity_kind=pa.array(["asset"]), ts=NOW, a=pa.array([1.5]), n=pa.array([7]), t=pa.array(["x"]),
        b=pa.array([True]), missing=pa.array([None], pa.float64()), d=pa.array([Decimal("1.50")]),
        f=pa.array([0.1], pa.float32()),
    )  # fmt: skip
    assert (row.kind, row.name, row.ts_ms) == ("asset", "Sensor 1", NOW_MS)
    assert row.values == {"a": 1.5, "n": 7, "t": "x", "b": True, "d": 1.5, "f": 0.1}
    assert [type(value) for value in row.values.values()] == [float, int, str, bool, float, float]


def test_rows_of_key_and_value() -> None:
    found = rows(
        name=pa.array(["A", "B", "C", "D"]), ts=pa.concat_arrays([NOW] * 4), key=pa.array(["a", "b", "c", "d"]),
        value=pa.array([1.0, None, 3.0, None]), text=pa.array(["one", "two", None, None]), extra=pa.array([[1]] * 4),
    )  # fmt: skip
    assert [(row.name, row.values) for row in found] == [("A", {"a": 1.0}), ("B", {"b": "two"}), ("C", {"c": 3.0})]


def test_only_the_keys_that_are_named() -> None:
    [row] = rows(WriteOptions(keys=("a",)), name=NAME, ts=NOW, a=pa.array([1]), when=NOW)
    assert row.values == {"a": 1}


def test_attributes_have_no_time_but_a_scope() -> None:
    [row] = rows(with_ts=False, name=NAME, scope=pa.array(["SHARED_SCOPE"]), site=pa.array(["North"]), ts=NOW)
    assert (row.ts_ms, row.scope, row.values) == (0, "SHARED_SCOPE", {"site": "North"})


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"ts": NOW, "a": pa.array([1])}, "needs a column name (or entity_id); the frame has ts, a"),
        ({"name": NAME, "a": pa.array([1])}, "needs a column ts of type timestamp; it is missing"),
        ({"name": NAME, "ts": pa.array([1]), "a": pa.array([1])}, "it is a bigint"),
        ({"name": NAME, "ts": NOW}, "has nothing to write"),
        ({"name": NAME, "ts": NOW, "a": pa.array([[1]])}, "a array<bigint> cannot be written, as in the column 'a'"),
        ({"name": pa.array([1]), "ts": NOW, "a": pa.array([1])}, "the column name must be a string, not bigint"),
    ],
)
def test_a_frame_that_cannot_be_written_is_refused(columns: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        rows(**columns)
    assert said in caught.value.message


def test_a_key_that_is_no_column_gets_a_suggestion() -> None:
    with pytest.raises(SettingsError, match="there is no column 'temprature'") as caught:
        rows(WriteOptions(keys=("temprature",)), name=NAME, ts=NOW, temperature=pa.array([1]))
    assert caught.value.hint == "Did you mean 'temperature'?"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"a": pa.array([float("nan")])}, "device Sensor 1 at 2026-11-23 23:45:50Z (1795477550123): a is nan"),
        ({"a": pa.array([float("inf")])}, "a is inf"),
        ({"name": pa.array([None], pa.string()), "a": pa.array([1])}, "A row names no entity"),
        ({"ts": pa.array([None], NOW.type), "a": pa.array([1])}, "A row of Sensor 1 has no ts"),
        ({"ts": pa.array([-1], NOW.type), "a": pa.array([1])}, "ts is before 1970"),
        ({"entity_kind": pa.array(["gateway"]), "a": pa.array([1])}, "A row has the entity_kind 'gateway'"),
        ({"key": pa.array(["a,b"]), "value": pa.array([1])}, "'a,b' cannot be a key"),
        ({"key": pa.array([None], pa.string()), "value": pa.array([1])}, "None cannot be a key"),
    ],
)
def test_a_row_that_cannot_be_written_is_named(columns: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        rows(**{"name": NAME, "ts": NOW, **columns})
    assert said in caught.value.message
    assert caught.value.hint
