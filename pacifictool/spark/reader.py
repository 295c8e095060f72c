"""Reads a table: plans partitions on the driver, fetches them on Spark's workers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Final

from pyspark.sql.datasource import DataSourceReader, Filter, InputPartition
from pyspark.sql.types import StructType

from pacifictool.errors import SettingsError
from pacifictool.rest import Platform
from pacifictool.spark.columns import (
    KEY_TYPES,
    NUMBER_COLUMN,
    TIME,
    Batch,
    arrow_schema,
    batches_of_rows,
    check_columns,
    larger,
)
from pacifictool.spark.entities import (
    ENTITIES,
    ENTITY_COLUMNS,
    ENTITY_TEXTS,
    EntityRef,
    entity_rows,
    find_entities,
    ref_of,
)
from pacifictool.spark.failures import spoken
from pacifictool.spark.filters import TS, Selection
from pacifictool.spark.login import PlatformLogin
from pacifictool.spark.options import (
    ASSET,
    DEVICE,
    AlarmOptions,
    AttributeOptions,
    EntityOptions,
    KeyOptions,
    ReadOptions,
    SeriesOptions,
    SourceOptions,
)
from pacifictool.spark.snapshots import (
    ALARMS,
    ATTRIBUTES,
    LATEST,
    alarm_rows,
    attribute_rows,
    latest_rows,
    rows_of_entities,
    wanted_keys,
)
from pacifictool.spark.timeseries import SERIES, SeriesQuery, read_series

_REQUESTS_AT_ONCE: Final = 4
"""Of each task. More only wait for one another in a server on two cores."""
_SHORTEST_SLICE_MS: Final = 60_000


@dataclass(frozen=True)
class ReadableTable:
    """A table that can be read."""

    schema: StructType
    options: type[SourceOptions]


READABLE: Final = {
    "devices": ReadableTable(ENTITIES, EntityOptions),
    "assets": ReadableTable(ENTITIES, EntityOptions),
    "attributes": ReadableTable(ATTRIBUTES, AttributeOptions),
    "latest": ReadableTable(LATEST, KeyOptions),
    "timeseries": ReadableTable(SERIES, SeriesOptions),
    "alarms": ReadableTable(ALARMS, AlarmOptions),
}


@dataclass
class EntitySlice(InputPartition):
    """What a task reads: some entities, some time."""

    entities: tuple[EntityRef, ...]
    start_ms: int = 0
    end_ms: int = 0


def table_columns(table: str, options: SourceOptions) -> StructType:
    """The columns of a table where the user gives none. Raises SettingsError."""
    if isinstance(options, SeriesOptions) and options.layout == "wide":
        if options.keys is None:
            raise SettingsError(
                "The wide layout needs to know its columns.", hint="Name keys in the option keys, or give a schema."
            )
        wide = StructType([*ENTITY_COLUMNS.fields]).add(TS, TIME)
        for key in dict.fromkeys(options.keys):
            if key in wide.names:
                raise SettingsError(
                    f"The wide layout has a column {key!r} of its own.", hint=f"Read the key {key!r} in the long one."
                )
            wide = wide.add(key, NUMBER_COLUMN)
        return wide
    return READABLE[table].schema


class PlatformReader(DataSourceReader):
    """One query on one table."""

    def __init__(
        self, login: PlatformLogin, table: str, schema: StructType, options: SourceOptions, parallelism: int
    ) -> None:
        """`parallelism`: tasks that Spark works on at the same time. Raises SettingsError for columns that there are
        not."""
        self._login = login
        self._table = table
        self._schema = schema
        self._options = options
        self._parallelism = parallelism
        self._selection = Selection()
        self._key_types: dict[str, Any] = {}
        if isinstance(options, SeriesOptions):
            self._selection.narrow(options.start, options.end)
            if options.layout == "wide" or (
                options.layout is None and not set(schema.names) <= set(READABLE[table].schema.names)
            ):
                self._key_types = _key_types(schema)
                return
        check_columns(schema, READABLE[table].schema, table)

    @spoken
    def pushFilters(self, filters: list[Filter]) -> list[Filter]:  # noqa: N802 - Spark's name
        texts = set(ENTITY_TEXTS)
        times = False
        if isinstance(self._options, KeyOptions) and not self._key_types:
            texts |= {"key", "scope"} if self._table == "attributes" else {"key"}
        if self._table in ("latest", "timeseries"):
            # Aggregates are counted from the start that the options name.
            times = not (isinstance(self._options, SeriesOptions) and self._options.aggregation is not None)
        return self._selection.push(filters, texts, times=times)

    @spoken
    def partitions(self) -> Sequence[InputPartition]:
        options, selection = self._options, self._selection
        if not isinstance(options, ReadOptions):
            return [EntitySlice(())]  # the list of entities is itself what is read
        if selection.start_ms >= selection.end_ms or wanted_keys_of(options, selection) == []:
            return [EntitySlice(())]
        found = find_entities(self._login.platform(), options.entity_kind, options, selection)
        return self._slices([ref_of(each) for each in found], options)

    def _slices(self, entities: list[EntityRef], options: ReadOptions) -> Sequence[InputPartition]:
        wanted = options.partitions or 2 * self._parallelism
        start_ms, end_ms = self._selection.start_ms, self._selection.end_ms
        bounds = [start_ms, end_ms]
        if isinstance(options, SeriesOptions) and entities and start_ms > 0:
            bounds = _time_bounds(start_ms, end_ms, wanted // len(entities), options.interval or 1)
        groups = max(1, min(len(entities), wanted // (len(bounds) - 1)))
        return [
            EntitySlice(tuple(entities[group::groups]), start, end)
            for group in range(groups)
            for start, end in pairwise(bounds)
        ]

    @spoken
    def read(self, partition: InputPartition) -> Iterator[Batch]:
        assert isinstance(partition, EntitySlice)
        return larger(self._batches(self._login.platform(), partition))

    def _batches(self, platform: Platform, part: EntitySlice) -> Iterator[Batch]:
        options, selection = self._options, self._selection
        workers = options.concurrency or _REQUESTS_AT_ONCE
        if isinstance(options, SeriesOptions):
            query = SeriesQuery(
                self._schema, _as_tuple(wanted_keys(options, selection)), selection, options, self._key_types
            )
            return read_series(platform, query, part.entities, part.start_ms, part.end_ms, workers)
        if isinstance(options, KeyOptions):
            keys = wanted_keys(options, selection)
            read: Any = (
                partial(attribute_rows, platform, options=options, keys=keys, selection=selection)
                if isinstance(options, AttributeOptions)
                else partial(latest_rows, platform, keys=keys, selection=selection)
            )
            rows = rows_of_entities(lambda entity: read(entity=entity), part.entities, workers)
        elif isinstance(options, AlarmOptions):
            rows = alarm_rows(platform, part.entities, options.active, workers)
        else:
            assert isinstance(options, EntityOptions)
            kind = DEVICE if self._table == "devices" else ASSET
            rows = entity_rows(find_entities(platform, [kind], options, selection))
        return batches_of_rows(rows, arrow_schema(self._schema))


def wanted_keys_of(options: SourceOptions, selection: Selection) -> list[str] | None:
    """As `wanted_keys`, for any table."""
    return wanted_keys(options, selection) if isinstance(options, KeyOptions) else None


def _as_tuple(keys: list[str] | None) -> tuple[str, ...] | None:
    return None if keys is None else tuple(keys)


def _key_types(schema: StructType) -> dict[str, Any]:
    """The columns of keys in a wide schema. Raises SettingsError."""
    known = {*ENTITY_TEXTS, TS}
    check_columns(
        StructType([column for column in schema.fields if column.name in known]),
        StructType([*ENTITY_COLUMNS.fields]).add(TS, TIME),
        "timeseries",
    )
    types = {column.name: column.dataType for column in schema.fields if column.name not in known}
    for key, kind in types.items():
        if not isinstance(kind, KEY_TYPES):
            raise SettingsError(
                f"The column {key!r} of a key cannot be a {kind.simpleString()}.",
                hint="Use double, bigint, string or boolean, and cast it afterwards.",
            )
    if not types:
        raise SettingsError("The wide layout has a column for each key, and the schema names none.")
    return types


def _time_bounds(start_ms: int, end_ms: int, slices: int, interval_ms: int) -> list[int]:
    """Bounds of about this many slices of equal length; the last one takes what lies in the future, too."""
    until = min(end_ms, max(start_ms + 1, round(time.time() * 1000)))
    slices = max(1, min(slices, (until - start_ms) // max(_SHORTEST_SLICE_MS, interval_ms)))
    step = -(-(until - start_ms) // (slices * interval_ms)) * interval_ms
    return [*range(start_ms, until, step), end_ms]
