"""Arrow columns from what the platform sends: timestamps, texts, and numbers where the texts are numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import pyarrow as pa
from pyarrow import compute
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import (
    BooleanType,
    DataType,
    DoubleType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from pacifictool.errors import SettingsError, did_you_mean
from pacifictool.rest.values import NUMBER

Batch: TypeAlias = pa.RecordBatch
BATCH_ROWS: Final = 10_000
_TIME: Final = pa.timestamp("us", tz="UTC")
_WHOLE: Final = r"^-?[0-9]{1,18}$"
_SHORT: Final = 300
_SHORT_NUMBER: Final = r"^-?(?:0|[1-9][0-9]*|[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]{1,4})?|[0-9]+[eE][+-]?[0-9]{1,4})$"
"""NUMBER for texts of up to _SHORT characters, which its bounds do not concern: to compile these takes 3.4 ms, as long
as to look at 30,000 texts, and happens for each page."""
KEY_TYPES: Final = (DoubleType, LongType, StringType, BooleanType)
"""What the column of a key can be, in the wide layout."""


def table_schema(**columns: DataType) -> StructType:
    """A schema of nullable columns."""
    return StructType([StructField(name, kind) for name, kind in columns.items()])


TEXT, NUMBER_COLUMN, TIME, SWITCH = StringType(), DoubleType(), TimestampType(), BooleanType()


def arrow_schema(schema: StructType) -> pa.Schema:
    """As Spark wants it of a Python data source."""
    return to_arrow_schema(schema, timezone="UTC")


def check_columns(asked: StructType, known: StructType, what: str) -> None:
    """Raises SettingsError for a column of a user's schema that the table has not, or has with another type."""
    types = {column.name: column.dataType for column in known.fields}
    for column in asked.fields:
        if column.name not in types:
            hint = did_you_mean(column.name, types) or f"It has {', '.join(types)}."
            raise SettingsError(f"{what} has no column {column.name!r}.", hint=hint)
        if column.dataType != types[column.name]:
            raise SettingsError(
                f"{column.name} of {what} is a {types[column.name].simpleString()}, not a"
                f" {column.dataType.simpleString()}.",
                hint="Read it as it is, and cast it afterwards.",
            )


def times(ts_ms: Sequence[int | None]) -> pa.Array:
    """Timestamps from ms since the epoch."""
    return compute.multiply(pa.array(ts_ms, pa.int64()), 1000).cast(_TIME)


def text_of(value: Any) -> str | None:
    """A value of telemetry or of an attribute as a text: as it is, or as JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def texts(values: Sequence[Any]) -> pa.Array:
    """`text_of` for a column."""
    if not all(type(value) is str for value in values):
        values = [text_of(value) for value in values]
    return pa.array(values, pa.string())


def numbers(found: pa.Array) -> pa.Array:
    """The texts that are numbers as doubles, null for all others: the rule of `rest.values.decode_text`."""
    longest = compute.max(compute.binary_length(found)).as_py() or 0
    pattern = _SHORT_NUMBER if longest <= _SHORT else f"^({NUMBER})$"
    plain = compute.if_else(compute.match_substring_regex(found, pattern), found, None)
    doubles = compute.cast(plain, pa.float64())
    return compute.if_else(compute.is_finite(doubles), doubles, None)


def key_column(values: Sequence[Any], kind: DataType) -> pa.Array:
    """The values of one key as a column of the type that a user's schema asks for; null where they are of another."""
    found = texts(values)
    if isinstance(kind, DoubleType):
        return numbers(found)
    if isinstance(kind, LongType):
        return compute.cast(compute.if_else(compute.match_substring_regex(found, _WHOLE), found, None), pa.int64())
    if isinstance(kind, BooleanType):
        return compute.if_else(compute.is_in(found, pa.array(["true", "false"])), compute.equal(found, "true"), None)
    return found


def batch_of(schema: pa.Schema, columns: Mapping[str, Callable[[], pa.Array]]) -> Batch:
    """A batch with the columns that the schema names; no others are computed."""
    return pa.RecordBatch.from_arrays([columns[name]() for name in schema.names], schema=schema)


def batches_of_rows(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> Iterator[Batch]:
    """Rows as batches. Times are in ms; `value` is computed from `text`."""
    pending: list[Mapping[str, Any]] = []

    def batch() -> Batch:
        def column(name: str) -> pa.Array:
            if name == "value":
                return numbers(texts([row["text"] for row in pending]))
            values = [row[name] for row in pending]
            kind = schema.field(name).type
            return times(values) if pa.types.is_timestamp(kind) else pa.array(values, kind)

        return pa.RecordBatch.from_arrays([column(name) for name in schema.names], schema=schema)

    for row in rows:
        pending.append(row)
        if len(pending) == BATCH_ROWS:
            yield batch()
            pending.clear()
    if pending:
        yield batch()


def larger(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The same rows in fewer batches: each costs Spark as much as some hundred rows."""
    pending: list[Batch] = []
    rows = 0
    for batch in batches:
        pending.append(batch)
        rows += batch.num_rows
        if rows >= BATCH_ROWS:
            yield pa.concat_batches(pending)
            pending, rows = [], 0
    if pending:
        yield pa.concat_batches(pending)
