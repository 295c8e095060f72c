"""Rows of a frame that is written, checked: which entity, when, which keys with which values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
from pyspark.sql.types import (
    BooleanType,
    DataType,
    DecimalType,
    NumericType,
    StringType,
    StructType,
    TimestampType,
)

from pacifictool.errors import InvalidRequest, SettingsError, did_you_mean
from pacifictool.rest.values import Value
from pacifictool.spark.entities import ENTITY_TEXTS
from pacifictool.spark.filters import TS
from pacifictool.spark.options import KINDS, WriteOptions
from pacifictool.tools.times import utc_text

_LONG: Final = ("key", "value", "text")
_LARGEST: Final = 2**63


@dataclass(frozen=True, slots=True)
class WrittenRow:
    """One row of a frame."""

    kind: str
    name: str | None
    """None where `entity_id` says which."""
    entity_id: str | None
    type: str | None
    ts_ms: int
    """0 in a table without times."""
    scope: str | None
    values: dict[str, Value]

    def __str__(self) -> str:
        when = f" at {utc_text(self.ts_ms)} ({self.ts_ms})" if self.ts_ms else ""
        return f"{self.kind} {self.name if self.name is not None else self.entity_id!s}{when}"


@dataclass(frozen=True)
class FrameLayout:
    """Which columns of a frame are what."""

    entity_columns: tuple[str, ...]
    keys: tuple[str, ...]
    """Of the wide layout; empty for the long one, which has columns `key` and `value` or `text`."""
    has_ts: bool
    has_scope: bool

    @classmethod
    def from_schema(cls, schema: StructType, options: WriteOptions, what: str, *, with_ts: bool) -> FrameLayout:
        """Raises SettingsError for a frame that cannot be written."""
        types = {column.name: column.dataType for column in schema.fields}
        if not {"name", "entity_id"} & types.keys():
            raise SettingsError(
                f"{what} needs a column name (or entity_id); the frame has {', '.join(types)}.",
                hint="Name the entity of each row: df.withColumnRenamed('device', 'name').",
            )
        if with_ts and not isinstance(types.get(TS), TimestampType):
            found = f"a {types[TS].simpleString()}" if TS in types else "missing"
            raise SettingsError(
                f"{what} needs a column ts of type timestamp; it is {found}.",
                hint="From milliseconds since 1970: timestamp_millis(ts); from text: to_timestamp(ts).",
            )
        fixed = {*ENTITY_TEXTS, TS, *(() if with_ts else ("scope",))}
        texts = [name for name in (*ENTITY_TEXTS, "scope", "key", "text") if name in types and name in fixed | {*_LONG}]
        is_long = "key" in types and ("value" in types or "text" in types) and options.keys is None
        keys = () if is_long else tuple(options.keys or [name for name in types if name not in fixed])
        for name in texts if is_long else [name for name in texts if name in fixed]:
            if not isinstance(types[name], StringType):
                raise SettingsError(f"{what}: the column {name} must be a string, not {types[name].simpleString()}.")
        for key in (*keys, *(("value",) if is_long and "value" in types else ())):
            _check_value_type(key, types, what)
        if not is_long and not keys:
            raise SettingsError(
                f"{what} has nothing to write: besides what names the entity, the frame has no column.",
                hint="Give it columns key and value, or a column for each key.",
            )
        return cls(
            tuple(name for name in ENTITY_TEXTS if name in types), keys, TS in types and with_ts, "scope" in types
        )

    def rows(self, batch: pa.RecordBatch, options: WriteOptions) -> Iterator[WrittenRow]:
        """The rows that have a value. Raises InvalidRequest for one that cannot be written, naming it."""
        column = _columns(batch)
        count = batch.num_rows
        names = {name: column(name) for name in self.entity_columns}
        empty = [None] * count
        kinds = names.get("entity_kind", empty)
        entity_ids, entities, types = (names.get(name, empty) for name in ("entity_id", "name", "type"))
        times = column(TS) if self.has_ts else None
        scopes = column("scope") if self.has_scope and not self.has_ts else empty
        if self.keys:
            series = [(key, column(key)) for key in self.keys]
            values: Any = ({key: cells[row] for key, cells in series if cells[row] is not None} for row in range(count))
        else:
            values = _long_values(column, batch.schema.names)
        for number, found in enumerate(values):
            row = WrittenRow(
                kind=kinds[number] or options.entity_kind,
                name=entities[number],
                entity_id=entity_ids[number],
                type=types[number],
                ts_ms=0 if times is None else _ms(times[number], entities[number]),
                scope=scopes[number],
                values=found,
            )
            if found:
                _check(row)
                yield row


def _check_value_type(key: str, types: dict[str, DataType], what: str) -> None:
    if key not in types:
        raise SettingsError(f"{what}: there is no column {key!r}.", hint=did_you_mean(key, types) or None)
    if not isinstance(types[key], NumericType | DecimalType | StringType | BooleanType):
        raise SettingsError(
            f"{what}: a {types[key].simpleString()} cannot be written, as in the column {key!r}.",
            hint="The platform keeps numbers, texts and booleans: cast or drop the column, or name those that are keys"
            " in the option keys.",
        )


def _columns(batch: pa.RecordBatch) -> Callable[[str], list[Any]]:
    def column(name: str) -> list[Any]:
        found = batch.column(batch.schema.get_field_index(name))
        if pa.types.is_timestamp(found.type):
            found = found.cast(pa.timestamp("us", tz=found.type.tz)).cast(pa.int64())
        elif pa.types.is_float32(found.type):
            return (
                [None if value is None else float(str(value)) for value in found.to_numpy(zero_copy_only=False)]
                if (found.null_count == 0)
                else found.to_pylist()
            )
        values: list[Any] = found.to_pylist()
        if pa.types.is_decimal(found.type):
            return [_of_decimal(value) for value in values]
        return values

    return column


def _of_decimal(value: Decimal | None) -> Value | None:
    if value is None:
        return None
    return int(value) if value == value.to_integral_value() and abs(value) < _LARGEST else float(value)


def _long_values(column: Callable[[str], list[Any]], names: Sequence[str]) -> Iterator[dict[str, Value]]:
    keys = column("key")
    empty = [None] * len(keys)
    values = column("value") if "value" in names else empty
    texts = column("text") if "text" in names else empty
    for key, value, text in zip(keys, values, texts, strict=True):
        chosen = text if value is None else value
        yield {} if chosen is None else {key: chosen}


def _ms(microseconds: int | None, name: str | None) -> int:
    if microseconds is None:
        raise InvalidRequest(f"A row of {name} has no ts.", hint="Fill it, or leave the row out.")
    return microseconds // 1000


def _check(row: WrittenRow) -> None:
    if row.kind not in KINDS:
        raise InvalidRequest(f"A row has the entity_kind {row.kind!r}.", hint=f"It must be {' or '.join(KINDS)}.")
    if not row.name and not row.entity_id:
        raise InvalidRequest(f"A row names no entity; it has {row.values}.", hint="Fill the column name.")
    if row.ts_ms < 0:
        raise InvalidRequest(f"{row}: ts is before 1970.", hint="The platform keeps times from 1970 on.")
    for key, value in row.values.items():
        if not key or "," in key:
            raise InvalidRequest(f"{row}: {key!r} cannot be a key.", hint="A key is not empty and contains no comma.")
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidRequest(
                f"{row}: {key} is {value}, which the platform cannot store.",
                hint="Make it null, which is left out: nanvl(value, null), or df.replace(float('nan'), None).",
            )
