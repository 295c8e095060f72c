"""A topic of a test's own, and what the batch reader makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Producer

from pacifictool.analytics.engine.reader import BatchContext, BatchReader, BatchResult
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.engine.spark import SparkRuntime
from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.kafka.topics import CREATE_TIME, KafkaAdmin
from pacifictool.settings import KafkaEndpoint
from tests.support.scenarios import mean_rules

RULES = mean_rules()
NOW = 1_795_477_550_000
OLD_CLIENT: dict[str, Any] = {"api.version.request": False, "broker.version.fallback": "0.9.0.1", "log_level": 0}
"""That of a 1.x server, whose records have no timestamp (docs/servers/1.x.md#forwarding-to-kafka, row 2)."""


@dataclass
class Bench:
    """A topic and its sums."""

    spark: SparkRuntime
    endpoint: KafkaEndpoint
    topic: str

    def write(
        self,
        values: Sequence[bytes | None],
        timestamps: Sequence[int] | None = None,
        *,
        partitions: int = 1,
        timestamp_type: str = CREATE_TIME,
        **config: Any,
    ) -> None:
        """Without timestamps, all records have the time NOW."""
        KafkaAdmin(self.endpoint).create(
            self.topic, partitions=partitions, replication=1, timestamp_type=timestamp_type
        )  # fmt: skip
        producer = Producer(
            {
                "bootstrap.servers": self.endpoint.bootstrap,
                "queue.buffering.max.messages": 1_000_000,
                "message.max.bytes": 1_048_000,
                **config,
            }
        )
        timestamps = timestamps or [NOW] * len(values)
        for number, (value, timestamp) in enumerate(zip(values, timestamps, strict=True)):
            producer.produce(self.topic, value, partition=number % partitions, timestamp=timestamp)
            producer.poll(0)
        assert producer.flush(60) == 0

    def read(
        self,
        rules: RecordRules = RULES,
        *,
        ranges: Sequence[OffsetRange] | None = None,
        closed_until_ms: int = 0,
        arrived_ms: int = 2**61,
        untimed_event_ms: int = NOW,
    ) -> BatchResult:
        context = BatchContext({each.name: closed_until_ms for each in rules.analytics}, arrived_ms, untimed_event_ms)
        return BatchReader(self.spark, self.endpoint, self.topic, rules).read(ranges or self.ranges(), context)

    def ranges(self) -> list[OffsetRange]:
        return [OffsetRange(part, 0, end) for part, end in KafkaAdmin(self.endpoint).offsets(self.topic).items()]
