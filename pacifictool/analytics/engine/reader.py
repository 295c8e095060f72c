"""Reads a batch: ranges of the topic, classified and summed on the executors by the Java in java/.

Spark gives the ranges to its executors, repeats what fails and brings the results together. Each record is read once
and classified once, by RecordParser.java. Like the code that Spark makes of a query, the Java is compiled when it is
first needed, by the same compiler, which is among Spark's jars: there is nothing to build or to install.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pacifictool.analytics.engine.spark import SparkRuntime
from pacifictool.analytics.state.queries import InvalidRecord, OffsetRange
from pacifictool.analytics.windows import PartialSum, join_sum
from pacifictool.kafka.config import java_properties
from pacifictool.scenario import MAX_NAME_LENGTH
from pacifictool.settings import KafkaEndpoint

RECORDS_PER_TASK: Final = 500_000
"""A backlog in one partition is read by several tasks, each of at most this many records."""
LIMITS: Final = (50_000, 20_000, 16_000_000)
"""What a task holds at most: pairs of window and group, invalid records, bytes of both. It stops early then."""
POLL_RECORDS: Final = "10000"
"""Kafka's own 500 cost a quarter of the processor time of reading. A poll holds what one fetch brought: 1 MB."""
FETCH_WAIT_MS: Final = "50"
"""How long the broker holds a fetch for which it has nothing yet. The fetch that a consumer sends ahead of time comes
before what it asks for: with Kafka's own 500 it holds up small batches by 0.1-0.2 s."""

_SOURCES: Final = [
    Path(__file__).with_name("java") / f"{name}.java"
    for name in ("RecordParser", "PartialAggregates", "PartitionReader", "BatchReader")
]
_PART = struct.Struct(">iqqqq")
_GROUP = struct.Struct(">qqqqH")
_INVALID = struct.Struct(">iqqii")


@dataclass(frozen=True, slots=True)
class Rules:
    """Which records count, and into which windows. docs/operations.md says what a valid record is."""

    window_ms: int
    zone_key: str
    value_key: str
    minimum: float
    maximum: float
    max_skew_ms: int = 60_000
    """How far a producer's timestamp may be ahead of the record's arrival."""

    @property
    def ahead_of_arrival(self) -> str:
        """The reason of records that come from the future, or whose arrival this machine's clock dates too early."""
        return f"timestamp more than {self.max_skew_ms / 1000:g} s ahead of its arrival"

    def reasons(self) -> tuple[str, ...]:
        """Why a record does not count, in the order of RecordParser.java and PartitionReader.java."""
        zone, value = self.zone_key, self.value_key
        return (
            "no value (a tombstone)",
            "empty",
            "not UTF-8",
            "not one valid JSON value",
            "not a JSON object",
            f"no {zone}",
            f"{zone} is not a text",
            f"{zone} holds control characters",
            f"{zone} is blank",
            f"{zone} is longer than {MAX_NAME_LENGTH} characters",
            f"no {value}",
            f"{value} is not a number",
            f"{value} is not within {self.minimum:.15g} and {self.maximum:.15g}",
            self.ahead_of_arrival,
            "too late: its window was closed for good",
        )


@dataclass(frozen=True, slots=True)
class BatchContext:
    """What the driver knows when a batch is read; all in milliseconds since the epoch."""

    closed_until_ms: int
    """Windows that end at or before this take no more records."""
    arrived_ms: int
    """By then all records of the batch had arrived, by this machine's clock."""
    untimed_event_ms: int
    """Event time of records without timestamp."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch holds."""

    ranges: Sequence[OffsetRange]
    """What was read, a partition once. Shorter than what was asked for where a task held too much."""
    sums: Sequence[PartialSum]
    """Each window and zone once."""
    invalid: Sequence[InvalidRecord]
    newest_ms: Mapping[int, int]
    """By partition: the newest event time among the records that count, never ahead of their arrival."""
    without_timestamp: int
    """How many of the records that count have no timestamp."""


class BatchReader:
    """Reads batches of one topic by one set of rules."""

    def __init__(self, runtime: SparkRuntime, endpoint: KafkaEndpoint, topic: str, rules: Rules) -> None:
        """Raises SettingsError for Kafka properties that cannot be used."""
        self._runtime = runtime
        self._topic = topic
        self._rules = rules
        self._reasons = rules.reasons()
        self._consumer = consumer_properties(endpoint)

    def read(self, ranges: Sequence[OffsetRange], context: BatchContext) -> BatchResult:
        """Reads the ranges. Raises Py4JError, or OSError when Spark's Java process is gone."""
        parts = [part for whole in ranges for part in whole.parts(RECORDS_PER_TASK)]
        self._runtime.add_java_sources(*_SOURCES)
        jvm, rules = self._runtime.jvm, self._rules
        engine = jvm.pacifictool.analytics.engine
        reader = engine.PartitionReader(
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
            self._array(
                jvm.long,
                [
                    context.closed_until_ms,
                    context.arrived_ms,
                    context.arrived_ms + rules.max_skew_ms,
                    context.untimed_event_ms,
                ],
            ),
            self._array(jvm.int, LIMITS),
        )
        return self._decoded(bytes(engine.BatchReader.read(self._runtime.java_context, reader)))

    def _array(self, kind: Any, values: Sequence[int]) -> Any:
        array = self._runtime.gateway.new_array(kind, len(values))
        for place, value in enumerate(values):
            array[place] = value
        return array

    def _decoded(self, data: bytes) -> BatchResult:
        """What BatchReader.java wrote."""
        (count,) = struct.unpack_from(">i", data)
        parts = list(_PART.iter_unpack(data[4 : (at := 4 + count * _PART.size)]))
        (count,) = struct.unpack_from(">i", data, at)
        groups = data[at + 4 : (at := at + 4 + count * _GROUP.size)]
        sums = []
        for window_end, number, high, low, size in _GROUP.iter_unpack(groups):
            zone = data[at : (at := at + size)].decode("utf-8")
            sums.append(PartialSum(zone, window_end, number, join_sum(high, low)))
        (count,) = struct.unpack_from(">i", data, at)
        rows = data[at + 4 : (at := at + 4 + count * _INVALID.size)]
        invalid = []
        for partition, offset, timestamp, reason, size in _INVALID.iter_unpack(rows):
            value = None if size < 0 else data[at : (at := at + size)]
            invalid.append(
                InvalidRecord(
                    self._topic, partition, offset, self._reasons[reason], timestamp if timestamp >= 0 else None, value
                )
            )
        return BatchResult(
            ranges=_joined(OffsetRange(partition, start, end) for partition, start, end, *_ in parts),
            sums=sums,
            invalid=invalid,
            newest_ms=_newest(parts),
            without_timestamp=sum(part[4] for part in parts),
        )


def consumer_properties(endpoint: KafkaEndpoint) -> dict[str, str]:
    """Properties of the consumers that read the topic. May hold secrets. Raises SettingsError."""
    ours = {
        "isolation.level": "read_committed",
        "max.poll.records": POLL_RECORDS,
        "fetch.max.wait.ms": FETCH_WAIT_MS,
        # A consumer has a single partition and counts a megabyte in milliseconds: 10 % of its time went into asking.
        "max.partition.fetch.bytes": "4194304",
    }
    managed = {
        "enable.auto.commit": "false",
        # Records that are gone must be noticed.
        "auto.offset.reset": "none",
    }
    given = java_properties(endpoint)
    for name in ("group.id", "key.deserializer", "value.deserializer"):
        given.pop(name, None)
    return ours | given | managed


def _joined(parts: Any) -> list[OffsetRange]:
    """The ranges of each partition, which follow one another, as one."""
    whole: dict[int, OffsetRange] = {}
    for part in parts:
        start = whole[part.partition].start if part.partition in whole else part.start
        whole[part.partition] = OffsetRange(part.partition, start, part.end)
    return [each for each in whole.values() if each.records]


def _newest(parts: Sequence[tuple[int, ...]]) -> dict[int, int]:
    newest: dict[int, int] = {}
    for partition, _start, _end, event_ms, _without in parts:
        if event_ms >= 0:
            newest[partition] = max(event_ms, newest.get(partition, event_ms))
    return newest
