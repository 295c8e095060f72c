"""Collects the facts of a report: means, readings, batches and invalid records of a run."""

from __future__ import annotations

import json
import math
from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import time

from pacifictool.analytics.state.queries import CountedBatch
from pacifictool.analytics.state.reader import JobView
from pacifictool.errors import ChecksFailed
from pacifictool.kafka.records import Record, read_records
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.models.config import (
    ConstantModel,
    NormalModel,
    ReplayModel,
    SineModel,
    UniformModel,
    Wind,
    read_column,
)
from pacifictool.progress import SILENT, Reporter
from pacifictool.report.facts import Band, Batch, InvalidRecords, Job, RunFacts, Window, Zone
from pacifictool.rest import Asset, Device, Platform
from pacifictool.scenario import Scenario, Turbine
from pacifictool.settings import KafkaEndpoint

MAX_ZONES = 12
"""Default number of zones in a report; `zones` chooses others."""
_DEVIATIONS = 3
"""How many standard deviations of noise a band includes."""


def collect(
    platform: Platform,
    kafka: KafkaEndpoint,
    scenario: Scenario,
    *,
    job_folder: Path,
    last_seconds: float,
    zones: Sequence[str] = (),
    reporter: Reporter = SILENT,
) -> RunFacts:
    """The facts of the last `last_seconds`, from the start of a window; `zones` to show (empty: the first).

    Raises PlatformError and KafkaError when server or topic cannot be read, AggregationError for a damaged job
    folder, and ChecksFailed when there is nothing to show. A folder without a job is not an error.
    """
    view = JobView.open(job_folder)
    try:
        window_ms = scenario.aggregation.window_ms if view is None else view.identity.window_ms
        now_ms = round(time() * 1000)
        begin_ms = (now_ms - round(last_seconds * 1000)) // window_ms * window_ms
        batches = [] if view is None else view.batches()
        topic = _Topic(scenario.aggregation.zone_key, scenario.aggregation.value_key, window_ms, begin_ms, batches)
        admin = KafkaAdmin(kafka)
        ends = admin.offsets(scenario.kafka.topic)
        with reporter.task("Reading the topic", unit="records") as task:
            starts = admin.offsets(scenario.kafka.topic, at=begin_ms)
            for record in read_records(kafka, scenario.kafka.topic, start=starts, end=ends):
                topic.add(record)
                task.advance()
        known = list(dict.fromkeys([*scenario.zones, *sorted(topic.zones)]))
        shown = list(zones) or known[:MAX_ZONES]
        found = []
        with reporter.task("Reading the means", total=len(shown), unit="zones") as task:
            for name in shown:
                means = _means(platform, name, scenario.aggregation.value_key, begin_ms, now_ms + window_ms)
                turbines = [turbine for turbine in scenario.turbines if turbine.zone == name]
                found.append(Zone(name, bands_of(turbines), topic.windows(name, means)))
                task.advance()
        if not any(zone.windows for zone in found):
            raise ChecksFailed(
                f"Neither the topic {scenario.kafka.topic} nor the platform has data of this time.",
                hint="Run `pacifictool simulate` first, or choose a longer time with --last.",
            )
        return RunFacts(
            server=platform.url,
            topic=scenario.kafka.topic,
            value_key=scenario.aggregation.value_key,
            window_ms=window_ms,
            begin_ms=begin_ms,
            end_ms=now_ms,
            zones=tuple(found),
            zones_left_out=len(set(known) - set(shown)),
            job=None if view is None else _job(view, topic, ends, begin_ms),
        )
    finally:
        if view is not None:
            view.close()


def _means(platform: Platform, zone: str, key: str, begin_ms: int, end_ms: int) -> dict[int, float]:
    """By window end: the means of the zone's asset, or of its virtual device (`aggregate --sink gateway`)."""
    entity: Asset | Device | None = platform.assets.find(zone) or platform.devices.find(zone)
    if entity is None:
        return {}
    points = platform.telemetry.range(entity, key, begin_ms + 1, end_ms + 1)
    return {point.ts_ms: float(point.value) for point in points if isinstance(point.value, int | float)}


@dataclass
class _Readings:
    count: int = 0
    lowest: float = math.inf
    highest: float = -math.inf
    values: array[float] = field(default_factory=lambda: array("d"))

    def add(self, value: float) -> None:
        self.count += 1
        self.lowest, self.highest = min(self.lowest, value), max(self.highest, value)
        self.values.append(value)


class _Topic:
    """The topic's readings by window; and, for each batch of the job, how long its records had waited."""

    def __init__(
        self, zone_key: str, value_key: str, window_ms: int, begin_ms: int, batches: Sequence[CountedBatch]
    ) -> None:
        self._zone_key, self._value_key = zone_key, value_key
        self._window_ms, self._begin_ms = window_ms, begin_ms
        self.zones: dict[str, dict[int, _Readings]] = defaultdict(lambda: defaultdict(_Readings))
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
        ranges = self._ranges[record.partition]
        place = bisect_right(ranges, record.offset, key=lambda each: each[0])
        # Records before the oldest known batch belong to batches whose notes are deleted.
        if place < len(ranges) and ranges[place][1] <= record.offset:
            index = ranges[place][2]
            self._waits[index].append((self._batches[index].done_ms - record.timestamp_ms) / 1000)
        try:
            document = json.loads(record.value or b"")
            zone, value = document[self._zone_key], float(document[self._value_key])
        except (ValueError, KeyError, TypeError):
            return  # the job keeps these as invalid records
        if isinstance(zone, str) and math.isfinite(value):
            self.zones[zone][(record.timestamp_ms // self._window_ms + 1) * self._window_ms].add(value)

    def windows(self, zone: str, means: Mapping[int, float]) -> tuple[Window, ...]:
        readings = self.zones.get(zone, {})
        found = []
        for end in sorted(readings.keys() | means.keys()):
            some = readings.get(end)
            if some is None:
                found.append(Window(end, means.get(end), 0, None, None, None))
            else:
                mean = math.fsum(some.values) / some.count
                found.append(Window(end, means.get(end), some.count, some.lowest, some.highest, mean))
        return tuple(found)

    def batches(self) -> tuple[Batch, ...]:
        return tuple(
            Batch(batch.done_ms, len(waits), median(waits), max(waits))
            for batch, waits in zip(self._batches, self._waits, strict=True)
            if waits
        )


def _job(view: JobView, topic: _Topic, ends: Mapping[int, int], begin_ms: int) -> Job:
    window_ms = view.identity.window_ms
    counts: Counter[tuple[int, str]] = Counter()
    for record in view.invalid_records():
        if record.timestamp_ms is not None and record.timestamp_ms >= begin_ms:
            counts[(record.timestamp_ms // window_ms + 1) * window_ms, record.reason] += 1
    return Job(
        folder=str(view.folder),
        target=view.identity.target,
        running=view.is_running,
        lag=sum(max(0, end - (view.counted_until(part) or view.starts_at(part))) for part, end in ends.items()),
        batches=topic.batches(),
        rejects=tuple(InvalidRecords(end, reason, count) for (end, reason), count in sorted(counts.items())),
    )


def bands_of(turbines: Iterable[Turbine]) -> tuple[Band, ...]:
    """One band per turbine. Turbines with the same range share one band, named after the first."""
    names: dict[tuple[float, float], list[str]] = {}
    for turbine in turbines:
        names.setdefault(range_of(turbine.wind_speed), []).append(turbine.name)
    return tuple(
        Band(turbine[0] if len(turbine) == 1 else f"{turbine[0]} and {len(turbine) - 1} more", low, high)
        for (low, high), turbine in names.items()
    )


def range_of(wind: Wind) -> tuple[float, float]:
    """The lowest and highest value, both included; of unlimited noise, three standard deviations."""
    if isinstance(wind, UniformModel):
        return wind.min, wind.max
    if isinstance(wind, ConstantModel):
        return wind.value, wind.value
    if isinstance(wind, ReplayModel):
        values = read_column(wind.file, wind.column)
        return min(values), max(values)
    low, high = wind.min, wind.max
    if isinstance(wind, NormalModel):
        spread = _DEVIATIONS * wind.deviation
    elif isinstance(wind, SineModel):
        spread = wind.amplitude + _DEVIATIONS * wind.noise
    else:
        return low, high
    return max(low, min(high, wind.mean - spread)), max(low, min(high, wind.mean + spread))
