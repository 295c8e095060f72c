"""The Kafka plugin: a real producer that behaves as the one in the 1.4 server does.

No retries, a null key, messages dealt out to the partitions in strict turn, no time stamp (CreateTime -1). Delivery
reports are fetched by the event loop itself: a thread of its own would fight for the interpreter lock over every
message (a waiting thread gets it after 5 ms only).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaException, Producer

from pacifictool.sandbox.background import in_background

Done = Callable[[str | None], None]
"""Called once with None when Kafka has the message, or with the reason why not."""

_log = logging.getLogger("pacifictool.sandbox.kafka")

NO_TIMESTAMP = -1
_POLL_SECONDS = 0.001
_METADATA_TRY_SECONDS = 0.5
_METADATA_WAIT_SECONDS = 60.0
"""The old client's max.block.ms: how long a message waits for a topic that is not known yet."""
_METADATA_AGE_SECONDS = 15.0
_RESOLVE_SECONDS = 3.0
_REQUEST_TIMEOUT_MS = 30_000
"""The old client's request.timeout.ms: a message that was not delivered by then is given up."""
_MAX_WAITING = 100_000
_SERIALIZERS = {
    f"org.apache.kafka.common.serialization.{name}Serializer"
    for name in ("String", "ByteArray", "Bytes", "ByteBuffer", "Integer", "Long", "Double")
}
_PASSED_ON = frozenset({"client.id", "compression.type", "security.protocol", "max.request.size"})
"""Java producer properties among `otherProperties` that mean the same to librdkafka; the others are left out."""


class ProducerRefused(Exception):
    """The plugin cannot start; the text is what its lifecycle event shows."""


def _fail(cause: str) -> ProducerRefused:
    return ProducerRefused(
        "org.apache.kafka.common.KafkaException: Failed to construct kafka producer\n"
        f"Caused by: org.apache.kafka.common.config.ConfigException: {cause}"
    )


def _check_addresses(bootstrap: str) -> None:
    """The old client resolves all addresses when it starts, and fails when none can be."""
    servers = [server.strip() for server in bootstrap.split(",") if server.strip()]
    resolved = 0
    for server in servers:
        host, colon, port = server.rpartition(":")
        if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise _fail(f"Invalid url in bootstrap.servers: {server}")
        with contextlib.suppress(OSError, UnicodeError):
            socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
            resolved += 1
    if not resolved:
        raise _fail(
            "No bootstrap urls given in bootstrap.servers"
            if not servers
            else f"No resolvable bootstrap urls given in bootstrap.servers: {bootstrap}"
        )


def _properties(configuration: Mapping[str, Any]) -> dict[str, Any]:
    others = {
        str(item["key"]): str(item["value"])
        for item in configuration.get("otherProperties") or []
        if isinstance(item, dict) and "key" in item and "value" in item
    }
    buffer_kib = max(1, int(configuration.get("bufferMemory") or 33_554_432) // 1024)
    properties: dict[str, Any] = {
        "bootstrap.servers": configuration["bootstrapServers"],
        "acks": configuration.get("acks", -1),
        "retries": int(configuration.get("retries") or 0),
        "batch.size": max(1, int(configuration.get("batchSize") or 16_384)),
        "linger.ms": int(configuration.get("linger") or 0),
        "queue.buffering.max.kbytes": buffer_kib,
        "message.timeout.ms": int(others.get("request.timeout.ms", _REQUEST_TIMEOUT_MS)),
        "reconnect.backoff.max.ms": 1000,
        # A broker that is away would fill the log with a line per attempt; the rule's ERROR events give the reason.
        "log_level": 2,
    }
    return properties | {
        ("message.max.bytes" if key == "max.request.size" else key): value
        for key, value in others.items()
        if key in _PASSED_ON
    }


@dataclass(slots=True)
class _Topic:
    partitions: list[int] = field(default_factory=list)
    turn: int = 0
    known_at: float = 0.0
    asking: bool = False
    waiting: list[tuple[bytes, Done, float]] = field(default_factory=list)


class KafkaForwarder:
    """One producer for one active plugin. Create it with `start`; everything runs in the event loop."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._topics: dict[str, _Topic] = {}
        self._outstanding = 0
        self._polling = False
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def start(cls, configuration: Mapping[str, Any]) -> KafkaForwarder:
        """Makes the producer. Raises ProducerRefused: no address resolves, a bad serializer or property."""
        for name in ("keySerializer", "valueSerializer"):
            serializer = configuration.get(name)
            if serializer is not None and serializer not in _SERIALIZERS:
                raise _fail(
                    f"Invalid value {serializer} for configuration {name}: Class {serializer} could not be found."
                )
        bootstrap = str(configuration["bootstrapServers"])
        try:
            await asyncio.wait_for(in_background(lambda: _check_addresses(bootstrap)), _RESOLVE_SECONDS)
        except TimeoutError:
            raise _fail(f"No resolvable bootstrap urls given in bootstrap.servers: {bootstrap}") from None
        try:
            return cls(Producer(_properties(configuration), logger=_log))
        except (KafkaException, ValueError, TypeError) as error:
            raise _fail(str(error)) from None

    def send(self, topic: str, value: bytes, done: Done) -> None:
        """Sends one message; `done` is called from the event loop, later."""
        state = self._topics.get(topic)
        if state is None:
            state = self._topics[topic] = _Topic()
        if state.partitions:
            self._produce(topic, state, value, done)
            if time.monotonic() - state.known_at > _METADATA_AGE_SECONDS:
                self._ask(topic, state)
            return
        if len(state.waiting) >= _MAX_WAITING:
            done("Too many messages wait for the topic's metadata.")
            return
        state.waiting.append((value, done, time.monotonic() + _METADATA_WAIT_SECONDS))
        self._ask(topic, state)

    def _produce(self, topic: str, state: _Topic, value: bytes, done: Done) -> None:
        partition = state.partitions[state.turn % len(state.partitions)]
        state.turn += 1
        loop = asyncio.get_running_loop()

        def delivered(error: Any, _message: Any) -> None:
            self._outstanding -= 1
            if error is not None:
                state.known_at = 0.0  # Partitions may have gone; ask with the next message.
            # Not from within librdkafka's callback: an exception there would end the polling.
            loop.call_soon(done, None if error is None else str(error))

        try:
            self._producer.produce(topic, value, partition=partition, timestamp=NO_TIMESTAMP, on_delivery=delivered)
        except (KafkaException, BufferError) as error:
            state.known_at = 0.0
            done(str(error))
            return
        self._outstanding += 1
        if not self._polling:
            self._polling = True
            loop.call_later(_POLL_SECONDS, self._poll)

    def _poll(self) -> None:
        if self._closed:
            return
        self._producer.poll(0)
        if self._outstanding:
            asyncio.get_running_loop().call_later(_POLL_SECONDS, self._poll)
        else:
            self._polling = False

    def _ask(self, topic: str, state: _Topic) -> None:
        if state.asking or self._closed:
            return
        state.asking = True
        task = asyncio.get_running_loop().create_task(self._find_partitions(topic, state))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _find_partitions(self, topic: str, state: _Topic) -> None:
        """Asks for the topic's partitions until they are known; asking creates a missing topic if the broker may."""
        try:
            while not self._closed:
                reason = "Topic not present in metadata."
                try:
                    metadata = await in_background(
                        lambda: self._producer.list_topics(topic, timeout=_METADATA_TRY_SECONDS)
                    )
                    found = metadata.topics.get(topic)
                    if found is not None and found.error is None and found.partitions:
                        state.partitions = sorted(found.partitions)
                        state.known_at = time.monotonic()
                        break
                except KafkaException as error:
                    reason = str(error)
                if not state.waiting:
                    state.known_at = time.monotonic()  # What was known stays good enough; ask again later.
                    break
                self._give_up(state, reason)
                await asyncio.sleep(0.1)
        finally:
            state.asking = False
        if self._closed:
            return
        waiting, state.waiting = state.waiting, []
        for value, done, _ in waiting:
            self._produce(topic, state, value, done)

    @staticmethod
    def _give_up(state: _Topic, reason: str) -> None:
        now = time.monotonic()
        late = [item for item in state.waiting if item[2] <= now]
        state.waiting = [item for item in state.waiting if item[2] > now]
        for _, done, _ in late:
            done(f"Failed to update metadata: {reason}")

    def close(self) -> None:
        """Gives up what is under way; whoever waits for it is told nothing more."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(KafkaException):
            self._producer.purge()
