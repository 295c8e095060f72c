"""Writing to a real Kafka broker from the event loop: what the producers of all generations share.

Delivery reports are fetched by the event loop itself: a thread of its own would fight for the interpreter lock over
every message (a waiting thread gets it after 5 ms only).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaException, Producer

from pacifictool.sandbox.background import in_background

Done = Callable[[str | None], None]
"""Called once with None when Kafka has the message, or with the reason why not."""

LoginProperties = Callable[[str, Mapping[str, object]], Mapping[str, str]]
"""librdkafka's properties for the login at the given bootstrap servers; {} if the producer's own properties, the second
argument, already configure one, or if none is needed."""

_POLL_SECONDS = 0.001
_REQUESTS_IN_FLIGHT = 1
"""Messages that arrive while a request is in flight share the next one, so that requests grow with the load. By
default librdkafka sends one for each message, which costs the broker and the sandbox 0.2 ms each."""
_SHORTEST_LINGER_MS = 2.0
"""With 0 librdkafka wakes its thread for every message. With both settings a busy machine forwards three times as many
messages."""
_METADATA_TRY_SECONDS = 0.5
MAX_BLOCK_SECONDS = 60.0
"""The Java client's max.block.ms: how long a message waits for the metadata of a new topic."""
_METADATA_AGE_SECONDS = 15.0
_RESOLVE_SECONDS = 3.0
_MAX_WAITING = 100_000


def no_login(_bootstrap: str, _given: Mapping[str, object]) -> Mapping[str, str]:
    """For brokers that need no login."""
    return {}


class ProducerRefused(Exception):
    """The producer cannot start; the text is the error of a lifecycle event."""


def construction_failed(cause: str) -> ProducerRefused:
    """In the words of the Java client."""
    return ProducerRefused(
        "org.apache.kafka.common.KafkaException: Failed to construct kafka producer\n"
        f"Caused by: org.apache.kafka.common.config.ConfigException: {cause}"
    )


def _check_addresses(bootstrap: str) -> None:
    """The Java client resolves all addresses when it starts, and fails when none can be."""
    servers = [server.strip() for server in bootstrap.split(",") if server.strip()]
    resolved = 0
    for server in servers:
        host, colon, port = server.rpartition(":")
        if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise construction_failed(f"Invalid url in bootstrap.servers: {server}")
        with contextlib.suppress(OSError, UnicodeError):
            socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
            resolved += 1
    if not resolved:
        raise construction_failed(
            "No bootstrap urls given in bootstrap.servers"
            if not servers
            else f"No resolvable bootstrap urls given in bootstrap.servers: {bootstrap}"
        )


_PASSED_ON = frozenset({"client.id", "compression.type", "security.protocol", "max.request.size"})
"""Java producer properties among `otherProperties` that mean the same to librdkafka; the others are ignored."""


def producer_properties(
    configuration: Mapping[str, Any], others: Mapping[str, str], *, acks: object, timeout_ms: int | str
) -> dict[str, Any]:
    """librdkafka's properties for the configuration of a plugin or node and its `otherProperties`.

    Raises ValueError and TypeError for values that are not numbers.
    """
    properties: dict[str, Any] = {
        "bootstrap.servers": configuration["bootstrapServers"],
        "acks": acks,
        "retries": int(configuration.get("retries") or 0),
        "batch.size": max(1, int(configuration.get("batchSize") or 16_384)),
        "linger.ms": max(_SHORTEST_LINGER_MS, int(configuration.get("linger") or 0)),
        "max.in.flight.requests.per.connection": _REQUESTS_IN_FLIGHT,
        "queue.buffering.max.kbytes": max(1, int(configuration.get("bufferMemory") or 33_554_432) // 1024),
        "message.timeout.ms": int(timeout_ms),
        "reconnect.backoff.max.ms": 1000,
        # An unavailable broker would fill the log with a line per attempt; the components' events give the reason.
        "log_level": 2,
    }
    return properties | {
        ("message.max.bytes" if key == "max.request.size" else key): value
        for key, value in others.items()
        if key in _PASSED_ON
    }


async def check_addresses(bootstrap: str) -> None:
    """Raises ProducerRefused when no address of `bootstrap` resolves in time."""
    try:
        await asyncio.wait_for(in_background(lambda: _check_addresses(bootstrap)), _RESOLVE_SECONDS)
    except TimeoutError:
        raise construction_failed(f"No resolvable bootstrap urls given in bootstrap.servers: {bootstrap}") from None


@dataclass(frozen=True, slots=True)
class ProducerRecord:
    """What is written."""

    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True)
class ProducerTopic:
    """The metadata of a topic. `turn` counts records, for a generation that assigns partitions round-robin."""

    partitions: list[int] = field(default_factory=list)
    turn: int = 0
    known_at: float = 0.0
    asking: bool = False
    waiting: list[tuple[ProducerRecord, Done, float]] = field(default_factory=list)


class Forwarder:
    """One producer for one plugin or rule node. Everything runs in the event loop."""

    def __init__(self, producer: Producer, max_block_seconds: float = MAX_BLOCK_SECONDS) -> None:
        self._producer = producer
        self.max_block_seconds = max_block_seconds
        self._topics: dict[str, ProducerTopic] = {}
        self._outstanding = 0
        self._polling = False
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, topic: str, record: ProducerRecord, done: Done) -> None:
        """Sends one message; `done` is called from the event loop, later."""
        state = self._topics.get(topic)
        if state is None:
            state = self._topics[topic] = ProducerTopic()
        if state.partitions:
            self._produce(topic, state, record, done)
            if time.monotonic() - state.known_at > _METADATA_AGE_SECONDS:
                self._ask(topic, state)
            return
        if len(state.waiting) >= _MAX_WAITING:
            done("Too many messages wait for the topic's metadata.")
            return
        state.waiting.append((record, done, time.monotonic() + self.max_block_seconds))
        self._ask(topic, state)

    def place(self, state: ProducerTopic) -> dict[str, Any]:
        """`partition` and `timestamp` of the next record; by default the client's partitioner and the time of now."""
        return {}

    def metadata_failure(self, topic: str, reason: str) -> str:
        """What the client says about a record whose topic's partitions did not become known in time."""
        return f"Failed to update metadata: {reason}"

    def _produce(self, topic: str, state: ProducerTopic, record: ProducerRecord, done: Done) -> None:
        loop = asyncio.get_running_loop()

        def delivered(error: Any, _message: Any) -> None:
            self._outstanding -= 1
            if error is not None:
                state.known_at = 0.0  # Partitions may have gone; ask with the next message.
            # Not from within librdkafka's callback: an exception there would end the polling.
            loop.call_soon(done, None if error is None else str(error))

        try:
            self._producer.produce(
                topic,
                record.value,
                record.key,
                headers=list(record.headers) or None,
                on_delivery=delivered,
                **self.place(state),
            )
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

    def _ask(self, topic: str, state: ProducerTopic) -> None:
        if state.asking or self._closed:
            return
        state.asking = True
        task = asyncio.get_running_loop().create_task(self._find_partitions(topic, state))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _find_partitions(self, topic: str, state: ProducerTopic) -> None:
        """Requests the topic's partitions until they are known, which creates a missing one if the broker allows it."""
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
                self._give_up(topic, state, reason)
                await asyncio.sleep(0.1)
        finally:
            state.asking = False
        if self._closed:
            return
        waiting, state.waiting = state.waiting, []
        for record, done, _ in waiting:
            self._produce(topic, state, record, done)

    def _give_up(self, topic: str, state: ProducerTopic, reason: str) -> None:
        now = time.monotonic()
        late = [item for item in state.waiting if item[2] <= now]
        state.waiting = [item for item in state.waiting if item[2] > now]
        for _, done, _ in late:
            done(self.metadata_failure(topic, reason))

    def close(self) -> None:
        """Drops messages in flight; their callbacks are not called any more."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(KafkaException):
            self._producer.purge()
