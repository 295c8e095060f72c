"""The facts of a report as plain data. Times are ms since the epoch; the end of a window is its mean's timestamp."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

RELATIVE_TOLERANCE = 1e-9
"""Sums in the job are exact to 1e-9; the relative error of a double is about 1e-16."""


@dataclass(frozen=True, slots=True)
class Band:
    """The range of one turbine's values: low <= value <= high."""

    turbine: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Window:
    """One window of one zone."""

    end_ms: int
    mean: float | None
    """The mean on the platform; None: not posted (yet)."""
    readings: int
    """Valid records in the topic."""
    lowest: float | None
    highest: float | None
    topic_mean: float | None
    """The mean of these records, computed without the job."""

    @property
    def agrees(self) -> bool:
        """Whether the means of platform and topic are equal."""
        if self.mean is None or self.topic_mean is None:
            return self.mean is self.topic_mean
        return math.isclose(self.mean, self.topic_mean, rel_tol=RELATIVE_TOLERANCE)


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone's windows, oldest first, and its turbines by the scenario."""

    name: str
    bands: tuple[Band, ...]
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of the job, and how long its records had been in the topic when it was done."""

    done_ms: int
    records: int
    median_wait_seconds: float
    longest_wait_seconds: float


@dataclass(frozen=True, slots=True)
class InvalidRecords:
    """Records of one window that the job could not use, for one reason."""

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


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A whole report."""

    server: str
    topic: str
    value_key: str
    window_ms: int
    begin_ms: int
    end_ms: int
    """End of the time that the report covers."""
    zones: tuple[Zone, ...]
    zones_left_out: int
    job: Job | None
    """None: no job has run with these settings on this machine."""

    @property
    def window_ends_ms(self) -> list[int]:
        """Every window that any zone has, oldest first."""
        return sorted({window.end_ms for zone in self.zones for window in zone.windows})

    @property
    def readings(self) -> int:
        return sum(window.readings for zone in self.zones for window in zone.windows)

    @property
    def means(self) -> int:
        """Means on the platform."""
        return sum(window.mean is not None for zone in self.zones for window in zone.windows)

    @property
    def agreeing(self) -> int:
        """Means on the platform that are equal to those of the topic."""
        return sum(window.mean is not None and window.agrees for zone in self.zones for window in zone.windows)

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

    def rate(self, window: Window) -> float:
        """Readings per second."""
        return window.readings / (self.window_ms / 1000)

    def as_document(self) -> dict[str, Any]:
        """For `--output json`."""
        return {
            **asdict(self),
            "readings": self.readings,
            "means": self.means,
            "means_equal_to_topic": self.agreeing,
            "median_wait_seconds": self.median_wait_seconds,
            "rejects": dict(self.invalid_by_reason.most_common()),
        }
