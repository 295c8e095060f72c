"""Batches of a backlog: the next one is read while one is applied, as if it had been read afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pacifictool.analytics.batches import BatchProcessor, BatchReport
from pacifictool.analytics.engine.reader import BatchContents, BatchContext, BatchResult
from pacifictool.analytics.event_time import Completeness, EventClock
from pacifictool.analytics.planner import BatchPlan
from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.analytics.state.store import BatchOutcome, StateStore
from pacifictool.analytics.windows import UNITS, PartialAggregate
from pacifictool.errors import KafkaUnreachable
from tests.support.scenarios import mean_rules, mean_state
from tests.support.waiting import wait_until

LATENESS_MS = 5_000
RULES = mean_rules(name="means")


@dataclass
class TopicOfOnePartition:
    """Stands in for planner and reader: a record each 10 s, batches of ten."""

    records: int
    failures: list[Exception | None] = field(default_factory=list)
    """Of the plans, in their order."""
    began: list[tuple[int, Mapping[str, int]]] = field(default_factory=list)
    """Of each batch that was read: its first offset, and up to where windows were closed."""
    applied: list[BatchReport] = field(default_factory=list)
    read_fails_at: int | None = None
    waits_for_next: bool = False
    """Whether a batch gives its contents, which it is applied with, once the next one is being read."""

    def plan(self, counted: Mapping[int, int] | None = None) -> BatchPlan:
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        start = (self.store.next_offsets() if counted is None else counted).get(0, 0)
        ranges = [OffsetRange(0, start, min(start + 10, self.records))] if start < self.records else []
        return BatchPlan(ranges, {0: self.records}, 2**60, 2**60, time.monotonic(), time.monotonic())

    def note(self, plan: BatchPlan, read: Sequence[OffsetRange]) -> None:
        assert list(plan.ranges) == list(read)

    def read(self, ranges: Sequence[OffsetRange], context: BatchContext) -> BatchResult:
        (whole,) = ranges
        self.began.append((whole.start, dict(context.closed_until_ms)))
        if whole.start == self.read_fails_at:
            self.read_fails_at = None
            raise OSError("the JVM is gone")
        times = [offset * 10_000 for offset in range(whole.start, whole.end)]
        partials = [PartialAggregate("means", "A", each + 10_000, 1, mean_state(1, UNITS)) for each in times]
        return BatchResult(
            ranges=[whole],
            valid=whole.records,
            newest_ms={0: times[-1]},
            without_timestamp=0,
            contents=lambda: self._contents(whole, partials),
        )

    def _contents(self, whole: OffsetRange, partials: Sequence[PartialAggregate]) -> BatchContents:
        if self.waits_for_next and whole.end < self.records:
            wait_until(lambda: self.began[-1][0] == whole.end)
        return BatchContents(partials, [], {})

    def processor(self, store: StateStore) -> BatchProcessor:
        self.store = store
        clock = EventClock()
        (analytics,) = RULES.analytics
        return BatchProcessor(
            self,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            store,
            lateness_ms={analytics.name: LATENESS_MS},
            trigger_ms=2000,
            clock=clock,
            completeness=Completeness(clock, 2.0, time.monotonic()),
            stop=threading.Event(),
            done=self.applied.append,
        )


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    return StateStore(tmp_path / "state.sqlite", RULES)


def test_the_next_batch_of_a_backlog_is_read_before_this_one_is_applied(store: StateStore) -> None:
    topic = TopicOfOnePartition(records=25, waits_for_next=True)
    processor = topic.processor(store)
    more = [processor.process()[1] for _ in range(3)]

    assert more == [True, True, False]
    assert [each.records for each in topic.applied] == [10, 10, 5]
    starts, closed = zip(*topic.began, strict=True)
    assert starts == (0, 10, 20)
    # As they are once the batch before is applied.
    assert closed == ({}, {"means": 90_000 - LATENESS_MS}, {"means": 190_000 - LATENESS_MS})
    assert store.next_offsets() == {0: 25}
    assert [each.window_end_ms for each in store.due(None, 99)] == [10_000 * number for number in range(1, 26)]


def test_nothing_is_read_ahead_at_the_end_of_the_topic(store: StateStore) -> None:
    topic = TopicOfOnePartition(records=10)
    processor = topic.processor(store)
    assert [processor.process()[1] for _ in range(2)] == [False, False]
    assert len(topic.began) == 1


def test_a_plan_that_fails_ahead_is_made_again(store: StateStore) -> None:
    topic = TopicOfOnePartition(records=15, failures=[None, KafkaUnreachable("away"), KafkaUnreachable("still away")])
    processor = topic.processor(store)
    assert processor.process()[1]
    assert store.next_offsets() == {0: 10}
    with pytest.raises(KafkaUnreachable, match="still away"):
        processor.process()
    assert not processor.process()[1]
    assert [start for start, *_ in topic.began] == [0, 10]
    assert store.next_offsets() == {0: 15}


def test_a_batch_that_fails_ahead_is_read_again(store: StateStore) -> None:
    topic = TopicOfOnePartition(records=15)
    processor = topic.processor(store)
    topic.read_fails_at = 10
    assert processor.process()[1]
    with pytest.raises(OSError, match="the JVM is gone"):
        processor.process()
    assert not processor.process()[1]
    assert [start for start, *_ in topic.began] == [0, 10, 10]
    assert store.next_offsets() == {0: 15}


def test_a_batch_that_cannot_be_applied_is_read_again(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = TopicOfOnePartition(records=25)
    processor = topic.processor(store)
    with monkeypatch.context() as broken:
        broken.setattr(store, "apply", fail)
        with pytest.raises(OSError, match="no space"):
            processor.process()
    assert [processor.process()[1] for _ in range(3)] == [True, True, False]
    assert [each.records for each in topic.applied] == [10, 10, 5]
    assert store.next_offsets() == {0: 25}


def fail(_: BatchOutcome) -> int:
    raise OSError("no space")
