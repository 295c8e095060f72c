"""What happens to each micro-batch: Spark sums it, the driver judges its windows, the ledger takes it in."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import DataFrame

from pacifictool.aggregation import small_batch
from pacifictool.aggregation.checkpoint import BatchPlan, Checkpoint, OffsetRange
from pacifictool.aggregation.clock import Coverage, EventClock
from pacifictool.aggregation.ledger import BatchOutcome, Reject
from pacifictool.aggregation.pipeline import DAY_MS, FROM_THE_FUTURE, TOO_LATE, Moment, Rules
from pacifictool.aggregation.range_sums import RangeSums
from pacifictool.aggregation.windows import PartialSum, join_halves
from pacifictool.reporting import Reporter


class BatchStopped(Exception):
    """The job is stopping: the batch is left unapplied, and Spark will bring it again at the next start."""


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of one batch."""

    batch_id: int
    records: int
    valid: int
    rejected: dict[str, int]
    last_reject: Reject | None
    unstamped: bool
    """Whether some valid records had no time stamp."""
    ends: dict[int, int] = field(default_factory=dict)
    """By partition: the offset up to which the topic is applied."""
    seconds: float = 0.0


@dataclass(slots=True)
class _Tally:
    """The rows of a batch's sums, judged."""

    sums: dict[tuple[int, str], PartialSum] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)
    newest_ms: int | None = None
    unstamped: bool = False

    def add(self, window_end_ms: int, zone: str, count: int, total: int) -> None:
        known = self.sums.get((window_end_ms, zone))
        if known is not None:
            count, total = count + known.count, total + known.total
        self.sums[window_end_ms, zone] = PartialSum(zone, window_end_ms, count, total)

    def saw(self, event_ms: int) -> None:
        self.newest_ms = event_ms if self.newest_ms is None else max(self.newest_ms, event_ms)


class BatchProcessor:
    """The function that Spark calls for each batch; see `foreachBatch`. Calls come one after the other."""

    def __init__(
        self,
        *,
        checkpoint: Checkpoint,
        topic: str,
        rules: Rules,
        ranges: RangeSums,
        lateness_ms: int,
        trigger_ms: int,
        clock: EventClock,
        coverage: Coverage,
        stop: threading.Event,
        done: Callable[[BatchReport], None],
        reporter: Reporter,
    ) -> None:
        self._checkpoint = checkpoint
        self._topic = topic
        self._rules = rules
        self._ranges = ranges
        self._small = small_batch.SmallBatch(rules)
        self._lateness_ms = lateness_ms
        self._trigger_ms = trigger_ms
        self._clock = clock
        self._coverage = coverage
        self._stop = stop
        self._done = done
        self._reporter = reporter

    def __call__(self, records: DataFrame, batch_id: int) -> None:
        """Applies a batch unless the ledger has it. Raises when it could not: Spark must not tick it off then."""
        if self._stop.is_set():
            raise BatchStopped
        last = self._checkpoint.ledger.last_batch_id
        if last is not None and batch_id <= last:
            self._reporter.detail(f"Batch {batch_id} is counted already; Spark repeats it after a restart.")
            return
        self._coverage.batch_started(time.monotonic())
        try:
            self._process(records, batch_id)
        finally:
            self._coverage.batch_ended(time.monotonic())

    def _process(self, records: DataFrame, batch_id: int) -> None:
        started = time.monotonic()
        ledger = self._checkpoint.ledger
        plan = self._checkpoint.batch_plan(batch_id, self._topic)
        moment = self._moment(plan, ledger.sealed_until_ms or 0)
        ranges = self._checkpoint.batch_ranges(batch_id, plan, self._topic)
        tally = self._judge(self._sums(records, ranges), plan, moment)
        last_reject = None
        if tally.rejected:
            last_reject = self._keep_rejects(ranges, moment, expected=tally.rejected.total())
        if self._stop.is_set():
            raise BatchStopped
        ledger.apply(
            BatchOutcome(
                batch_id=batch_id,
                sums=list(tally.sums.values()),
                rejected=tally.rejected,
                newest_ms=tally.newest_ms,
                seen_at_ms=plan.planned_ms,
            ),
            lateness_ms=self._lateness_ms,
        )
        self._note_time(plan, tally)
        valid = sum(part.count for part in tally.sums.values())
        self._done(
            BatchReport(
                batch_id=batch_id,
                records=valid + tally.rejected.total(),
                valid=valid,
                rejected=dict(tally.rejected),
                last_reject=last_reject,
                unstamped=tally.unstamped,
                ends=dict(plan.ends),
                seconds=time.monotonic() - started,
            )
        )

    def _sums(self, records: DataFrame, ranges: Sequence[OffsetRange]) -> Iterable[Any]:
        """Small batches without anything odd in them are summed here, all others on the executors; equally."""
        if sum(each.records for each in ranges) <= small_batch.SMALL:
            sums = self._small.collect(records)
            if sums is not None:
                return sums
        return self._ranges.collect(ranges)

    def _unstamped_event_ms(self, plan: BatchPlan) -> int:
        # They came some time since the trigger before; Spark's note makes a repeated batch see the same time.
        return plan.planned_ms - self._trigger_ms // 2

    def _moment(self, plan: BatchPlan, sealed_until_ms: int) -> Moment:
        window_ms = self._rules.window_ms
        return Moment(
            unstamped_window_end_ms=(self._unstamped_event_ms(plan) // window_ms + 1) * window_ms,
            last_window_end_ms=plan.planned_ms + DAY_MS + window_ms,
            sealed_until_ms=sealed_until_ms,
        )

    def _judge(self, rows: Iterable[Any], plan: BatchPlan, moment: Moment) -> _Tally:
        tally = _Tally()
        # By place: a column by its name takes five times as long, which shows with thousands of zones.
        for window_end, zone, reason, records, high, low, newest_ms in rows:
            if reason is not None:
                tally.rejected[reason] += records
                continue
            stamped = window_end is not None
            end = window_end if stamped else moment.unstamped_window_end_ms
            if end > moment.last_window_end_ms:
                tally.rejected[FROM_THE_FUTURE] += records
            elif end <= moment.sealed_until_ms:
                tally.rejected[TOO_LATE] += records
            else:
                tally.add(end, zone, records, join_halves(high, low))
                tally.saw(newest_ms if stamped else self._unstamped_event_ms(plan))
                tally.unstamped |= not stamped
        return tally

    def _keep_rejects(self, ranges: Sequence[OffsetRange], moment: Moment, *, expected: int) -> Reject | None:
        """Reads the batch once more for the rejects in full; one partition's part is in memory at a time."""
        last: list[Reject] = []

        def rejects() -> Iterator[Reject]:
            for row in self._ranges.rejects(ranges, moment).toLocalIterator():
                if self._stop.is_set():
                    raise BatchStopped
                value = None if row.value is None else bytes(row.value)
                reject = Reject(self._topic, row.partition, row.offset, row.reason, row.stamp_ms, value)
                last[:] = [reject]
                yield reject

        kept = self._checkpoint.ledger.add_rejects(rejects())
        if kept != expected:
            self._reporter.warning(
                f"{expected} rejects were counted, but only {kept} could be read again and kept: "
                "the topic's retention may be too short."
            )
        return last[0] if last else None

    def _note_time(self, plan: BatchPlan, tally: _Tally) -> None:
        now = time.monotonic()
        planned_at = now - max(0.0, time.time() - plan.planned_ms / 1000)
        if tally.newest_ms is not None:
            # Records without a stamp are dated back by half a trigger, but have arrived by the time of planning.
            self._clock.observe(plan.planned_ms if tally.unstamped else tally.newest_ms, planned_at)
        self._coverage.covered(planned_at, now)
