"""The way of large batches: ranges of the topic, read and summed on the executors by the Java in executor/.

Spark's own source makes a row of each record, for a query to take apart again: more than half of the processor time
of a job with a backlog (docs/performance.md). Like the code that Spark makes of a query, ours is compiled when it is
first needed, by the same compiler, which is among Spark's jars: there is nothing to build or to install.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, Row

from pacifictool.aggregation import pipeline
from pacifictool.aggregation.checkpoint import OffsetRange
from pacifictool.aggregation.pipeline import Moment, Rules
from pacifictool.aggregation.spark import SparkRuntime

RECORDS_PER_TASK = 500_000
"""A backlog in one partition is read by several tasks, each of at most this many records."""

_SOURCES = [
    Path(__file__).with_name("executor") / f"{name}.java"
    for name in ("Reading", "RangeReader", "RangeDoubts", "RangeSums")
]
_GROUP = "window_end BIGINT, zone STRING, value BINARY, records BIGINT, newest_ms BIGINT, high BIGINT, low BIGINT"
_DOUBT = "partition INT, offset BIGINT, value BINARY, stamp_ms BIGINT, window_end BIGINT"
_CONSUMER = {
    "enable.auto.commit": "false",
    # Records that are gone must be noticed.
    "auto.offset.reset": "none",
    # A reader has a single partition and counts a megabyte in some milliseconds: 10 % of its time went into asking.
    "max.partition.fetch.bytes": "4194304",
}
"""What our readers need of Kafka's consumer beyond what Spark's source does, too, which goes first."""


class RangeSums:
    """Sums ranges of one topic by one set of rules, and finds the rejects in them."""

    def __init__(self, runtime: SparkRuntime, consumer: Mapping[str, str], topic: str, rules: Rules) -> None:
        """`consumer`: properties of Kafka's consumer (source.consumer_properties)."""
        self._runtime = runtime
        self._topic = topic
        self._rules = rules
        self._consumer = {**_CONSUMER, **consumer}

    def collect(self, ranges: Sequence[OffsetRange]) -> list[Row]:
        """The sums of the ranges; see `pipeline` for their columns. Raises PySparkException or Py4JError.

        Ranges with records that have to be judged by the full rules are read twice: the plan that does so takes seconds
        to compile, and most topics never need it.
        """
        groups = self.groups(ranges)
        known = pipeline.sums_of_known(groups).collect()
        found = [row for row in known if row[1] is not None]  # the zone, by its place: there may be many of them
        if len(found) < len(known):
            found += pipeline.sums_of_judged(groups, self._rules).collect()
        return found

    def rejects(self, ranges: Sequence[OffsetRange], moment: Moment) -> DataFrame:
        """The records of the ranges that do not count; see `pipeline.rejects`. Raises PySparkException or Py4JError."""
        return pipeline.rejects(self.doubts(ranges, moment), self._rules, moment)

    def groups(self, ranges: Sequence[OffsetRange]) -> DataFrame:
        """Records of the ranges in groups that count alike, for `pipeline` to sum.

        Columns: window_end (null: no time stamp), zone (null when `value` is to be judged by the full rules), value,
        records, newest_ms, high and low (sums of the halves of the values). A group may come in several rows.
        Raises PySparkException or Py4JError.
        """
        return self._read("RangeSums", ranges, _GROUP)

    def doubts(self, ranges: Sequence[OffsetRange], moment: Moment) -> DataFrame:
        """Records of the ranges that may be rejects, all rejects among them.

        Columns: partition, offset, value, stamp_ms (null: no time stamp), window_end. Raises PySparkException or
        Py4JError.
        """
        return self._read(
            "RangeDoubts",
            ranges,
            _DOUBT,
            moment.sealed_until_ms,
            moment.last_window_end_ms,
            moment.unstamped_window_end_ms,
        )

    def _read(self, reader: str, ranges: Sequence[OffsetRange], columns: str, *arguments: int) -> DataFrame:
        """Rows that one of our classes makes of the ranges; `arguments` are what it wants to know beyond the rules."""
        parts = [part for whole in ranges for part in whole.parts(RECORDS_PER_TASK)]
        session, rules = self._runtime.session, self._rules
        self._runtime.add_java_sources(*_SOURCES)
        jvm: Any = session._jvm  # noqa: SLF001 - Java functions have no other way in
        function = getattr(jvm.pacifictool.aggregation.executor, reader)(
            self._consumer,
            self._topic,
            self._array(jvm.int, [part.partition for part in parts]),
            self._array(jvm.long, [part.start for part in parts]),
            self._array(jvm.long, [part.end for part in parts]),
            rules.zone_key,
            rules.value_key,
            float(rules.minimum),
            float(rules.maximum),
            rules.window_ms,
            *arguments,
        )
        encoder = jvm.org.apache.spark.sql.Encoders.row(jvm.org.apache.spark.sql.types.StructType.fromDDL(columns))
        numbers: Any = session.range(0, len(parts), 1, len(parts))
        return DataFrame(numbers._jdf.mapPartitions(function, encoder), session)  # noqa: SLF001

    def _array(self, kind: Any, values: Sequence[int]) -> Any:
        array = self._runtime.session.sparkContext._gateway.new_array(kind, len(values))  # type: ignore[union-attr] # noqa: SLF001
        for place, value in enumerate(values):
            array[place] = value
        return array
