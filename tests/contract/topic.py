"""The suite's topics in Kafka, and what the server writes to them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final, Self

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, TopicPartition

from pacifictool.kafka.config import librdkafka_properties
from pacifictool.kafka.topics import LOG_APPEND_TIME, KafkaAdmin
from pacifictool.settings import KafkaEndpoint

READ_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Received:
    """One complete record."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[Any]
    timestamp_ms: int
    is_broker_time: bool


class Topic:
    """A topic that exists while the context lasts."""

    def __init__(
        self, endpoint: KafkaEndpoint, name: str, *, partitions: int = 1, timestamp_type: str = LOG_APPEND_TIME
    ) -> None:
        self.name = name
        self._timestamp_type = timestamp_type
        self._partitions = [TopicPartition(name, number) for number in range(partitions)]
        self._admin = KafkaAdmin(endpoint, timeout_seconds=30)
        self._consumer = Consumer(
            librdkafka_properties(
                endpoint,
                {
                    "group.id": name,
                    "enable.auto.commit": False,
                    "auto.offset.reset": "error",
                    # Every read assigns again, which waits for the fetch in flight.
                    "fetch.wait.max.ms": 10,
                },
            )
        )

    def __enter__(self) -> Self:
        self._admin.create(
            self.name, partitions=len(self._partitions), replication=1, timestamp_type=self._timestamp_type
        )
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._consumer.close()
        finally:
            self._admin.delete(self.name)

    def end(self) -> dict[int, int]:
        """The offset of the next record by partition."""
        return {
            part.partition: self._consumer.get_watermark_offsets(part, timeout=READ_SECONDS, cached=False)[1]
            for part in self._partitions
        }

    def since(self, start: dict[int, int]) -> list[Received]:
        """What was written from the offsets `start` on until now, partition by partition in order."""
        end = self.end()
        open_partitions = {number for number, offset in end.items() if start[number] < offset}
        records: dict[int, list[Received]] = {number: [] for number in end}
        self._consumer.assign([TopicPartition(self.name, number, start[number]) for number in open_partitions])
        deadline = time.monotonic() + READ_SECONDS
        while open_partitions:
            assert time.monotonic() < deadline, f"Topic {self.name} cannot be read up to {end} within {READ_SECONDS} s."
            message = self._consumer.poll(0.2)
            if message is None:
                continue
            assert message.error() is None, message.error()
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            kind, timestamp = message.timestamp()
            if offset < end[partition]:
                headers = list(message.headers() or [])
                records[partition].append(
                    Received(
                        partition, message.key(), message.value(), headers, timestamp, kind == TIMESTAMP_LOG_APPEND_TIME
                    )
                )
            if offset >= end[partition] - 1:
                open_partitions.discard(partition)
        return [record for number in sorted(records) for record in records[number]]
