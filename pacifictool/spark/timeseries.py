"""The table `timeseries`: points page by page, many entities at a time, in the long or the wide layout.

What is fetched in one step is bounded, whatever an entity holds: a step fetches a page and says what is left. So a
year of one device takes no more memory than a day of a thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

import pyarrow as pa
from pyspark.sql.types import DataType, StructType

from pacifictool.errors import NotFound
from pacifictool.rest import Platform
from pacifictool.rest.telemetry import SeriesPage
from pacifictool.spark.columns import (
    NUMBER_COLUMN,
    TEXT,
    TIME,
    Batch,
    arrow_schema,
    batch_of,
    key_column,
    numbers,
    table_schema,
    texts,
    times,
)
from pacifictool.spark.entities import ENTITY_TEXTS, EntityRef
from pacifictool.spark.filters import TS, Selection
from pacifictool.spark.options import SeriesOptions
from pacifictool.tools.threads import run_bounded

SERIES: Final = table_schema(
    entity_kind=TEXT, entity_id=TEXT, name=TEXT, type=TEXT, key=TEXT, ts=TIME, value=NUMBER_COLUMN, text=TEXT
)
"""The long layout."""

_POINTS_AT_ONCE: Final = 100_000
"""Of all keys of a request together, so that its response stays below 10 MB."""


@dataclass(frozen=True)
class SeriesQuery:
    """What a task needs to know about the query."""

    schema: StructType
    keys: tuple[str, ...] | None
    """None: whatever keys an entity has, as far as `selection` admits them."""
    selection: Selection
    options: SeriesOptions
    key_types: Mapping[str, DataType] = field(default_factory=dict)
    """Of the wide layout, by key; empty for the long one."""


@dataclass(frozen=True)
class LongCursor:
    """Points of an entity that are left to read: those of these keys before `end_ms`."""

    entity: EntityRef
    keys: tuple[str, ...] | None
    start_ms: int
    end_ms: int


@dataclass
class WideCursor:
    """The same for rows of all keys."""

    entity: EntityRef
    start_ms: int
    end_ms: int
    known: dict[str, dict[int, Any]]
    """By key and timestamp: points that are read, but belong to rows that are not complete yet."""
    complete_from: dict[str, int]
    """By key: from here on everything is read."""


Cursor: TypeAlias = LongCursor | WideCursor
Step: TypeAlias = tuple[list[Batch], list[Any]]
"""What was fetched, and what is left."""


def read_series(
    platform: Platform, query: SeriesQuery, entities: Sequence[EntityRef], start_ms: int, end_ms: int, workers: int
) -> Iterator[Batch]:
    """All points of these entities with start_ms <= ts < end_ms."""
    schema = arrow_schema(query.schema)
    first: Iterable[Cursor]
    if query.key_types:
        keys = tuple(query.key_types)
        first = (
            WideCursor(each, start_ms, end_ms, {key: {} for key in keys}, dict.fromkeys(keys, end_ms))
            for each in entities
        )
        return _in_rounds(partial(_wide_step, platform, query, schema), first, workers)
    first = (cursor for each in entities for cursor in _parts(query, LongCursor(each, query.keys, start_ms, end_ms)))
    return _in_rounds(partial(_long_step, platform, query, schema), first, workers)


def _in_rounds(step: Any, first: Iterable[Any], workers: int) -> Iterator[Batch]:
    pending = first
    while True:
        following: list[Any] = []
        for batches, left in run_bounded(step, pending, workers=workers, name="read"):
            following += left
            yield from batches
        if not following:
            return
        pending = following


def _parts(query: SeriesQuery, cursor: LongCursor) -> list[LongCursor]:
    """The cursor, cut into as many as requests need."""
    keys, size = cursor.keys, max(1, _POINTS_AT_ONCE // query.options.page_size)
    if keys is None:
        return [cursor]
    return [
        LongCursor(cursor.entity, keys[start : start + size], cursor.start_ms, cursor.end_ms)
        for start in range(0, len(keys), size)
    ]


def _long_step(platform: Platform, query: SeriesQuery, schema: pa.Schema, cursor: LongCursor) -> Step:
    entity, start_ms = cursor.entity, cursor.start_ms
    try:
        if cursor.keys is None:
            found = [key for key in platform.telemetry.keys(entity.platform_id) if query.selection.admits("key", key)]
            cursor, *others = _parts(query, LongCursor(entity, tuple(found), start_ms, cursor.end_ms)) or [cursor]
            if not cursor.keys:
                return [], []
        else:
            others = []
        pages = _pages(platform, query, cursor)
    except NotFound:
        return [], []  # deleted since the query was planned
    left = [
        LongCursor(entity, (key,), start_ms, page.complete_from_ms)
        for key, page in pages.items()
        if page.complete_from_ms > start_ms
    ]
    return [_long_batch(schema, entity, key, page) for key, page in pages.items() if page.ts_ms], [*others, *left]


def _pages(platform: Platform, query: SeriesQuery, cursor: LongCursor) -> Mapping[str, SeriesPage]:
    options, keys = query.options, cursor.keys or ()
    entity, start_ms, end_ms = cursor.entity.platform_id, cursor.start_ms, cursor.end_ms
    if options.aggregation is not None and options.interval is not None:
        return platform.telemetry.aggregates(entity, keys, start_ms, end_ms, options.interval, options.aggregation)
    return platform.telemetry.pages(entity, keys, start_ms, end_ms, options.page_size)


def _long_batch(schema: pa.Schema, entity: EntityRef, key: str, page: SeriesPage) -> Batch:
    count = len(page.ts_ms)
    columns: dict[str, Callable[[], pa.Array]] = {
        **{column: partial(pa.repeat, getattr(entity, column), count) for column in ENTITY_TEXTS},
        "key": partial(pa.repeat, key, count),
        TS: partial(times, page.ts_ms),
        "text": partial(texts, page.values),
        "value": lambda: numbers(texts(page.values)),
    }
    return batch_of(schema, columns)


def _wide_step(platform: Platform, query: SeriesQuery, schema: pa.Schema, cursor: WideCursor) -> Step:
    """One page of each key that lacks the most; rows are complete from where the last of all keys is."""
    behind = max(cursor.complete_from.values())
    lacking = [key for key, complete in cursor.complete_from.items() if complete == behind]
    # Points of all keys are kept until their rows are complete.
    limit = max(2, min(query.options.page_size, _POINTS_AT_ONCE // len(cursor.known)))
    try:
        pages = platform.telemetry.pages(cursor.entity.platform_id, lacking, cursor.start_ms, behind, limit)
    except NotFound:
        return [], []
    for key, page in pages.items():
        cursor.known[key].update(zip(page.ts_ms, page.values, strict=True))
        cursor.complete_from[key] = page.complete_from_ms
    complete = max(cursor.complete_from.values())
    batch = _wide_batch(query, schema, cursor, complete)
    return [batch] if batch.num_rows else [], [cursor] if complete > cursor.start_ms else []


def _wide_batch(query: SeriesQuery, schema: pa.Schema, cursor: WideCursor, from_ms: int) -> Batch:
    """The rows from there on, which are taken out of what is known."""
    rows = sorted({ts for points in cursor.known.values() for ts in points if ts >= from_ms}, reverse=True)
    taken = {key: [points.pop(ts, None) for ts in rows] for key, points in cursor.known.items()}
    columns = {column: partial(pa.repeat, getattr(cursor.entity, column), len(rows)) for column in ENTITY_TEXTS}
    columns |= {key: partial(key_column, taken[key], kind) for key, kind in query.key_types.items()}
    columns[TS] = partial(times, rows)
    return batch_of(schema, columns)
