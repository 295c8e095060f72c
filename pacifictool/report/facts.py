"""The facts of a report as plain data. Times are ms since the epoch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from pacifictool.rest import EntityAlarm
from pacifictool.scenario.names import common_word

RELATIVE_TOLERANCE = 1e-9
"""Sums in the job are exact to 1e-9; the relative error of a double is about 1e-16."""


@dataclass(frozen=True, slots=True)
class Band:
    """The range of one device's values: low <= value <= high."""

    device: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """One result of one window of one group."""

    end_ms: int
    value: float | None
    """The value on the platform; None: not posted (yet)."""
    readings: int
    """Valid records in the topic."""
    lowest: float | None
    highest: float | None
    """Of the readings; None where they are not comparable with the result."""
    topic_value: float | None
    """The same result of these records, computed without the job."""
    tolerance: float = RELATIVE_TOLERANCE
    """How far the two may differ, relative to their size: more for sketches."""

    @property
    def agrees(self) -> bool:
        """Whether the values of platform and topic are equal."""
        if self.value is None or self.topic_value is None:
            return self.value is self.topic_value
        return math.isclose(self.value, self.topic_value, rel_tol=self.tolerance, abs_tol=RELATIVE_TOLERANCE)


@dataclass(frozen=True, slots=True)
class Series:
    """One result of a group: its windows, oldest first, and the ranges of its devices by the scenario."""

    key: str
    title: str
    """With the unit: "temperature (°C)"."""
    bands: tuple[Band, ...]
    windows: tuple[WindowFacts, ...]
    is_recomputed: bool = True
    """Whether the results are computed once more from the topic's records; a function of the user's is not called."""


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """A group, by the name of its entity."""

    name: str
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class AnalyticsFacts:
    """The groups of one analytics."""

    name: str
    group: str
    """What a person calls a group, such as "zone"; and several."""
    groups_word: str
    result: str
    """What a person calls a result, such as "mean"; and several."""
    results_word: str
    window_ms: int
    slide_ms: int
    groups: tuple[GroupFacts, ...]
    groups_left_out: int

    @property
    def has_several_keys(self) -> bool:
        return any(len(group.series) > 1 for group in self.groups)

    def all_series(self) -> Iterator[Series]:
        for group in self.groups:
            yield from group.series

    def differing(self) -> Iterator[tuple[GroupFacts, Series, WindowFacts]]:
        """The results on the platform that differ from those of the topic's records."""
        for group in self.groups:
            for series in group.series:
                for window in series.windows:
                    if series.is_recomputed and window.value is not None and not window.agrees:
                        yield group, series, window

    def rate(self, window: WindowFacts) -> float:
        """Readings per second."""
        return window.readings / (self.window_ms / 1000)


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of the job, and how long its records had been in the topic when it was done."""

    done_ms: int
    records: int
    median_wait_seconds: float
    longest_wait_seconds: float


@dataclass(frozen=True, slots=True)
class InvalidRecords:
    """Records of one span of time that the job could not use, for one reason."""

    end_ms: int
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Job:
    """What was read from the job's folder."""

    folder: str
    target: str
    running: bool
    lag: int
    """Records in the topic that are not counted yet."""
    batches: tuple[Batch, ...]
    """The batches that the job still has notes of, oldest first."""
    rejects: tuple[InvalidRecords, ...]
    skipped_until_ms: int | None = None
    """Time of the newest record that the job was not to count, as it came before its start; None without any."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A whole report."""

    server: str
    topic: str
    begin_ms: int
    end_ms: int
    """End of the time that the report covers."""
    readings: int
    """Records of the topic that count in any of the groups shown."""
    analytics: tuple[AnalyticsFacts, ...]
    job: Job | None
    """None: no job has run with these settings on this machine."""
    alarms: tuple[EntityAlarm, ...] = ()
    """Those of the entities shown that are active at the end, the most urgent first."""

    @property
    def step_ms(self) -> int:
        """The shortest time between two windows; invalid records are counted in such steps."""
        return min(each.slide_ms for each in self.analytics)

    @property
    def first_ms(self) -> int:
        """The start of the first window that there is."""
        return min(
            window.end_ms - each.window_ms
            for each in self.analytics
            for series in each.all_series()
            for window in series.windows
        )

    @property
    def last_ms(self) -> int:
        """The end of the last window that there is."""
        return max(window.end_ms for _, window in self.windows())

    def windows(self) -> Iterator[tuple[Series, WindowFacts]]:
        """All windows of all series."""
        for each in self.analytics:
            for series in each.all_series():
                for window in series.windows:
                    yield series, window

    @property
    def posted(self) -> int:
        """Values on the platform."""
        return sum(window.value is not None for _, window in self.windows())

    @property
    def compared(self) -> int:
        """Values on the platform that are computed once more from the topic."""
        return sum(window.value is not None and series.is_recomputed for series, window in self.windows())

    @property
    def agreeing(self) -> int:
        """Values on the platform that are equal to those of the topic."""
        return sum(
            window.value is not None and series.is_recomputed and window.agrees for series, window in self.windows()
        )

    @property
    def results_word(self) -> str:
        """What a person calls the results of all analytics."""
        return common_word((each.results_word for each in self.analytics), "results")

    @property
    def median_wait_seconds(self) -> float | None:
        """The median wait of a record, from the medians of the batches; None without batches."""
        batches = sorted(self.job.batches, key=lambda batch: batch.median_wait_seconds) if self.job is not None else []
        half = sum(batch.records for batch in batches) / 2
        for batch in batches:
            half -= batch.records
            if half <= 0:
                return batch.median_wait_seconds
        return None

    @property
    def invalid_by_reason(self) -> Counter[str]:
        reasons: Counter[str] = Counter()
        for entry in self.job.rejects if self.job is not None else ():
            reasons[entry.reason] += entry.count
        return reasons

    def as_document(self) -> dict[str, Any]:
        """For `--output json`."""
        return {
            **asdict(replace(self, alarms=())),
            "alarms": [alarm.as_document() for alarm in self.alarms],
            "posted": self.posted,
            "compared_with_topic": self.compared,
            "equal_to_topic": self.agreeing,
            "median_wait_seconds": self.median_wait_seconds,
            "rejects": dict(self.invalid_by_reason.most_common()),
        }
