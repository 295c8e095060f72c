"""The data source as Spark sees it: format "pacifictool", one table for each path."""

from __future__ import annotations

from typing import ClassVar

from pyspark.sql.datasource import DataSource
from pyspark.sql.types import StructType

from pacifictool.errors import SettingsError, did_you_mean
from pacifictool.spark.failures import spoken
from pacifictool.spark.login import PlatformLogin
from pacifictool.spark.options import SourceOptions, parse_options
from pacifictool.spark.reader import READABLE, PlatformReader, table_columns
from pacifictool.spark.writer import WRITABLE, PlatformStreamWriter, PlatformWriter, RowWriter

FORMAT = "pacifictool"


class PlatformSource(DataSource):
    """`register` makes the class that Spark gets, with a login."""

    login: ClassVar[PlatformLogin]
    parallelism: ClassVar[int]

    @classmethod
    def name(cls) -> str:
        return FORMAT

    @spoken
    def schema(self) -> StructType:
        table, options = self._read_options()
        return table_columns(table, options)

    @spoken
    def reader(self, schema: StructType) -> PlatformReader:
        table, options = self._read_options()
        return PlatformReader(options.login(self.login), table, schema, options, self.parallelism)

    @spoken
    def writer(self, schema: StructType, overwrite: bool) -> PlatformWriter:  # noqa: FBT001 - Spark's signature
        if overwrite:
            raise SettingsError(
                "The data source deletes nothing: values of the same key and time are overwritten in any mode.",
                hint='Use mode "append".',
            )
        return PlatformWriter(self._row_writer(schema))

    @spoken
    def streamWriter(self, schema: StructType, overwrite: bool) -> PlatformStreamWriter:  # noqa: N802, FBT001 - Spark's
        # In the mode "complete" each batch has all results again, which overwrite themselves: nothing is to be deleted.
        return PlatformStreamWriter(self._row_writer(schema))

    def _read_options(self) -> tuple[str, SourceOptions]:
        table = self._table(READABLE, "load")
        return table, parse_options(READABLE[table].options, self.options, f"the table {table!r}")

    def _row_writer(self, schema: StructType) -> RowWriter:
        table = self._table(WRITABLE, "save")
        options = parse_options(WRITABLE[table], self.options, f"writing {table!r}")
        return RowWriter(options.login(self.login), table, schema, options)

    def _table(self, tables: object, method: str) -> str:
        known = list(tables) if isinstance(tables, dict) else []
        table = self.options.get("path")
        if table is None:
            raise SettingsError(f"Which table? {method} has no path.", hint=f"Use one of {', '.join(known)}.")
        if table not in known:
            raise SettingsError(
                f"There is no table {table!r} to {method}.",
                hint=f"{did_you_mean(table, known)} There are {', '.join(known)}.".lstrip(),
            )
        return table
