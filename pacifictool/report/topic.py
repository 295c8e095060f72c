"""The topic's readings by group and window, and every result recomputed from them, without any code of the job."""

from __future__ import annotations

import json
import math
from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, variance
from typing import Any

from pacifictool.analytics.state.queries import CountedBatch
from pacifictool.kafka.records import Record
from pacifictool.report.facts import RELATIVE_TOLERANCE, Batch
from pacifictool.scenario import READING_TIME, Aggregate, Analytics, ForwardingConfig

SKETCH_TOLERANCE = 0.01
"""Of percentiles and distinct counts, which the job estimates where there are many different values."""


@dataclass(slots=True)
class Values:
    """The values of one key in order of arrival, with their event times."""

    values: array[float] = field(default_factory=lambda: array("d"))
    times_ms: array[float] = field(default_factory=lambda: array("d"))


@dataclass(slots=True)
class Readings:
    """The records of one group in one window, or in one slide of it."""

    count: int = 0
    by_key: dict[str, Values] = field(default_factory=lambda: defaultdict(Values))
    texts: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, other: Readings) -> None:
        """Adds the records of a later slide."""
        self.count += other.count
        for key, some in other.by_key.items():
            mine = self.by_key[key]
            mine.values.extend(some.values)
            mine.times_ms.extend(some.times_ms)
        for key, texts in other.texts.items():
            self.texts[key] |= texts

    def result(self, aggregate: Aggregate) -> float | None:
        """What the function gives of these records; None where it is not defined."""
        function, key = aggregate.function, aggregate.key
        if key is None:
            return self.count
        if function == "count_distinct":
            return len(self.texts[key]) if key in self.texts else len(set(self.by_key[key].values))
        some = self.by_key[key]
        values = some.values
        if function == "count":
            return len(values)
        if not values:
            return None
        if (percent := aggregate.percentile) is not None:
            return _percentile(sorted(values), percent)
        if function in ("variance", "stddev"):
            return _spread(values, function)
        if function in ("first", "last", "delta", "rate"):
            return _edge(some, function)
        total = math.fsum(values)
        low, high = min(values), max(values)
        return {"sum": total, "mean": total / len(values), "min": low, "max": high, "range": high - low}[function]

    def extent(self, key: str | None) -> tuple[float, float] | None:
        """Lowest and highest value of a key."""
        values = self.by_key[key].values if key is not None and key in self.by_key else ()
        return (min(values), max(values)) if values else None


def tolerance(aggregate: Aggregate) -> float:
    """How far the job's result may differ, relative to its size."""
    is_sketch = aggregate.percentile is not None or aggregate.function == "count_distinct"
    return SKETCH_TOLERANCE if is_sketch else RELATIVE_TOLERANCE


class TopicReadings:
    """The topic's readings of one analytics after another; and how long the records of each batch had waited."""

    def __init__(
        self,
        forwarding: ForwardingConfig,
        analytics: Sequence[Analytics],
        begin_ms: int,
        batches: Sequence[CountedBatch],
        starts: Mapping[int, int] | None = None,
    ) -> None:
        """`starts`: by partition, the first offset that the job was to count; by default the first there is."""
        self._forwarding = forwarding
        self._analytics = analytics
        self._begin_ms = begin_ms
        self.slides: dict[str, dict[tuple[str, ...], dict[int, Readings]]] = {
            each.name: defaultdict(lambda: defaultdict(Readings)) for each in analytics
        }
        """By name of the analytics, group, and start of the slide."""
        self._starts = starts or {}
        self.skipped_until_ms: int | None = None
        """Time of the newest reading before `starts`."""
        self._batches = batches
        self._waits = [array("d") for _ in batches]
        self._ranges: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        """By partition, in order: the end of a batch's range, its start, and the batch's index."""
        for index, batch in enumerate(batches):
            for part in batch.ranges:
                self._ranges[part.partition].append((part.end, part.start, index))

    def add(self, record: Record) -> None:
        if record.timestamp_ms is None or record.timestamp_ms < self._begin_ms:
            return
        self._add_wait(record)
        try:
            document = json.loads(record.value or b"")
        except ValueError:
            return  # the job keeps these as invalid records
        if not isinstance(document, dict):
            return
        event_ms = document.get(READING_TIME) if self._forwarding.event_time == "reading" else record.timestamp_ms
        numbers = {
            key: number
            for key in self._forwarding.telemetry
            if (number := self._number(key, document.get(key))) is not None
        }
        if numbers and isinstance(event_ms, int) and not isinstance(event_ms, bool):
            if record.offset < self._starts.get(record.partition, 0):
                self.skipped_until_ms = max(event_ms, self.skipped_until_ms or 0)
            for each in self._analytics:
                self._count(each, document, numbers, event_ms)

    def _count(self, analytics: Analytics, document: Mapping[str, Any], numbers: dict[str, float], ms: int) -> None:
        group = tuple(document.get(key) for key in analytics.group_by)
        aggregates = analytics.telemetry.values()
        counts_all = analytics.function is not None or any(each.counts_all for each in aggregates)
        if not all(isinstance(text, str) and text for text in group) or not (
            counts_all or any(each.key in numbers for each in aggregates)
        ):
            return
        readings = self.slides[analytics.name][group][ms // analytics.slide_ms * analytics.slide_ms]  # type: ignore[index]
        readings.count += 1
        for key, number in numbers.items():
            readings.by_key[key].values.append(number)
            readings.by_key[key].times_ms.append(ms)
        for each in aggregates:
            if each.function == "count_distinct" and isinstance(text := document.get(each.key or ""), str):
                readings.texts[each.key or ""].add(text)

    def _number(self, key: str, value: object) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return None
        if isinstance(value, str) and not self._forwarding.numbers_in_text:
            return None
        bounds = self._forwarding.bounds(key)
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return None
        return number if bounds.min <= number <= bounds.max else None

    def _add_wait(self, record: Record) -> None:
        ranges = self._ranges[record.partition]
        place = bisect_right(ranges, record.offset, key=lambda each: each[0])
        # Records before the oldest known batch belong to batches whose notes are deleted.
        if place < len(ranges) and ranges[place][1] <= record.offset and record.timestamp_ms is not None:
            index = ranges[place][2]
            self._waits[index].append((self._batches[index].done_ms - record.timestamp_ms) / 1000)

    def groups(self, analytics: Analytics) -> list[tuple[str, ...]]:
        """The groups that the topic has records of."""
        return sorted(self.slides[analytics.name])

    def windows(self, analytics: Analytics, group: tuple[str, ...]) -> Iterator[tuple[int, Readings]]:
        """The end of each whole window that has records, and these; oldest first."""
        slides = self.slides[analytics.name].get(group, {})
        slide_ms, window_ms = analytics.slide_ms, analytics.window_ms
        ends = sorted({start + step for start in slides for step in range(slide_ms, window_ms + 1, slide_ms)})
        for end_ms in ends:
            if end_ms - window_ms < self._begin_ms:
                continue  # its first records were not read
            readings = Readings()
            for start in range(end_ms - window_ms, end_ms, slide_ms):
                if start in slides:
                    readings.add(slides[start])
            yield end_ms, readings

    def batches(self) -> tuple[Batch, ...]:
        return tuple(
            Batch(batch.done_ms, len(waits), median(waits), max(waits))
            for batch, waits in zip(self._batches, self._waits, strict=True)
            if waits
        )


def _percentile(values: Sequence[float], percent: int) -> float:
    rank = (len(values) - 1) * percent / 100
    below = math.floor(rank)
    low, high = values[below], values[min(below + 1, len(values) - 1)]
    return low + (high - low) * (rank - below)


def _spread(values: Sequence[float], function: str) -> float | None:
    if len(values) < 2:
        return None
    return variance(values) if function == "variance" else math.sqrt(variance(values))


def _edge(some: Values, function: str) -> float | None:
    """By event time, then by arrival; the topic's partitions are read one after the other."""
    order = sorted(range(len(some.values)), key=lambda index: some.times_ms[index])
    first, last = order[0], order[-1]
    if function in ("first", "last"):
        return some.values[first if function == "first" else last]
    delta, span_ms = some.values[last] - some.values[first], some.times_ms[last] - some.times_ms[first]
    if function == "delta":
        return delta
    return delta * 1000 / span_ms if span_ms > 0 else None
