"""The Kafka sink: one JSON record a window and group on a topic of its own, for whoever wants the results without the
platform."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from pacifictool.analytics.sinks.base import DeliveryCallback, Sink
from pacifictool.analytics.windows import WindowResult
from pacifictool.errors import KafkaError, PacificToolError, UsageError
from pacifictool.kafka.producer import open_producer
from pacifictool.kafka.topics import CREATE_TIME, KafkaAdmin, no_connection, reason_of, unreachable
from pacifictool.rest.values import encode_object
from pacifictool.scenario import Analytics
from pacifictool.settings import KafkaEndpoint

DELIVERY_SECONDS: Final = 20.0
"""How long one delivery may take before the job hears of it."""
OWN_KEYS: Final = ("ts", "count", "analytics")

_POLL_SECONDS: Final = 0.1
_BROKER_DEFAULT: Final = -1
_NEVER = frozenset({"MSG_SIZE_TOO_LARGE", "INVALID_RECORD"})
"""Errors that say something about the record, not about the moment."""


class KafkaSink(Sink):
    """Writes the values of the group and the results by their keys, with the name of the entity as the record's key:
    `{"geoZone": "Zone A", "windSpeed": 32.5, "ts": …, "count": records, "analytics": "zones"}`. A function has results
    for entities of its choice, so that its records have "entity" and "entity_kind", too.

    The record's timestamp is the end of the window. A corrected or repeated window is one more record: the last
    record of an analytics, entity and `ts` counts. The records of one entity are in one partition and in order.
    """

    name = "kafka"

    def __init__(
        self,
        endpoint: KafkaEndpoint,
        topic: str,
        analytics: Sequence[Analytics],
        *,
        delivery_seconds: float = DELIVERY_SECONDS,
    ) -> None:
        """Connects with the first delivery. Raises UsageError when a key of the scenario is one of `OWN_KEYS`."""
        for each in analytics:
            own, keys = _own_keys(each), [*each.group_by, *each.telemetry]
            if (key := next((key for key in keys if key in own or keys.count(key) > 1), None)) is not None:
                raise UsageError(
                    f"The key {key!r} of analytics {each.name!r} cannot be in a result record, which has one "
                    "of its own.",
                    hint="Rename the key, or use another --sink.",
                )
        self.target = kafka_target(endpoint, topic)
        self._endpoint = endpoint
        self._topic = topic
        self._analytics = {each.name: each for each in analytics}
        self._delivery_seconds = delivery_seconds
        self._topic_exists = False
        self._producer: Producer | None = None
        self._closed = threading.Event()

    def deliver(self, results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        producer = self._producer or self._open()
        batch = _Batch(len(results), callback)
        try:
            for result in results:
                self._produce(producer, result, batch)
            deadline = time.monotonic() + self._delivery_seconds
            while batch.missing and time.monotonic() < deadline and not self._closed.is_set():
                producer.poll(_POLL_SECONDS)
            batch.report()
            if self._closed.is_set():
                raise PacificToolError("The delivery was stopped.")
            if batch.missing:
                reason = no_connection(self._endpoint)
                raise unreachable(
                    self._endpoint, reason or f"records were not acknowledged within {self._delivery_seconds:g} s"
                )
            if batch.failure is not None:
                raise KafkaError(f"Results could not be written to topic {self._topic}: {batch.failure}.")
        except BaseException:
            # What is still queued must not arrive behind what is delivered next.
            self._drop(producer)
            raise

    def close(self) -> None:
        self._closed.set()

    def _produce(self, producer: Producer, result: WindowResult, batch: _Batch) -> None:
        try:
            key = result.entity.encode()
        except UnicodeEncodeError:
            batch.refuse(result, "the name of its entity is not valid Unicode")
            return
        analytics = self._analytics[result.analytics]
        group = dict(zip(analytics.group_by, result.group, strict=True))
        own: dict[str, float | int | str] = {"ts": result.ts_ms, "count": result.count, "analytics": result.analytics}
        if analytics.function is not None:
            own |= {"entity": result.entity, "entity_kind": result.entity_kind}
        if taken := sorted(result.values.keys() & {*group, *own}):
            batch.refuse(result, f"the key {taken[0]!r} is one of every result record's own; return another")
            return
        value = encode_object({**group, **result.values, **own})
        while True:
            try:
                producer.produce(
                    self._topic,
                    value.encode("ascii"),
                    key,
                    timestamp=result.window_end_ms,
                    on_delivery=partial(batch.responded, result),
                )
            except BufferError:
                producer.poll(_POLL_SECONDS)
            except KafkaException as error:
                batch.responded(result, error.args[0], None)
                return
            else:
                return

    def _open(self) -> Producer:
        producer = open_producer(self._endpoint, {"partitioner": "murmur2_random"})
        if not self._topic_exists:
            admin = KafkaAdmin(self._endpoint)
            if admin.describe(self._topic) is None:
                admin.create(
                    self._topic, partitions=_BROKER_DEFAULT, replication=_BROKER_DEFAULT, timestamp_type=CREATE_TIME
                )
            self._topic_exists = True
        self._producer = producer
        return producer

    def _drop(self, producer: Producer) -> None:
        producer.purge()
        producer.flush(0)
        self._producer = None
        # It may have been deleted.
        self._topic_exists = False


def _own_keys(analytics: Analytics) -> tuple[str, ...]:
    return OWN_KEYS if analytics.function is None else (*OWN_KEYS, "entity", "entity_kind")


class _Batch:
    """What became of the records of one delivery. All of it happens in the delivering thread, within `poll`."""

    def __init__(self, results: int, callback: DeliveryCallback) -> None:
        self.missing = results
        """Results without a response so far."""
        self.failure: str | None = None
        """The first failure that may pass."""
        self._callback = callback
        self._accepted: list[WindowResult] = []
        self._refused: list[tuple[WindowResult, str]] = []

    def responded(self, result: WindowResult, error: Any, _message: Any) -> None:
        """The broker's response; `error` is librdkafka's, None for success."""
        self.missing -= 1
        if error is None:
            self._accepted.append(result)
        elif error.name() in _NEVER:
            self._refused.append((result, reason_of(KafkaException(error))))
        else:
            self.failure = self.failure or reason_of(KafkaException(error))

    def refuse(self, result: WindowResult, reason: str) -> None:
        self.missing -= 1
        self._refused.append((result, reason))

    def report(self) -> None:
        """Tells the callback."""
        self._callback.accepted(self._accepted)
        for result, reason in self._refused:
            self._callback.refused([result], reason)


def kafka_target(endpoint: KafkaEndpoint, topic: str) -> str:
    """Where the results go: "kafka localhost:9092 weather-stations-data-means"."""
    return f"kafka {endpoint} {topic}"
