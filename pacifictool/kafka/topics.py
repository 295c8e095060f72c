"""Administration of topics: checks the cluster, describes, creates and changes topics, finds their offsets.

Uses librdkafka's admin client (confluent-kafka). Every KafkaException is translated here.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from confluent_kafka import IsolationLevel, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from pacifictool.errors import KafkaError, KafkaUnreachable
from pacifictool.kafka.config import librdkafka_properties
from pacifictool.kafka.security import is_refusal, security_fault
from pacifictool.settings import KafkaEndpoint
from pacifictool.tools.connections import connection_error

CREATE_TIME = "CreateTime"
LOG_APPEND_TIME = "LogAppendTime"
_TIMESTAMP_TYPE = "message.timestamp.type"

_PROBE_SECONDS = 3.0
_FIRST_TIMEOUT_SECONDS = 0.5
_POLL_SECONDS = 0.1

# A partition has no leader yet, or a new one: after a creation (observed), and while brokers restart.
_SETTLING = ("NOT_LEADER_FOR_PARTITION", "LEADER_NOT_AVAILABLE", "UNKNOWN_TOPIC_OR_PART")

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A broker as the cluster advertises it to clients."""

    id: int
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """The description of one topic by the cluster."""

    name: str
    topic_id: str
    """Changes when a topic is deleted and created again under its name."""
    partitions: int
    replication: int
    timestamp_type: str
    """CREATE_TIME or LOG_APPEND_TIME."""


class KafkaAdmin:
    """Administration of one cluster. Every call raises KafkaUnreachable or KafkaError."""

    def __init__(self, endpoint: KafkaEndpoint, *, timeout_seconds: float = 10.0) -> None:
        self.endpoint = endpoint
        self.timeout_seconds = timeout_seconds
        self._last_error: str | None = None
        self._refusal: str | None = None
        """librdkafka's last message about TLS or SASL."""
        self._all_down = False
        self._client = self._new_client()

    def _new_client(self) -> AdminClient:
        try:
            return AdminClient(librdkafka_properties(self.endpoint, {"error_cb": self._remember}))
        except (KafkaException, ValueError, TypeError) as error:
            raise KafkaError(
                f"The Kafka client refuses its configuration: {reason_of(error)}.",
                hint="Check the -X options and --kafka-config against librdkafka's names.",
            ) from error

    def _remember(self, error: Any) -> None:
        code, text = error.name(), error.str()
        if code == "_ALL_BROKERS_DOWN":
            self._all_down = True
        elif is_refusal(code, text):
            self._refusal = text
        else:
            self._last_error = text

    def _look_for_refusal(self) -> None:
        """Raises KafkaError when every broker refuses the client: waiting does not fix certificates or passwords."""
        # librdkafka reports errors only when it is polled.
        self._client.poll(0)
        if self._all_down and self._refusal is not None:
            if no_connection(self.endpoint) is not None:
                # A broker that shuts down aborts handshakes, too; that one is worth waiting for.
                self._refusal = None
                return
            fault = security_fault(self.endpoint, self._refusal)
            if fault is not None:
                raise fault

    def brokers(self) -> list[BrokerAddress]:
        """The advertised addresses. Raises KafkaUnreachable when no bootstrap server responds in time."""
        if (reason := no_connection(self.endpoint)) is not None:
            # librdkafka would retry until the timeout, and then only report a failure without the reason.
            raise unreachable(self.endpoint, reason)
        metadata = self._metadata()
        return sorted(
            (BrokerAddress(broker.id, str(broker.host), broker.port) for broker in metadata.brokers.values()),
            key=lambda broker: broker.id,
        )

    def _metadata(self) -> ClusterMetadata:
        deadline = time.monotonic() + self.timeout_seconds
        timeout = _FIRST_TIMEOUT_SECONDS
        while True:
            try:
                return self._client.list_topics(timeout=min(timeout, max(0.01, deadline - time.monotonic())))
            except KafkaException as error:
                self._look_for_refusal()
                if time.monotonic() >= deadline:
                    raise self._unreachable(error) from error
            # Each request gets a longer timeout, for a slow cluster, and its own client: after a late response, a
            # client uses the advertised addresses from then on, which may not be reachable.
            self._client = self._new_client()
            timeout *= 2

    def check_reachable(self) -> list[BrokerAddress]:
        """Also connects to every advertised address: clients talk to those, not to the bootstrap address."""
        brokers = self.brokers()
        for broker in brokers:
            try:
                socket.create_connection((broker.host, broker.port), timeout=min(self.timeout_seconds, 3)).close()
            except OSError as error:
                raise KafkaUnreachable(
                    f"Kafka at {self.endpoint} responds, but tells clients to use {broker}, "
                    f"which cannot be reached from here: {error.strerror or error}.",
                    hint="Set advertised.listeners of that broker to an address that this machine can reach.",
                    bootstrap=self.endpoint.bootstrap,
                    advertised=str(broker),
                ) from error
        return brokers

    def cluster_id(self) -> str:
        """The identity of the cluster."""
        return str(self._wait(self._client.describe_cluster, "describe the cluster").cluster_id)

    def describe(self, topic: str) -> TopicInfo | None:
        """The description of `topic`; None when there is no such topic."""
        description = self._description(topic)
        if description is None:
            return None
        config = self._topic_config(topic)
        return TopicInfo(
            name=topic,
            topic_id=str(description.topic_id),
            partitions=len(description.partitions),
            replication=min((len(part.replicas) for part in description.partitions), default=0),
            timestamp_type=str(config[_TIMESTAMP_TYPE].value),
        )

    def _description(self, topic: str) -> Any | None:
        futures = self._call(
            lambda: self._client.describe_topics(TopicCollection([topic]), request_timeout=self.timeout_seconds)
        )
        try:
            return self._wait_for(futures[topic])
        except KafkaException as error:
            if error.args[0].name() in ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_ID"):
                return None
            raise self._translated(error, f"describe topic {topic}") from error
        except TimeoutError as error:
            raise self._unreachable(error) from error

    def committed_ends(self, topic: str) -> tuple[str, dict[int, int]] | None:
        """The topic's id, and the end of its committed records by partition: no transaction before it is open.

        None when there is no such topic.
        """
        description = self._description(topic)
        if description is None:
            return None
        partitions = range(len(description.partitions))
        ends = self._list_offsets(topic, partitions, OffsetSpec.latest(), isolation_level=IsolationLevel.READ_COMMITTED)  # type: ignore[no-untyped-call]
        return str(description.topic_id), ends

    def create(self, topic: str, *, partitions: int, replication: int, timestamp_type: str = LOG_APPEND_TIME) -> None:
        """Creates the topic and waits until the brokers know it. A topic that already exists is not changed."""
        new = NewTopic(topic, partitions, replication, config={_TIMESTAMP_TYPE: timestamp_type})
        try:
            self._wait(
                lambda: self._client.create_topics([new], request_timeout=self.timeout_seconds)[topic],
                f"create {topic}",
            )
        except KafkaError as error:
            if error.details.get("code") != "TOPIC_ALREADY_EXISTS":
                raise
        # The controller's response does not mean that the other brokers know the topic yet (observed).
        deadline = time.monotonic() + self.timeout_seconds
        while self.describe(topic) is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def set_timestamp_type(self, topic: str, timestamp_type: str) -> None:
        """Sets whose clock gives new records their timestamp; existing records keep theirs."""
        entry = ConfigEntry(_TIMESTAMP_TYPE, timestamp_type, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        self._wait(
            lambda: next(iter(self._client.incremental_alter_configs([resource]).values())),
            f"set {_TIMESTAMP_TYPE} of {topic}",
        )

    def add_partitions(self, topic: str, total: int) -> None:
        """Raises the number of partitions to `total`."""
        self._wait(
            lambda: self._client.create_partitions([NewPartitions(topic, total)])[topic], f"add partitions to {topic}"
        )

    def delete(self, topic: str) -> None:
        """Deletes the topic with its records; does nothing if it does not exist."""
        try:
            self._wait(lambda: self._client.delete_topics([topic])[topic], f"delete {topic}")
        except KafkaError as error:
            if error.details.get("code") != "UNKNOWN_TOPIC_OR_PART":
                raise

    def offsets(self, topic: str, *, at: str | int = "end") -> dict[int, int]:
        """Offset by partition of the topic's "end" (where the next record will go), of its "start", or of the first
        record whose timestamp is not before `at` ms since the epoch (the end, when there is none)."""
        info = self.describe(topic)
        if info is None:
            raise KafkaError(f"There is no topic {topic} at {self.endpoint}.", hint="`pacifictool setup` creates it.")
        ends: dict[int, int] = {}
        if isinstance(at, int):
            ends, spec = self.offsets(topic), OffsetSpec.for_timestamp(at)
        else:
            spec = OffsetSpec.latest() if at == "end" else OffsetSpec.earliest()  # type: ignore[no-untyped-call]
        found = self._list_offsets(topic, range(info.partitions), spec)
        return {part: offset if offset >= 0 else ends[part] for part, offset in found.items()}

    def _list_offsets(self, topic: str, partitions: Iterable[int], spec: OffsetSpec, **options: Any) -> dict[int, int]:
        wanted = {TopicPartition(topic, partition): spec for partition in partitions}
        deadline = time.monotonic() + self.timeout_seconds
        while True:
            futures = self._call(lambda: self._client.list_offsets(wanted, **options))
            try:
                return {
                    partition.partition: int(self._result(future, f"read the offsets of {topic}").offset)
                    for partition, future in futures.items()
                }
            except KafkaError as error:
                if error.details.get("code") not in _SETTLING or time.monotonic() > deadline:
                    raise
            time.sleep(_POLL_SECONDS)

    def _topic_config(self, topic: str) -> dict[str, ConfigEntry]:
        resource = ConfigResource(ResourceType.TOPIC, topic)
        config: dict[str, ConfigEntry] = self._wait(
            lambda: self._client.describe_configs([resource])[resource], f"read the configuration of {topic}"
        )
        return config

    def _call(self, start: Callable[[], Result]) -> Result:
        try:
            return start()
        except KafkaException as error:
            raise self._unreachable(error) from error

    def _wait(self, start: Callable[[], Future[Any]], action: str) -> Any:
        return self._result(self._call(start), action)

    def _result(self, future: Future[Any], action: str) -> Any:
        try:
            return self._wait_for(future)
        except TimeoutError as error:
            raise self._unreachable(error) from error
        except KafkaException as error:
            raise self._translated(error, action) from error

    def _wait_for(self, future: Future[Any]) -> Any:
        """The result. Raises KafkaException, TimeoutError, or KafkaError when every broker refuses the client."""
        deadline = time.monotonic() + self.timeout_seconds + 1
        while not wait([future], timeout=_POLL_SECONDS).done:
            self._look_for_refusal()
            if time.monotonic() > deadline:
                break
        return future.result(0)

    def _translated(self, error: KafkaException, action: str) -> KafkaError:
        code = error.args[0].name()
        if code in ("_TRANSPORT", "_TIMED_OUT", "_ALL_BROKERS_DOWN", "_RESOLVE", "_TIMED_OUT_QUEUE"):
            return self._unreachable(error)
        return KafkaError(f"Kafka at {self.endpoint} did not {action}: {reason_of(error)}.", code=code)

    def _unreachable(self, error: Exception) -> KafkaError:
        self._client.poll(0)
        reason = no_connection(self.endpoint)
        if reason is None and (fault := security_fault(self.endpoint, self._refusal)) is not None:
            return fault
        return unreachable(self.endpoint, reason or self._last_error or reason_of(error))


def unreachable(endpoint: KafkaEndpoint, reason: str) -> KafkaUnreachable:
    """The error for a cluster that does not respond."""
    return KafkaUnreachable(
        f"Kafka at {endpoint} cannot be reached: {reason}.",
        hint="Check --kafka (PACIFICTOOL_KAFKA), that the broker runs, and the security settings given with -X.",
        bootstrap=endpoint.bootstrap,
    )


def no_connection(endpoint: KafkaEndpoint) -> str | None:
    """Why no bootstrap server accepts a connection, as the operating system reports it; None when one does."""
    reason = None
    for address in endpoint.bootstrap.split(","):
        parts = urlsplit(f"//{address}")
        error = connection_error(parts.hostname or "", parts.port or 9092, _PROBE_SECONDS)
        if error is None:
            return None
        reason = reason or error
    return reason


def reason_of(error: BaseException) -> str:
    """librdkafka's message, without its codes."""
    if isinstance(error, KafkaException) and error.args and hasattr(error.args[0], "str"):
        return str(error.args[0].str()).rstrip(". ")
    return str(error).rstrip(". ") or type(error).__name__
