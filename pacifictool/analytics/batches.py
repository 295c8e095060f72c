"""What happens to each batch: it is planned, read by Spark, and applied to the state store.

While a batch of a backlog is applied, which is Python's work, the JVM reads the next one.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from pacifictool.analytics.engine.reader import BatchContext, BatchReader, BatchResult
from pacifictool.analytics.event_time import Completeness, EventClock, counted_until
from pacifictool.analytics.planner import BatchPlan, Planner
from pacifictool.analytics.state.queries import InvalidRecord
from pacifictool.analytics.state.store import BatchOutcome, StateStore
from pacifictool.analytics.windows import arrival_without_timestamp_ms
from pacifictool.errors import PacificToolError
from pacifictool.tools.threads import start_thread


class BatchStopped(Exception):
    """The job is stopping: the batch is not applied, and the next start reads it again."""


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of one batch."""

    number: int
    records: int
    valid: int
    invalid: Mapping[str, int]
    """Number of invalid records by reason."""
    last_invalid: InvalidRecord | None
    without_timestamp: bool
    """Whether some valid records had no timestamp."""
    ends: Mapping[int, int] = field(default_factory=dict)
    """By partition: the offset up to which the topic is counted."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Reading:
    """A batch that is read when its result is asked for, or has been since it was planned."""

    plan: BatchPlan
    result: Callable[[], BatchResult]


class BatchProcessor:
    """Plans, reads and applies one batch after the other. One thread at a time."""

    def __init__(
        self,
        planner: Planner,
        reader: BatchReader,
        store: StateStore,
        *,
        lateness_ms: Mapping[str, int],
        trigger_ms: int,
        clock: EventClock,
        completeness: Completeness,
        stop: threading.Event,
        done: Callable[[BatchReport], None],
    ) -> None:
        self._planner = planner
        self._reader = reader
        self._store = store
        self._lateness_ms = lateness_ms
        self._trigger_ms = trigger_ms
        self._clock = clock
        self._completeness = completeness
        self._stop = stop
        self._done = done
        self._newest = store.newest_times()
        self._ahead: _Reading | None = None

    def process(self) -> tuple[BatchPlan, bool]:
        """Processes what the topic holds, as far as it fits one batch.

        Returns the plan, and whether the topic held more than that. Raises KafkaUnreachable, another PacificToolError,
        Py4JError or OSError; nothing is applied then. Raises BatchStopped when the job is to end.
        """
        reading, self._ahead = self._ahead, None
        if reading is None:
            plan = self._planner.plan()
            reading = _Reading(plan, self._reader_of(plan, self._store.closed_until_ms()))
        plan = reading.plan
        if not plan.ranges:
            self._completeness.caught_up(plan.planned_at, time.monotonic())
            return plan, False
        self._completeness.batch_started(time.monotonic())
        try:
            return plan, self._process(reading)
        except BaseException:
            self._ahead = None  # it follows a batch that is not applied
            raise
        finally:
            self._completeness.batch_ended(time.monotonic())

    def _process(self, reading: _Reading) -> bool:
        started = time.monotonic()
        plan, result = reading.plan, reading.result()
        if self._stop.is_set():
            raise BatchStopped
        self._planner.note(plan, result.ranges)
        read = {each.partition: each.end for each in result.ranges}
        counted = self._store.next_offsets() | read
        behind = {part: counted.get(part, 0) < end for part, end in plan.ends.items()}
        newest = {part: max(event_ms, self._newest.get(part, event_ms)) for part, event_ms in result.newest_ms.items()}
        self._newest |= newest
        counted_ms, backlog_ms = counted_until(self._newest, behind)
        closed_until_ms = self._closed_by(counted_ms)
        if any(behind.values()):
            self._read_ahead(counted, closed_until_ms)
        contents = result.contents()
        watermark_ms = max(result.newest_ms.values(), default=None)
        number = self._store.apply(
            BatchOutcome(
                ranges=result.ranges,
                partials=contents.partials,
                valid=result.valid,
                invalid=contents.invalid,
                spans=contents.spans,
                newest_ms=newest,
                watermark_ms=watermark_ms,
                closed_until_ms=closed_until_ms,
                planned_ms=plan.planned_ms,
                done_ms=round(time.time() * 1000),
            )
        )
        self._note_time(plan, result, watermark_ms, backlog_ms)
        self._done(_report(number, result, contents.invalid, counted, time.monotonic() - started))
        return any(behind.values())

    def _reader_of(self, plan: BatchPlan, closed_until_ms: Mapping[str, int]) -> Callable[[], BatchResult]:
        context = BatchContext(
            closed_until_ms=closed_until_ms,
            arrived_ms=plan.arrived_ms,
            untimed_event_ms=arrival_without_timestamp_ms(plan.planned_ms, self._trigger_ms),
        )
        return partial(self._reader.read, plan.ranges, context)

    def _read_ahead(self, counted: Mapping[int, int], closed_until_ms: Mapping[str, int]) -> None:
        """Begins with the batch after the one that is about to be applied, by what will hold then."""
        # The next call finds out what fails, once this batch is applied.
        with contextlib.suppress(PacificToolError):
            plan = self._planner.plan(counted)
            read = self._reader_of(plan, closed_until_ms)
            self._ahead = _Reading(plan, start_thread(read, "reading").result)

    def _closed_by(self, counted_ms: int | None) -> dict[str, int]:
        """By analytics: up to where windows are closed when everything up to this time is counted (None: not known)."""
        closed = self._store.closed_until_ms()
        for name, lateness_ms in self._lateness_ms.items():
            if counted_ms is not None:
                closed[name] = max(counted_ms - lateness_ms, closed.get(name, 0))
        return closed

    def _note_time(
        self, plan: BatchPlan, result: BatchResult, watermark_ms: int | None, backlog_ms: int | None
    ) -> None:
        if watermark_ms is not None:
            # Records without a timestamp are dated back by half a trigger, but have arrived by the time of planning.
            self._clock.observe(plan.planned_ms if result.without_timestamp else watermark_ms, plan.known_at)
        if backlog_ms is None:
            self._completeness.caught_up(plan.planned_at, time.monotonic())
        else:
            self._completeness.behind(backlog_ms if backlog_ms >= 0 else None, time.monotonic())


def _report(
    number: int, result: BatchResult, invalid: Sequence[InvalidRecord], counted: Mapping[int, int], seconds: float
) -> BatchReport:
    return BatchReport(
        number=number,
        records=result.valid + len(invalid),
        valid=result.valid,
        invalid=Counter(record.reason for record in invalid),
        last_invalid=invalid[-1] if invalid else None,
        without_timestamp=result.without_timestamp > 0,
        ends=counted,
        seconds=seconds,
    )
