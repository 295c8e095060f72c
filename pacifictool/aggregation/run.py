"""What a run of the aggregation job is told to do, and what its parts share while they do it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pacifictool.aggregation.batches import BatchStopped
from pacifictool.aggregation.checkpoint import Checkpoint
from pacifictool.aggregation.clock import Coverage, EventClock
from pacifictool.aggregation.delivery import Delivery
from pacifictool.aggregation.sinks.base import Sink
from pacifictool.aggregation.spark import SparkRuntime, SparkSettings
from pacifictool.aggregation.windows import trigger_interval_ms
from pacifictool.kafka.topics import TopicInfo
from pacifictool.scenario import Aggregation
from pacifictool.settings import KafkaEndpoint


@dataclass(frozen=True, slots=True)
class JobConfig:
    """What to aggregate, and how."""

    kafka: KafkaEndpoint
    topic: str
    aggregation: Aggregation
    checkpoint: Path
    """A folder of this job's own; created when missing."""
    spark: SparkSettings
    starting_offsets: str = "latest"
    """Where a new checkpoint starts: "latest", "earliest", an ISO 8601 time or milliseconds since the epoch."""
    duration: float | None = None
    """Seconds after which the job stops by itself; None: when told to."""
    available_now: bool = False
    """Count what the topic holds now, post every window, and stop."""
    give_up_after: float | None = None
    """Seconds without a successful delivery after which DeliveryAbandoned ends the job; None: never."""
    trigger_ms: int | None = None
    """Interval between batches; None: a divisor of the window near two seconds."""

    @property
    def trigger_interval_ms(self) -> int:
        """The interval between batches that holds."""
        return self.trigger_ms or trigger_interval_ms(self.aggregation.window_ms)

    def identity(self, sink: Sink) -> dict[str, Any]:
        """What must not change between two runs on one checkpoint."""
        rules = self.aggregation
        return {
            "topic": self.topic,
            "window_ms": rules.window_ms,
            "zone_key": rules.zone_key,
            "value_key": rules.value_key,
            "valid": [rules.valid.min, rules.valid.max],
            "target": sink.target,
        }


@dataclass(slots=True)
class Run:
    """One run, as seen by the query, the delivery and the watch over the topic, each in a thread of its own."""

    checkpoint: Checkpoint
    runtime: SparkRuntime
    topic: TopicInfo
    clock: EventClock
    coverage: Coverage
    delivery: Delivery
    halt: threading.Event = field(default_factory=threading.Event)
    """Set when everything is to end."""
    batch_applied: threading.Event = field(default_factory=threading.Event)
    """Set when there may be something to deliver."""
    failure: BaseException | None = None
    """What ends the job."""

    def fail(self, error: BaseException) -> None:
        """Ends the job for `error`, unless something else has, or this is only how a batch obeys `halt`."""
        if self.failure is None and not (self.halt.is_set() and isinstance(error, BatchStopped)):
            self.failure = error

    def check(self) -> None:
        """Raises what ends the job, if anything does."""
        if self.failure is not None:
            raise self.failure
