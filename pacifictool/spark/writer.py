"""Writes frames, batch or streaming: acknowledged by the platform before Spark hears of success.

A value of the same entity, key and time overwrites, so that a batch that Spark repeats changes nothing.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pyspark.sql.datasource import DataSourceArrowWriter, DataSourceStreamArrowWriter, WriterCommitMessage
from pyspark.sql.types import StructType

from pacifictool.errors import InvalidRequest, NotFound, PlatformError
from pacifictool.rest import SERVER_SCOPE, SHARED_SCOPE, Asset, Device, EntityId, Platform
from pacifictool.rest.resources import NamedResources
from pacifictool.rest.values import Value
from pacifictool.spark.columns import Batch
from pacifictool.spark.failures import spoken
from pacifictool.spark.frame import FrameLayout, WrittenRow
from pacifictool.spark.login import PlatformLogin
from pacifictool.spark.options import DEVICE, WriteAttributeOptions, WriteOptions
from pacifictool.tools.threads import run_bounded

ROWS_AT_ONCE: Final = 20_000
"""Rows that a task collects before it writes them, so that each entity gets few requests."""

TIMESERIES = "timeseries"
WRITABLE: Final[Mapping[str, type[WriteOptions]]] = {
    TIMESERIES: WriteOptions,
    "attributes": WriteAttributeOptions,
}

Series = dict[str, tuple[int, Value]]
"""By key: the newest time, in ms, and its value."""


@dataclass
class WrittenPart(WriterCommitMessage):
    """What a task has written; the platform has acknowledged all of it."""

    rows: int = 0
    newest: dict[EntityId, Series] = field(default_factory=dict)
    """By entity, on servers that take what was written last for the latest value."""


@dataclass(frozen=True)
class RowWriter:
    """Writes the rows of one frame."""

    login: PlatformLogin
    table: str
    schema: StructType
    options: WriteOptions

    def __post_init__(self) -> None:
        # A frame that cannot be written is refused before any task runs.
        self.layout()

    def layout(self) -> FrameLayout:
        """Raises SettingsError."""
        what = f"Writing {self.table!r}"
        return FrameLayout.from_schema(self.schema, self.options, what, with_ts=self.table == TIMESERIES)

    def write(self, batches: Iterator[Batch]) -> WrittenPart:
        """Writes all of a task's rows. Raises PlatformError, InvalidRequest with the row that is at fault."""
        layout, task = self.layout(), _Task(self)
        for batch in batches:
            for row in layout.rows(batch, self.options):
                task.add(row)
        task.flush()
        return task.part

    def settle(self, parts: list[WrittenPart]) -> None:
        """Called when all tasks have written: writes the newest values once more on servers that show what was written
        last, whatever its time (docs/servers/1.x.md#telemetry-over-rest, row 13)."""
        newest: dict[EntityId, Series] = defaultdict(dict)
        for part in parts:
            for entity, series in part.newest.items():
                _keep_newest(newest[entity], series)
        if newest:
            platform = self.login.platform()

            def repeat(entity: EntityId) -> None:
                rows: dict[int, dict[str, Value]] = defaultdict(dict)
                for key, (ts_ms, value) in newest[entity].items():
                    rows[ts_ms][key] = value
                platform.telemetry.write(entity, rows.items())

            for _ in run_bounded(repeat, list(newest), workers=platform.telemetry.writes_at_once(), name="write"):
                pass


class PlatformWriter(DataSourceArrowWriter):
    """Writes a batch."""

    def __init__(self, rows: RowWriter) -> None:
        self._rows = rows

    @spoken
    def write(self, iterator: Iterator[Batch]) -> WriterCommitMessage:
        return self._rows.write(iterator)

    @spoken
    def commit(self, messages: list[WriterCommitMessage | None]) -> None:
        self._rows.settle([part for part in messages if isinstance(part, WrittenPart)])


class PlatformStreamWriter(DataSourceStreamArrowWriter):
    """Writes the batches of a stream."""

    def __init__(self, rows: RowWriter) -> None:
        self._rows = rows

    @spoken
    def write(self, iterator: Iterator[Batch]) -> WriterCommitMessage:
        return self._rows.write(iterator)

    @spoken
    def commit(self, messages: list[WriterCommitMessage | None], batchId: int) -> None:  # noqa: N803 - Spark's name
        self._rows.settle([part for part in messages if isinstance(part, WrittenPart)])


class _Task:
    """Collects rows by entity and writes them, many entities at the same time."""

    def __init__(self, writer: RowWriter) -> None:
        self.part = WrittenPart()
        self._writer = writer
        self._platform = writer.login.platform()
        self._targets = _targets_of(writer.login, self._platform)
        self._pending: dict[tuple[str, str | None, str | None], list[WrittenRow]] = defaultdict(list)
        self._count = 0

    def add(self, row: WrittenRow) -> None:
        self._pending[row.kind, row.entity_id, row.name].append(row)
        self._count += 1
        if self._count == ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Returns when the platform has acknowledged everything."""
        pending, self._pending, self._count = list(self._pending.values()), defaultdict(list), 0
        if not pending:
            return
        telemetry, options = self._platform.telemetry, self._writer.options
        keeps_newest = self._writer.table == TIMESERIES and telemetry.latest_is_last_written()
        workers = options.concurrency or telemetry.writes_at_once()
        for entity, rows in run_bounded(self._write_entity, pending, workers=workers, name="write"):
            self.part.rows += len(rows)
            if keeps_newest:
                series = self.part.newest.setdefault(entity, {})
                for row in rows:
                    _keep_newest(series, {key: (row.ts_ms, value) for key, value in row.values.items()})

    def _write_entity(self, rows: list[WrittenRow]) -> tuple[EntityId, list[WrittenRow]]:
        row, options = rows[0], self._writer.options
        try:
            entity = self._targets.find(row, options)
            try:
                self._send(entity, rows)
            except NotFound:
                # Deleted, and perhaps created again, since it was looked up.
                self._targets.forget(row)
                entity = self._targets.find(row, options)
                self._send(entity, rows)
        except PlatformError as error:
            error.args = (f"Of {len(rows)} rows from {row} to {rows[-1]}: {error}",)
            raise
        return entity, rows

    def _send(self, entity: EntityId, rows: list[WrittenRow]) -> None:
        if self._writer.table == TIMESERIES:
            self._platform.telemetry.write(entity, ((row.ts_ms, row.values) for row in rows))
            return
        assert isinstance(self._writer.options, WriteAttributeOptions)
        by_scope: dict[str, dict[str, Value]] = defaultdict(dict)
        for row in rows:
            by_scope[row.scope or self._writer.options.scope].update(row.values)
        for scope, values in by_scope.items():
            if scope == SHARED_SCOPE:
                self._platform.attributes.set_shared(entity, values)
            elif scope == SERVER_SCOPE:
                self._platform.attributes.set_server(entity, values)
            else:
                raise InvalidRequest(
                    f"{scope} cannot be written over REST: only the device sets its client attributes.",
                    hint="Write SERVER_SCOPE or SHARED_SCOPE.",
                )


class _Targets:
    """The ids of entities by kind and name, looked up once in each process. Usable from many threads."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._ids: dict[tuple[str, str], EntityId] = {}

    def find(self, row: WrittenRow, options: WriteOptions) -> EntityId:
        """Raises NotFound for an entity that is not there, unless it is to be created."""
        if row.entity_id:
            return EntityId(row.kind.upper(), row.entity_id)
        name = row.name or ""
        found = self._ids.get((row.kind, name))
        if found is None:
            found = self._ids[row.kind, name] = self._look_up(row, name, options).entity_id
        return found

    def forget(self, row: WrittenRow) -> None:
        self._ids.pop((row.kind, row.name or ""), None)

    def _look_up(self, row: WrittenRow, name: str, options: WriteOptions) -> Device | Asset:
        resources: NamedResources[Any] = self._platform.devices if row.kind == DEVICE else self._platform.assets
        entity: Device | Asset | None = resources.find(name)
        if entity is not None:
            return entity
        if not options.create:
            raise NotFound(
                f"There is no {row.kind} {name!r} at {self._platform.url}.",
                hint="Names are case-sensitive. The option create=true creates what does not exist; the option or the"
                " column entity_kind says whether it is a device or an asset.",
            )
        entity_type = row.type or options.entity_type
        if not entity_type:
            raise InvalidRequest(
                f"The {row.kind} {name!r} is to be created, but of which type?",
                hint="Give the option entity_type, or a column type.",
            )
        created: Device | Asset = resources.get_or_create(name, entity_type)
        return created


_known_targets: dict[PlatformLogin, _Targets] = {}
_lock = threading.Lock()


def _targets_of(login: PlatformLogin, platform: Platform) -> _Targets:
    with _lock:
        return _known_targets.setdefault(login, _Targets(platform))


def _keep_newest(series: Series, more: Series) -> None:
    for key, found in more.items():
        if key not in series or found[0] >= series[key][0]:
            series[key] = found
