"""What a running job shows, and what it says at the end."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from pacifictool.analytics.batches import BatchReport
from pacifictool.analytics.state.queries import InvalidRecord, StateQueries
from pacifictool.analytics.state.schema import INVALID
from pacifictool.analytics.windows import WindowResult

_RATE_SECONDS = 10.0
BATCH_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the buckets for how long a batch took."""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """A look at the running job."""

    seconds: float
    """Since the start of the job."""
    phase: str
    """"starting", "waiting for the topic", "running", "waiting for Kafka", "stopping"."""
    batches: int
    records: int
    records_per_second: float
    """Over the last ten seconds."""
    rejected: int
    last_invalid: InvalidRecord | None
    open_windows: int
    """(Window, group) pairs whose value the platform does not have yet."""
    posted: int
    last_posted: tuple[WindowResult, ...]
    lag: int | None
    """Records in the topic that are not counted yet; None: not known."""
    delivery_failure: str | None
    """Why results, or alarms, are not delivered at the moment."""
    function_failures: int = 0
    """Windows for which a function gave no results."""
    last_function_failure: str | None = None
    alarms: int = 0
    """Alarms that are active at present."""
    gained: Mapping[str, int] = field(default_factory=dict)
    """Counters of the state store (see StateQueries.counters), as far as they have grown since the start."""
    failed_attempts: int = 0
    """Attempts to deliver results or alarms that failed."""
    delivered_at: float | None = None
    """When the target last accepted results, in seconds since the epoch; None: not since the start."""
    state_bytes: int = 0
    """Size of the state store's files."""

    @property
    def invalid(self) -> dict[str, int]:
        """Number of invalid records by reason."""
        return invalid_by_reason(self.gained)


@dataclass(frozen=True, slots=True)
class JobSummary:
    """What one run did."""

    checkpoint: str
    seconds: float
    batches: int
    records: int
    valid: int
    rejects: dict[str, int]
    """Number by reason."""
    windows_posted: int
    """Results that were acknowledged, corrections included."""
    corrections: int
    """Results that replaced an earlier value of the same window."""
    refused: int
    """Results that the platform will never take."""
    open_windows: int
    """(Window, group) pairs whose value is left for the next start."""
    function_failures: int
    """Windows for which a function gave no results."""
    last_function_failure: str | None
    function_missing_records: int
    """Records of windows that did not reach the function, because they could not be read again."""
    alarms_raised: int
    alarms_cleared: int
    alarms_refused: int
    """Alarms that the platform will never take as they are wanted."""
    alarms_active: int
    """Alarms that are active in the end."""
    alarms_waiting: int
    """Changes of alarms that are left for the next start."""
    lag: int | None
    stopped_by: str
    """"stop", "duration" or "end of topic"."""

    def as_document(self) -> dict[str, Any]:
        """For `--output json`."""
        return asdict(self)


@dataclass(slots=True)
class BatchDurations:
    """How long batches took, as a histogram."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BATCH_SECONDS) + 1))
    """By bucket, the one beyond the last bound at the end."""
    total: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BATCH_SECONDS, seconds)] += 1
        self.total += seconds


@dataclass
class Tracker:
    """Collects the facts behind JobProgress and JobSummary. Thread-safe."""

    started_at: float = field(default_factory=time.monotonic)
    reading_since: float | None = None
    """When the job first looked at the topic."""
    phase: str = "starting"
    batches: int = 0
    records: int = 0
    valid: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    last_invalid: InvalidRecord | None = None
    applied: dict[int, int] = field(default_factory=dict)
    """By partition: the offset up to which the topic is counted."""
    topic_ends: Mapping[int, int] | None = None
    failure: str | None = None
    """Why nothing can be counted at the moment."""
    idle: str | None = None
    """Why nobody works on what is to be counted."""
    durations: BatchDurations = field(default_factory=BatchDurations)
    looked_at: float | None = None
    """When Kafka last said where the topic ends, in seconds since the epoch."""
    counted_at: float | None = None
    """When a batch was last applied, in seconds since the epoch."""
    active_at: float = field(default_factory=time.monotonic)
    """When the job last looked at the topic or applied a batch; by the monotonic clock."""
    _recent: deque[tuple[float, int]] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, report: BatchReport) -> None:
        with self._lock:
            self.batches += 1
            self.records += report.records
            self.valid += report.valid
            self.rejected.update(report.invalid)
            self.last_invalid = report.last_invalid or self.last_invalid
            self.applied = dict(report.ends)
            self.durations.add(report.seconds)
            self.counted_at, self.active_at = time.time(), time.monotonic()
            self._recent.append((time.monotonic(), report.records))
            self._forget_old(time.monotonic())

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started_at

    @property
    def reading_seconds(self) -> float:
        """Since the job first looked at the topic: Spark's start does not count."""
        return 0.0 if self.reading_since is None else time.monotonic() - self.reading_since

    def looked(self, ends: Mapping[int, int] | None, failure: str | None = None) -> None:
        """Notes where the topic ends; None: Kafka does not respond, for the reason `failure`."""
        self.reading_since = self.reading_since or time.monotonic()
        self.topic_ends = ends
        self.failure = failure
        self.active_at = time.monotonic()
        if ends is not None:
            self.looked_at = time.time()
        if self.phase != "stopping":
            self.phase = "running" if ends is not None else "waiting for Kafka"

    @property
    def records_per_second(self) -> float:
        now = time.monotonic()
        with self._lock:
            self._forget_old(now)
            return sum(records for _, records in self._recent) / max(1e-3, min(_RATE_SECONDS, now - self.started_at))

    def _forget_old(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - _RATE_SECONDS:
            self._recent.popleft()

    def counted_before(self, offsets: Mapping[int, int]) -> None:
        """Notes from where the job goes on, by partition, so that its lag is known before its first batch."""
        with self._lock:
            self.applied = dict(offsets)

    def failed(self, failure: str | None) -> None:
        """Notes why the job cannot start to count; None: it can."""
        self.failure = failure

    @property
    def lag(self) -> int | None:
        by_partition = self.lag_by_partition
        return sum(by_partition.values()) if by_partition else None

    @property
    def lag_by_partition(self) -> dict[int, int]:
        """Records that are not counted yet; empty when that is not known."""
        with self._lock:
            if self.topic_ends is None or not self.applied:
                return {}
            return {part: max(0, end - self.applied.get(part, 0)) for part, end in sorted(self.topic_ends.items())}


def gained_since(store: StateQueries, before: Mapping[str, int]) -> dict[str, int]:
    """How much the store's counters have grown since they were `before`."""
    return {name: value - before.get(name, 0) for name, value in store.counters().items()}


def invalid_by_reason(gained: Mapping[str, int]) -> dict[str, int]:
    """Of counters of the store, those of invalid records."""
    return {
        name.removeprefix(INVALID): number for name, number in gained.items() if name.startswith(INVALID) and number
    }


def summary_of(
    store: StateQueries, before: Mapping[str, int], tracker: Tracker, *, folder: Path, stopped_by: str
) -> JobSummary:
    """What a run did. `before`: the store's counters when it began."""
    gained = gained_since(store, before)
    invalid = invalid_by_reason(gained)
    valid, failures = gained.get("valid", 0), gained.get("function_failures", 0)
    alarms = store.alarm_counts()
    return JobSummary(
        checkpoint=str(folder),
        seconds=round(tracker.seconds, 3),
        batches=gained.get("batches", 0),
        records=valid + sum(invalid.values()),
        valid=valid,
        rejects=invalid,
        windows_posted=gained.get("posted", 0),
        corrections=gained.get("corrections", 0),
        refused=gained.get("refused", 0),
        open_windows=store.due_windows(),
        function_failures=failures,
        last_function_failure=store.function_failures(newest=1)[0].failure if failures else None,
        function_missing_records=gained.get("function_missing_records", 0),
        alarms_raised=gained.get("alarms_raised", 0),
        alarms_cleared=gained.get("alarms_cleared", 0),
        alarms_refused=gained.get("alarms_refused", 0),
        alarms_active=alarms.active,
        alarms_waiting=alarms.waiting,
        lag=tracker.lag,
        stopped_by=stopped_by,
    )
