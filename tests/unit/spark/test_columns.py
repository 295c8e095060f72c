"""Columns: the same numbers as the REST client's, and types as a schema asks for them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyspark.sql.types import (
    BooleanType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from pacifictool.errors import SettingsError
from pacifictool.rest.values import decode_text
from pacifictool.spark.columns import (
    BATCH_ROWS,
    arrow_schema,
    batches_of_rows,
    check_columns,
    key_column,
    larger,
    numbers,
    text_of,
    texts,
    times,
)

NUMBERS = st.one_of(
    st.integers().map(str),
    st.floats(allow_nan=False).map(repr),
    st.text("0123456789.eE+-", max_size=8),
    st.text(max_size=5),
    st.sampled_from(["nan", "NaN", "inf", "Infinity", "1e999", "-1e999", "007", "1_0", "0x1", "1f", "true", "", " 1"]),
)


@given(st.lists(NUMBERS, max_size=5))
@example(["1" * 400, "9" * 301, "1e400", "\n1", "1\n"])
def test_a_text_is_a_number_exactly_when_the_rest_client_says_so(found: list[str]) -> None:
    decoded = [decode_text(text, "k") for text in found]
    wanted = [float(each) if isinstance(each, int | float) and not isinstance(each, bool) else None for each in decoded]
    assert numbers(texts(found)).to_pylist() == wanted


def test_values_become_texts_as_the_platform_would_print_them() -> None:
    values = ["a", 1, 1.5, True, None, {"a": [1, "é"]}]
    assert texts(values).to_pylist() == ["a", "1", "1.5", "true", None, '{"a": [1, "é"]}']
    assert text_of(False) == "false"


def test_keys_have_the_types_of_the_schema() -> None:
    found = ["1", "-2", "1.5", "true", "false", "x", None, "9" * 19, 7]
    assert key_column(found, DoubleType()).to_pylist() == [1.0, -2.0, 1.5, None, None, None, None, 1e19, 7.0]
    assert key_column(found, LongType()).to_pylist() == [1, -2, None, None, None, None, None, None, 7]
    assert key_column(found, BooleanType()).to_pylist() == [None, None, None, True, False, None, None, None, None]
    assert key_column(found, StringType()).to_pylist() == [*found[:-1], "7"]


def test_times_are_in_utc_and_exact() -> None:
    assert [str(each) for each in times([0, 1_795_477_550_123, None]).to_pylist()] == [
        "1970-01-01 00:00:00+00:00",
        "2026-11-23 23:45:50.123000+00:00",
        "None",
    ]


def test_rows_become_batches_of_the_columns_that_are_asked_for() -> None:
    schema = arrow_schema(StructType([StructField("ts", TimestampType()), StructField("value", DoubleType())]))
    rows = [{"ts": number, "text": str(number), "name": "unused"} for number in range(BATCH_ROWS + 1)]
    batches = list(batches_of_rows(rows, schema))
    assert [batch.num_rows for batch in batches] == [BATCH_ROWS, 1]
    assert batches[0].schema.equals(schema)
    assert batches[1].column(1).to_pylist() == [float(BATCH_ROWS)]


def test_small_batches_are_put_together() -> None:
    schema = arrow_schema(StructType([StructField("text", StringType())]))
    small = [batch for number in range(3) for batch in batches_of_rows([{"text": str(number)}], schema)]
    [batch] = larger(small)
    assert batch.column(0).to_pylist() == ["0", "1", "2"]
    assert list(larger([])) == []


def test_a_schema_of_other_columns_is_refused() -> None:
    known = StructType([StructField("name", StringType()), StructField("value", DoubleType())])
    with pytest.raises(SettingsError, match=r"latest has no column 'nam'") as caught:
        check_columns(StructType([StructField("nam", StringType())]), known, "latest")
    assert caught.value.hint == "Did you mean 'name'?"
    with pytest.raises(SettingsError, match="value of latest is a double, not a int"):
        check_columns(StructType([StructField("value", IntegerType())]), known, "latest")
