"""Settings of the aggregation job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacifictool.analytics.engine.spark import SparkSettings
from pacifictool.analytics.sinks.base import Sink
from pacifictool.analytics.windows import trigger_interval_ms
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
    """Seconds from the first look at the topic after which the job stops by itself; None: when it is stopped."""
    available_now: bool = False
    """Count what the topic holds now, post every window, and stop."""
    give_up_after: float | None = None
    """Seconds without a successful delivery after which DeliveryAbandoned ends the job; None: never."""
    trigger_ms: int | None = None
    """Longest time between two looks at the topic; None: near two seconds."""

    @property
    def trigger_interval_ms(self) -> int:
        """The longest time between two looks at the topic that holds."""
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
