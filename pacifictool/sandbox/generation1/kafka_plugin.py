"""The Kafka plugin: a real producer that behaves like the one of a 1.4 server.

No retries, a null key, messages assigned to the partitions round-robin, no timestamp (CreateTime -1):
docs/servers/1.x.md#forwarding-to-kafka, rows 1, 2 and 3.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException, Producer

from pacifictool.sandbox.kafka import (
    Forwarder,
    LoginProperties,
    ProducerTopic,
    check_addresses,
    construction_failed,
    producer_properties,
)

_log = logging.getLogger("pacifictool.sandbox.kafka")

NO_TIMESTAMP = -1
_REQUEST_TIMEOUT_MS = 30_000
"""The old client's request.timeout.ms: a message that was not delivered by then is given up."""
_SERIALIZERS = {
    f"org.apache.kafka.common.serialization.{name}Serializer"
    for name in ("String", "ByteArray", "Bytes", "ByteBuffer", "Integer", "Long", "Double")
}


def _properties(configuration: Mapping[str, Any]) -> dict[str, Any]:
    others = {
        str(item["key"]): str(item["value"])
        for item in configuration.get("otherProperties") or []
        if isinstance(item, dict) and "key" in item and "value" in item
    }
    timeout = others.get("request.timeout.ms", _REQUEST_TIMEOUT_MS)
    return producer_properties(configuration, others, acks=configuration.get("acks", -1), timeout_ms=timeout)


class KafkaForwarder(Forwarder):
    """The producer of one active plugin. Create it with `start`."""

    @classmethod
    async def start(cls, configuration: Mapping[str, Any], login: LoginProperties) -> KafkaForwarder:
        """Creates the producer. Raises ProducerRefused: no address resolves, a bad serializer or property."""
        for name in ("keySerializer", "valueSerializer"):
            serializer = configuration.get(name)
            if serializer is not None and serializer not in _SERIALIZERS:
                raise construction_failed(
                    f"Invalid value {serializer} for configuration {name}: Class {serializer} could not be found."
                )
        bootstrap = str(configuration["bootstrapServers"])
        await check_addresses(bootstrap)
        try:
            properties = _properties(configuration)
            return cls(Producer({**properties, **login(bootstrap, properties)}, logger=_log))
        except (KafkaException, ValueError, TypeError) as error:
            raise construction_failed(str(error)) from None

    def place(self, state: ProducerTopic) -> dict[str, Any]:
        partition = state.partitions[state.turn % len(state.partitions)]
        state.turn += 1
        return {"partition": partition, "timestamp": NO_TIMESTAMP}
