"""Reads a range of a topic, record by record: the independent verifier that results are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import monotonic

from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaException,
    Message,
    TopicPartition,
)

from pacifictool.errors import KafkaError
from pacifictool.kafka.config import librdkafka_properties
from pacifictool.kafka.topics import KafkaAdmin, reason_of, unreachable
from pacifictool.settings import KafkaEndpoint

_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record.

    `timestamp_ms` is None when the producer gave none (docs/servers/1.x.md#forwarding-to-kafka, row 2).
    """

    partition: int
    offset: int
    timestamp_ms: int | None
    broker_time: bool
    """Whether the time is the broker's (LogAppendTime)."""
    key: bytes | None
    value: bytes | None


def record_of(message: Message) -> Record | None:
    """The record in a message of a librdkafka consumer, which must not be an error; None if there is none."""
    partition, offset = message.partition(), message.offset()
    if partition is None or offset is None:
        return None
    kind, timestamp_ms = message.timestamp()
    return Record(
        partition=partition,
        offset=offset,
        timestamp_ms=None if kind == TIMESTAMP_NOT_AVAILABLE or timestamp_ms < 0 else timestamp_ms,
        broker_time=kind == TIMESTAMP_LOG_APPEND_TIME,
        key=message.key(),
        value=message.value(),
    )


def read_records(
    endpoint: KafkaEndpoint,
    topic: str,
    *,
    start: Mapping[int, int] | None = None,
    end: Mapping[int, int] | None = None,
    timeout_seconds: float = 30.0,
) -> Iterator[Record]:
    """Every record from `start` (default: the oldest) up to `end` exclusive (default: the current end of the topic).

    Offsets are given by partition. No consumer group is used and nothing is committed. Raises KafkaError after
    `timeout_seconds` without progress.
    """
    admin = KafkaAdmin(endpoint, timeout_seconds=min(10.0, timeout_seconds))
    first = {**admin.offsets(topic, at="start"), **(start or {})}
    last = dict(end) if end is not None else admin.offsets(topic, at="end")
    open_partitions = {partition for partition, offset in last.items() if first.get(partition, 0) < offset}
    if not open_partitions:
        return
    consumer = Consumer(
        librdkafka_properties(
            endpoint,
            {
                "group.id": "pacifictool-witness",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": False,
                "isolation.level": "read_committed",
            },
        )
    )
    try:
        consumer.assign([TopicPartition(topic, part, first.get(part, 0)) for part in sorted(open_partitions)])
        deadline = monotonic() + timeout_seconds
        while open_partitions:
            message = consumer.poll(_POLL_SECONDS)
            if message is None:
                # Transaction markers and compaction leave gaps: the position may be past the end without a record.
                positions = consumer.position([TopicPartition(topic, part) for part in open_partitions])
                open_partitions -= {part.partition for part in positions if part.offset >= last[part.partition]}
                if monotonic() > deadline:
                    raise unreachable(endpoint, f"no records of {topic} within {timeout_seconds:g} s")
                continue
            if (error := message.error()) is not None:
                raise KafkaError(f"Topic {topic} at {endpoint} cannot be read: {error.str()}.")
            deadline = monotonic() + timeout_seconds
            record = record_of(message)
            if record is None:
                continue
            partition, offset = record.partition, record.offset
            if offset < last[partition]:
                yield record
            if offset >= last[partition] - 1:
                open_partitions.discard(partition)
    except KafkaException as error:
        raise KafkaError(f"Topic {topic} at {endpoint} cannot be read: {reason_of(error)}.") from error
    finally:
        consumer.close()
