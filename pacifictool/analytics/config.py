"""Settings of the aggregation job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.engine.spark import SparkSettings
from pacifictool.analytics.sinks.base import Sink
from pacifictool.analytics.state.schema import ANALYTICS
from pacifictool.analytics.windows import trigger_interval_ms
from pacifictool.settings import KafkaEndpoint


@dataclass(frozen=True, slots=True)
class JobConfig:
    """What to aggregate, and how."""

    kafka: KafkaEndpoint
    topic: str
    rules: RecordRules
    """Which records count, and what is computed of them."""
    checkpoint: Path
    """A folder of this job's own; created when missing."""
    spark: SparkSettings
    starting_offsets: str = "latest"
    """Where a new checkpoint starts: "latest", "earliest" or an ISO 8601 time."""
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
        return self.trigger_ms or trigger_interval_ms(min(each.slide_ms for each in self.rules.analytics))

    def identity(self, sink: Sink) -> dict[str, Any]:
        """What must not change between two runs on one checkpoint."""
        forwarding = self.rules.forwarding
        records = forwarding.model_dump(
            mode="json", include={"attributes", "telemetry", "device", "event_time", "valid", "numbers_in_text"}
        )
        computed = {
            f"{ANALYTICS}{each.name}": {
                "group_by": list(each.group_by),
                "window_ms": each.window_ms,
                "slide_ms": each.slide_ms,
                "telemetry": {key: str(aggregate) for key, aggregate in each.telemetry.items()},
                "entity": each.entity_pattern,
                "entity_kind": each.entity_kind,
                "ts": each.ts,
            }
            | ({} if each.function is None else {"function": str(each.function)})
            for each in self.rules.analytics
        }
        return {"topic": self.topic, "target": sink.target, "records": records, **computed}
