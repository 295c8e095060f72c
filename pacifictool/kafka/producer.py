"""Producers whose records survive: acknowledged by all replicas, and not doubled by librdkafka's own retries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from pacifictool.errors import KafkaError
from pacifictool.kafka.config import librdkafka_properties
from pacifictool.kafka.topics import no_connection, reason_of, unreachable
from pacifictool.settings import KafkaEndpoint

_PROPERTIES: Final[Mapping[str, Any]] = {"enable.idempotence": True, "acks": "all", "linger.ms": 5}


def open_producer(endpoint: KafkaEndpoint, properties: Mapping[str, Any] | None = None) -> Producer:
    """A producer with further `properties`, by librdkafka's names.

    Raises KafkaUnreachable when no bootstrap server accepts a connection, KafkaError for properties that are refused.
    """
    if (reason := no_connection(endpoint)) is not None:
        raise unreachable(endpoint, reason)
    try:
        return Producer(librdkafka_properties(endpoint, {**_PROPERTIES, **(properties or {})}))
    except (KafkaException, ValueError, TypeError) as error:
        raise KafkaError(
            f"Kafka's client refuses its configuration: {reason_of(error)}.",
            hint="Check the -X options and --kafka-config against librdkafka's names.",
        ) from error
