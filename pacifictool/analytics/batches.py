"""What happens to each batch: it is planned, read by Spark, and applied to the state store."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pacifictool.analytics.engine.reader import BatchContext, BatchReader, BatchResult
from pacifictool.analytics.event_time import Completeness, EventClock, counted_until
from pacifictool.analytics.planner import BatchPlan, Planner
from pacifictool.analytics.state.queries import InvalidRecord
from pacifictool.analytics.state.store import BatchOutcome, StateStore
from pacifictool.analytics.windows import arrival_without_timestamp_ms


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

    def process(self) -> tuple[BatchPlan, bool]:
        """Processes what the topic holds, as far as it fits one batch.

        Returns the plan, and whether the topic held more than that. Raises KafkaUnreachable, another PacificToolError,
        Py4JError or OSError; nothing is applied then. Raises BatchStopped when the job is to end.
        """
        plan = self._planner.plan()
        if not plan.ranges:
            self._completeness.caught_up(plan.planned_at, time.monotonic())
            return plan, False
        self._completeness.batch_started(time.monotonic())
        try:
            return plan, self._process(plan)
        finally:
            self._completeness.batch_ended(time.monotonic())

    def _process(self, plan: BatchPlan) -> bool:
        started = time.monotonic()
        context = BatchContext(
            closed_until_ms=self._store.closed_until_ms(),
            arrived_ms=plan.arrived_ms,
            untimed_event_ms=arrival_without_timestamp_ms(plan.planned_ms, self._trigger_ms),
        )
        result = self._reader.read(plan.ranges, context)
        if self._stop.is_set():
            raise BatchStopped
        self._planner.note(plan, result.ranges)
        read = {each.partition: each.end for each in result.ranges}
        counted = self._store.next_offsets() | read
        behind = {part: counted.get(part, 0) < end for part, end in plan.ends.items()}
        newest = {part: max(event_ms, self._newest.get(part, event_ms)) for part, event_ms in result.newest_ms.items()}
        self._newest |= newest
        counted_ms, backlog_ms = counted_until(self._newest, behind)
        watermark_ms = max(result.newest_ms.values(), default=None)
        number = self._store.apply(
            BatchOutcome(
                ranges=result.ranges,
                partials=result.partials,
                valid=result.valid,
                invalid=result.invalid,
                spans=result.spans,
                newest_ms=newest,
                watermark_ms=watermark_ms,
                closed_until_ms={} if counted_ms is None else self._closed_by(counted_ms),
                planned_ms=plan.planned_ms,
                done_ms=round(time.time() * 1000),
            )
        )
        self._note_time(plan, result, watermark_ms, backlog_ms)
        self._done(_report(number, result, counted, time.monotonic() - started))
        return any(behind.values())

    def _closed_by(self, counted_ms: int) -> dict[str, int]:
        return {name: counted_ms - lateness_ms for name, lateness_ms in self._lateness_ms.items()}

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


def _report(number: int, result: BatchResult, counted: Mapping[int, int], seconds: float) -> BatchReport:
    return BatchReport(
        number=number,
        records=result.valid + len(result.invalid),
        valid=result.valid,
        invalid=Counter(record.reason for record in result.invalid),
        last_invalid=result.invalid[-1] if result.invalid else None,
        without_timestamp=result.without_timestamp > 0,
        ends=counted,
        seconds=seconds,
    )
