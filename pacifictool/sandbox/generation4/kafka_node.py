"""The Kafka node: a real producer that behaves like the one of a 4.3 server.

A null key unless the node has a pattern, the client's own partitioner (runs of records stay in one partition), and
CreateTime is the time of sending. A topic that the broker does not know fails a message after `max.block.ms`:
docs/servers/4.x.md#forwarding-to-kafka, rows 1 and 11.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException, Producer

from pacifictool.sandbox.generation4.messages import FAILURE, SUCCESS, ChainMessage, Tell
from pacifictool.sandbox.generation4.readings import dump, metadata_text
from pacifictool.sandbox.kafka import (
    Forwarder,
    LoginProperties,
    ProducerRecord,
    check_addresses,
    construction_failed,
    producer_properties,
)

_log = logging.getLogger("pacifictool.sandbox.kafka")

HEADER_PREFIX = "tb_msg_md_"
_DELIVERY_TIMEOUT_MS = 120_000
_MAX_BLOCK_MS = 60_000
_PATTERN = re.compile(r"\$(\{|\[)([^}\]]+)[}\]]")


class _Forwarder4(Forwarder):
    def metadata_failure(self, topic: str, reason: str) -> str:
        return f"Topic {topic} not present in metadata after {self.max_block_seconds * 1000:.0f} ms."


class KafkaNode:
    """Create it with `start`."""

    def __init__(self, configuration: Mapping[str, Any], forwarder: Forwarder) -> None:
        self._topic: str = configuration["topicPattern"]
        self._key: str | None = configuration.get("keyPattern") or None
        self._adds_headers = configuration.get("addMetadataKeyValuesAsKafkaHeaders") is True
        self._charset: str = configuration.get("kafkaHeadersCharset") or "UTF-8"
        self._forwarder = forwarder

    @classmethod
    async def start(cls, configuration: Mapping[str, Any], login: LoginProperties) -> KafkaNode:
        """Creates the producer. Raises ProducerRefused: no address, none that resolves, an invalid value."""
        bootstrap = configuration.get("bootstrapServers")
        if not isinstance(bootstrap, str) or not bootstrap:
            raise construction_failed('Missing required configuration "bootstrap.servers" which has no default value.')
        if not isinstance(configuration.get("topicPattern"), str):
            raise construction_failed("topicPattern is not set")
        given = configuration.get("otherProperties")
        others = {str(key): str(value) for key, value in (given if isinstance(given, dict) else {}).items()}
        await check_addresses(bootstrap)
        try:
            block_seconds = int(others.get("max.block.ms", _MAX_BLOCK_MS)) / 1000
            timeout = others.get("delivery.timeout.ms", others.get("request.timeout.ms", _DELIVERY_TIMEOUT_MS))
            acks = configuration.get("acks") or "-1"
            properties = producer_properties(configuration, others, acks=acks, timeout_ms=timeout)
            producer = Producer({**properties, **login(bootstrap, others)}, logger=_log)
        except (KafkaException, ValueError, TypeError) as error:
            raise construction_failed(str(error)) from None
        return cls(configuration, _Forwarder4(producer, block_seconds))

    def process(self, message: ChainMessage, tell: Tell) -> None:
        topic = _fill(self._topic, message)
        headers: tuple[tuple[str, bytes], ...] = ()
        if self._adds_headers:
            headers = tuple(
                (HEADER_PREFIX + key, value.encode(self._charset, "replace")) for key, value in message.metadata.items()
            )
        key = None if self._key is None else _fill(self._key, message).encode("utf-8", "replace")
        record = ProducerRecord(dump(message.data).encode("utf-8", "replace"), key, headers)

        def done(error: str | None) -> None:
            if error is None:
                tell(SUCCESS, message, None)
                return
            error = f"class org.apache.kafka.common.errors.TimeoutException: {error}"
            tell(FAILURE, message.changed(metadata=message.metadata | {"error": error}), error)

        self._forwarder.send(topic, record, done)

    def close(self) -> None:
        self._forwarder.close()


def _fill(pattern: str, message: ChainMessage) -> str:
    """Inserts metadata (`${key}`) and data (`$[key]`) into a pattern; unresolved references stay as written."""
    if "$" not in pattern:
        return pattern

    def value(match: re.Match[str]) -> str:
        if match[1] == "{":
            return message.metadata.get(match[2], match[0])
        found = message.data.get(match[2]) if isinstance(message.data, dict) else None
        return match[0] if found is None or isinstance(found, dict | list) else metadata_text(found)

    return _PATTERN.sub(value, pattern)
