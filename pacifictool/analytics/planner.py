"""Plans batches: looks where the topic ends, and cuts what is not counted yet into batches of bounded size."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pacifictool.analytics.state.checkpoint import Checkpoint, another_topic
from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.errors import KafkaError, KafkaUnreachable
from pacifictool.kafka.topics import KafkaAdmin, TopicInfo
from pacifictool.progress import Reporter
from pacifictool.settings import KafkaEndpoint
from pacifictool.tools.outage import OutageReporter

MOST_RECORDS: Final = 2_000_000
"""Records of a batch, at most: what a restart repeats, and how long a person waits for the next sign of progress."""
FEWEST_RECORDS: Final = 20_000
"""What a batch is cut down to where records hold many groups, at most."""
_TIMEOUT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What a batch is to read, and what was known when it was planned."""

    ranges: Sequence[OffsetRange]
    """Empty when the topic holds nothing new."""
    ends: Mapping[int, int]
    """By partition: where the topic ended."""
    planned_ms: int
    """This machine's clock, in milliseconds since the epoch."""
    arrived_ms: int
    """By then, what the topic held had arrived: not before `planned_ms`, nor before that of any earlier batch."""
    planned_at: float
    """The same time in monotonic seconds: records from before it are in the plan."""
    known_at: float
    """When the ends were known: records of the plan existed by then."""


class ArrivalClock:
    """This machine's clock as a bound for the arrival of records: it never falls behind the time that has passed.

    A clock that is set back by an hour must not turn the records of that hour into records from the future.
    """

    def __init__(self) -> None:
        self._base_ms = time.time() * 1000
        self._base_at = time.monotonic()

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        passed_ms = (time.monotonic() - self._base_at) * 1000
        return int(max(time.time() * 1000, self._base_ms + passed_ms))


class Planner:
    """Plans one batch after the other. One thread at a time."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        endpoint: KafkaEndpoint,
        topic: TopicInfo,
        *,
        available_now: bool,
        reporter: Reporter,
        connect: Callable[..., KafkaAdmin] = KafkaAdmin,
    ) -> None:
        """`available_now`: nothing beyond the end that the topic has at the first plan is read."""
        self._checkpoint = checkpoint
        self._endpoint = endpoint
        self._topic = topic
        self._connect = connect
        self._admin: KafkaAdmin | None = None
        self._clock = ArrivalClock()
        self._final: Mapping[int, int] | None = None
        self._available_now = available_now
        self._most_records = MOST_RECORDS
        self._outage = OutageReporter(reporter, f"Kafka serves topic {topic.name} again.")

    def plan(self, counted: Mapping[int, int] | None = None) -> BatchPlan:
        """The next batch, which begins where `counted` (None: the state store) says, by partition.

        Raises KafkaUnreachable or KafkaError, or CheckpointMismatch for another topic.
        """
        planned_at, planned_ms = time.monotonic(), self._clock.now_ms()
        ends = self._ends()
        known_at = time.monotonic()
        if self._available_now:
            self._final = self._final or ends
            ends = self._final
        store = self._checkpoint.store
        # A partition that was added after the job began is counted from its first record on.
        starts = {
            **dict.fromkeys(ends, 0),
            **(store.starting_offsets() or {}),
            **(store.next_offsets() if counted is None else counted),
        }
        todo = [OffsetRange(part, starts[part], end) for part, end in sorted(ends.items()) if starts[part] < end]
        # A clock that was set back while the job was down must not make its records ones from the future.
        arrived_ms = max(planned_ms, store.arrival_ms or 0)
        return BatchPlan(self._bounded(todo), ends, planned_ms, arrived_ms, planned_at, known_at)

    def note(self, plan: BatchPlan, read: Sequence[OffsetRange]) -> None:
        """Learns how much of a plan was read: batches shrink where tasks stop early, and grow again."""
        planned, done = (sum(each.records for each in ranges) for ranges in (plan.ranges, read))
        if done < planned:
            self._most_records = max(FEWEST_RECORDS, min(done, self._most_records))
        else:
            self._most_records = min(MOST_RECORDS, 2 * self._most_records)

    def _ends(self) -> Mapping[int, int]:
        name = self._topic.name
        try:
            self._admin = self._admin or self._connect(self._endpoint, timeout_seconds=_TIMEOUT_SECONDS)
            found = self._admin.committed_ends(name)
        except KafkaError:
            self._admin = None
            self._outage.update(
                f"Kafka at {self._endpoint} does not respond. What it holds is counted once it is back."
            )
            raise
        if found is None:
            text = f"There is no topic {name} at {self._endpoint} any more."
            self._outage.update(text)
            raise KafkaUnreachable(text)
        topic_id, ends = found
        if topic_id != self._topic.topic_id:
            raise another_topic(name)
        self._outage.update(None)
        return ends

    def _bounded(self, ranges: Sequence[OffsetRange]) -> list[OffsetRange]:
        """As much of the ranges as a batch may hold, of each partition its share, so that they advance together."""
        total = sum(each.records for each in ranges)
        if total <= self._most_records:
            return list(ranges)
        return [
            OffsetRange(each.partition, each.start, each.start + max(1, each.records * self._most_records // total))
            for each in ranges
        ]
