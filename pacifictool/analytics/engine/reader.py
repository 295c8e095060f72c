"""Reads a batch: ranges of the topic, classified and summed on the executors by the Java in java/.

Spark gives the ranges to its executors, repeats what fails and brings the results together. Each record is read once
and classified once, by RecordParser.java. Like the code that Spark makes of a query, the Java is compiled when it is
first needed, by the same compiler, which is among Spark's jars: there is nothing to build or to install.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import accumulate, pairwise, repeat
from typing import Any, Final

from pacifictool.analytics.engine.aggregates import StateLayout
from pacifictool.analytics.engine.java_rules import RulesInJava
from pacifictool.analytics.engine.java_source import java_files
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.engine.spark import SparkRuntime
from pacifictool.analytics.state.queries import InvalidRecord, OffsetRange, WindowPlace
from pacifictool.analytics.windows import PartialAggregate, window_ends
from pacifictool.kafka.config import java_properties
from pacifictool.scenario import Analytics
from pacifictool.settings import KafkaEndpoint

RECORDS_PER_TASK: Final = 500_000
"""A backlog in one partition is read by several tasks, each of at most this many records."""
RANGES_PER_TASK: Final = 8
"""Where there are more partitions than threads, a task reads several of them, because the partial aggregates of a group
are then added up where they arise. No more than about this many: what a task holds grows with them."""
LIMITS: Final = (50_000, 20_000, 16_000_000)
"""What a task holds of a range at most: pairs of window and group, invalid records, bytes of both. Then it stops."""
POLL_RECORDS: Final = "10000"
"""Kafka's own 500 cost a quarter of the processor time of reading. A poll holds what one fetch brought: 1 MB."""
FETCH_WAIT_MS: Final = "50"
"""How long the broker holds a fetch for which it has nothing yet. The fetch that a consumer sends ahead of time comes
before what it asks for: with Kafka's own 500 it holds up small batches by 0.1-0.2 s."""

SOURCES: Final = java_files(
    "Reason", "RecordRules", "Texts", "RecordParser", "AnalyticsSpec", "RecordClassifier", "TopicRange", "GroupName",
    "ValueCounts", "GroupAggregate", "PartialAggregates", "PartitionReader", "BatchReader",
)  # fmt: skip
_PART = struct.Struct(">iqq?qqq")
"""As PartitionReader.java writes it: partition, start, end, whether that is before what was asked for; newest event
time, records without timestamp, valid records."""
_INT = struct.Struct(">i")
_INVALID = struct.Struct(">iqqii")
_SPAN = struct.Struct(">iiqqq")

_Slides = tuple[Sequence[str], Sequence[int], Sequence[int], Sequence[bytes]]
"""Columns: group, end of the slide, number of records, state."""


@dataclass(frozen=True, slots=True)
class BatchContext:
    """What the driver knows when a batch is read; all in milliseconds since the epoch."""

    closed_until_ms: Mapping[str, int]
    """By analytics: windows that end at or before this take no more records."""
    arrived_ms: int
    """By then all records of the batch had arrived, by this machine's clock."""
    untimed_event_ms: int
    """Event time of records without timestamp."""


@dataclass(frozen=True, slots=True)
class BatchContents:
    """What the records of a batch give."""

    partials: Sequence[PartialAggregate]
    """Each window and group of an analytics once."""
    invalid: Sequence[InvalidRecord]
    spans: Mapping[WindowPlace, OffsetRange]
    """By window and partition: where its records lie."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """How far a batch was read, and what it holds."""

    ranges: Sequence[OffsetRange]
    """What was read, a partition once. Shorter than what was asked for where a task held too much."""
    valid: int
    """Number of records without any fault."""
    newest_ms: Mapping[int, int]
    """By partition: the newest event time among the records that count, never ahead of their arrival."""
    without_timestamp: int
    """How many of the records that count have no timestamp."""
    contents: Callable[[], BatchContents]
    """Decodes the contents, which takes a while for many groups."""


class BatchReader:
    """Reads batches of one topic by one set of rules."""

    def __init__(self, runtime: SparkRuntime, endpoint: KafkaEndpoint, topic: str, rules: RecordRules) -> None:
        """Raises SettingsError for Kafka properties that cannot be used."""
        self._runtime = runtime
        self._topic = topic
        self._rules = rules
        self._layouts = [StateLayout(each) for each in rules.analytics]
        self._consumer = consumer_properties(endpoint)
        self._in_java = RulesInJava(runtime, rules)

    def read(self, ranges: Sequence[OffsetRange], context: BatchContext) -> BatchResult:
        """Reads the ranges. Raises Py4JError, or OSError when Spark's Java process is gone."""
        parts = [part for whole in ranges for part in whole.parts(RECORDS_PER_TASK)]
        self._runtime.add_java_sources(*SOURCES)
        in_java, engine = self._in_java, self._runtime.jvm.pacifictool.analytics.engine
        reader = engine.PartitionReader(
            self._consumer,
            self._topic,
            in_java.ints([part.partition for part in parts]),
            in_java.longs([part.start for part in parts]),
            in_java.longs([part.end for part in parts]),
            in_java.records,
            in_java.specs,
            in_java.longs([context.closed_until_ms.get(each.name, 0) for each in self._rules.analytics]),
            in_java.longs([context.arrived_ms, self._rules.forwarding.max_skew_ms, context.untimed_event_ms]),
            in_java.ints(task_limits(self._rules.analytics)),
        )
        spark = self._runtime.ready_context
        if spark is None:
            threads = self._runtime.threads
            data: bytes = engine.BatchReader.readHere(reader, in_java.int_lists(tasks(parts, threads)), threads)
        else:
            slots = int(spark.defaultParallelism())
            data = engine.BatchReader.read(spark, reader, in_java.int_lists(tasks(parts, slots)))
        return self._decoded(data, context)

    def _decoded(self, data: bytes, context: BatchContext) -> BatchResult:
        """What BatchReader.java wrote."""
        (count,) = _INT.unpack_from(data)
        parts = list(_PART.iter_unpack(data[_INT.size : (at := _INT.size + count * _PART.size)]))
        return BatchResult(
            ranges=_joined(OffsetRange(partition, start, end) for partition, start, end, *_ in parts),
            valid=sum(part[-1] for part in parts),
            newest_ms=_newest(parts),
            without_timestamp=sum(part[-2] for part in parts),
            contents=lambda: self._contents(data, at, context),
        )

    def _contents(self, data: bytes, at: int, context: BatchContext) -> BatchContents:
        partials, at = self._partials(data, at, context)
        (count,) = _INT.unpack_from(data, at)
        rows = data[at + _INT.size : (at := at + _INT.size + count * _INVALID.size)]
        reasons: dict[int, str] = {}
        invalid = []
        for partition, offset, timestamp, code, size in _INVALID.iter_unpack(rows):
            value = None if size < 0 else data[at : (at := at + size)]
            reason = reasons.get(code) or reasons.setdefault(code, self._rules.reason(code))
            known_ms = timestamp if timestamp >= 0 else None
            invalid.append(InvalidRecord(self._topic, partition, offset, reason, known_ms, value))
        return BatchContents(partials, invalid, self._spans(data[at:], context))

    def _partials(self, data: bytes, at: int, context: BatchContext) -> tuple[list[PartialAggregate], int]:
        """What each window gets, and where in `data` it ends."""
        partials: list[PartialAggregate] = []
        for analytics, layout in zip(self._rules.analytics, self._layouts, strict=True):
            slides, at = _slides(data, at)
            if analytics.slide_ms == analytics.window_ms:
                partials += map(PartialAggregate._make, zip(repeat(analytics.name), *slides, strict=False))
            else:
                partials += _windows(analytics, layout, slides, context.closed_until_ms.get(analytics.name, 0))
        return partials, at

    def _spans(self, data: bytes, context: BatchContext) -> dict[WindowPlace, OffsetRange]:
        """Where in each partition the records of a window lie."""
        spans: dict[WindowPlace, OffsetRange] = {}
        for index, partition, slide_end, start, end in _SPAN.iter_unpack(data):
            analytics = self._rules.analytics[index]
            closed_ms = context.closed_until_ms.get(analytics.name, 0)
            for window_end in window_ends(analytics, slide_end, after_ms=closed_ms):
                place = (analytics.name, window_end, partition)
                known = spans.get(place, OffsetRange(partition, start, end))
                spans[place] = OffsetRange(partition, min(start, known.start), max(end, known.end))
        return spans


def _slides(data: bytes, at: int) -> tuple[_Slides, int]:
    """The groups of one analytics by slide, as GroupAggregate.java wrote them, and where in `data` they end."""
    (count,) = _INT.unpack_from(data, at)
    numbers = struct.Struct(f">{count}q{count}q{count}ii")
    values = numbers.unpack_from(data, at + 4)
    at += 4 + numbers.size
    names = data[at : (at := at + values[-1])].decode("utf-8").split("\0")[:-1]
    sizes = values[2 * count : -1]
    ends = list(accumulate(sizes, initial=at))
    states = [data[start:end] for start, end in pairwise(ends)]
    return (names, values[:count], values[count : 2 * count], states), ends[-1]


def _windows(analytics: Analytics, layout: StateLayout, slides: _Slides, closed_ms: int) -> Iterable[PartialAggregate]:
    """Sliding windows: the records of a slide count in all its windows."""
    windows: dict[tuple[int, str], PartialAggregate] = {}
    for group, slide_end, count, state in zip(*slides, strict=True):
        for end in window_ends(analytics, slide_end, after_ms=closed_ms):
            before = windows.get((end, group))
            if before is None:
                windows[end, group] = PartialAggregate(analytics.name, group, end, count, state)
            else:
                merged = layout.merge(before.state, state)
                windows[end, group] = PartialAggregate(analytics.name, group, end, before.count + count, merged)
    return windows.values()


def tasks(parts: Sequence[OffsetRange], slots: int) -> list[list[int]]:
    """Which parts, by their numbers, are read by one task: as many tasks as `slots`, of about the same size.

    All parts of a partition are in one task, in their order, or each has a task of its own: BatchReader.java leaves out
    what lies behind a part that was not read to its end.
    """
    by_partition: dict[int, list[int]] = {}
    for number, part in enumerate(parts):
        by_partition.setdefault(part.partition, []).append(number)
    if len(by_partition) <= slots:
        return [[number] for number in range(len(parts))]
    number_of_tasks = max(slots, -(-len(by_partition) // RANGES_PER_TASK))
    found: list[list[int]] = [[] for _ in range(number_of_tasks)]
    smallest = [(0, task) for task in range(number_of_tasks)]
    sizes = {partition: sum(parts[number].records for number in own) for partition, own in by_partition.items()}
    for partition in sorted(sizes, key=lambda each: (-sizes[each], each)):
        size, task = heappop(smallest)
        found[task] += by_partition[partition]
        heappush(smallest, (size + sizes[partition], task))
    return found


def task_limits(analytics: Sequence[Analytics]) -> tuple[int, ...]:
    """`LIMITS` in terms of what a task holds: groups of a slide, each of which is in all windows of the slide."""
    pairs, *more = LIMITS
    return (max(1, pairs // max(each.window_ms // each.slide_ms for each in analytics)), *more)


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
    """The ranges of each partition, which follow one another, as one; in the order of partitions."""
    whole: dict[int, OffsetRange] = {}
    for part in parts:
        start = whole[part.partition].start if part.partition in whole else part.start
        whole[part.partition] = OffsetRange(part.partition, start, part.end)
    return [whole[partition] for partition in sorted(whole) if whole[partition].records]


def _newest(parts: Sequence[tuple[int, ...]]) -> dict[int, int]:
    newest: dict[int, int] = {}
    for partition, _start, _end, _stopped_early, event_ms, *_ in parts:
        if event_ms >= 0:
            newest[partition] = max(event_ms, newest.get(partition, event_ms))
    return newest
