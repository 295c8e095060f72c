"""Checks of Kafka: bootstrap, advertised addresses, protocol versions, the topic, the broker's clock."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

from pacifictool.diagnosis.causes import Cause
from pacifictool.diagnosis.checks import Check, Finding, failed, ok, skipped, warning
from pacifictool.diagnosis.server import CLOCK_TOLERANCE_SECONDS
from pacifictool.diagnosis.surroundings import Surroundings
from pacifictool.errors import KafkaError
from pacifictool.kafka.records import Record, read_records
from pacifictool.kafka.topics import LOG_APPEND_TIME, BrokerAddress, KafkaAdmin
from pacifictool.kafka.versions import protocol_versions
from pacifictool.tools.threads import run_within

GROUP = "Kafka"
TIMEOUT_SECONDS = 3.0
_CONNECT_SECONDS = 2.0
_FRESH_SECONDS = 60.0
"""What the newest record's time tells of the broker's clock is only worth something while it is new."""


def broker_checks(around: Surroundings) -> list[Check]:
    """See the module."""
    return [
        Check("kafka", GROUP, "Kafka", lambda: _bootstrap(around), seconds=8.0),
        Check("kafka-advertised", GROUP, "Advertised addresses", lambda: _advertised(around), ("kafka",)),
        Check("kafka-version", GROUP, "Protocol versions", lambda: _versions(around), ("kafka", "generation")),
        Check("topic", GROUP, "Topic", lambda: _topic(around), ("kafka-advertised",), after=("generation",)),
        Check("clock-broker", GROUP, "Clock of the broker", lambda: _clock(around), ("topic",)),
    ]


def _bootstrap(around: Surroundings) -> Iterator[Finding]:
    endpoint = around.settings.kafka
    around.admin = KafkaAdmin(endpoint, timeout_seconds=TIMEOUT_SECONDS)
    around.brokers = around.admin.brokers()
    count = len(around.brokers)
    yield ok(f"{count} broker{'s' if count != 1 else ''} behind {endpoint}")


def _advertised(around: Surroundings) -> Iterator[Finding]:
    """Clients use the bootstrap address once, and from then on what the brokers call themselves."""
    reasons = run_within(2 * _CONNECT_SECONDS, _no_connection, around.brokers, name="broker-connection")
    silent = f"no answer within {2 * _CONNECT_SECONDS:g} s"
    broken = {broker: reason for broker in around.brokers if (reason := reasons.get(broker, silent)) is not None}
    if not broken:
        yield ok(f"{', '.join(map(str, around.brokers))}: can be reached")
        return
    told = "; ".join(f"{broker} ({reason})" for broker, reason in broken.items())
    yield failed(
        Cause.KAFKA_ADVERTISED,
        f"Kafka tells its clients to use addresses that cannot be reached from here: {told}.",
        "Set advertised.listeners of the broker to an address that this machine and the platform can reach, and"
        " restart it.",
    )


def _no_connection(broker: BrokerAddress) -> str | None:
    try:
        socket.create_connection((broker.host, broker.port), timeout=_CONNECT_SECONDS).close()
    except socket.gaierror:
        return "this name has no address"
    except TimeoutError:
        return f"no answer within {_CONNECT_SECONDS:g} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def _versions(around: Surroundings) -> Iterator[Finding]:
    """Brokers from 4.0 on do not understand the client 0.9 of 1.x (docs/servers/1.x.md#forwarding-to-kafka, row 5)."""
    broker = next((broker for broker in around.brokers if _no_connection(broker) is None), None)
    if broker is None:
        yield skipped("No broker can be reached at its own address.")
        return
    versions = protocol_versions(around.settings.kafka, broker, timeout_seconds=TIMEOUT_SECONDS)
    if versions.takes_old_clients:
        yield ok(f"the broker {broker} is older than 4.0 and takes clients of any age")
    elif around.generation == "1.x":
        yield failed(
            Cause.BROKER_TOO_NEW,
            f"The broker {broker} is 4.0 or later, which does not understand the Kafka client 0.9 of a 1.x server:"
            " nothing will arrive.",
            "Use a broker up to 3.9 (pacifictool sandbox up starts one), and name it with --kafka.",
        )
    elif around.generation in ("2.x", "3.x"):
        yield warning(
            Cause.BROKER_TOO_NEW,
            f"The broker {broker} is 4.0 or later and takes clients from 2.1 on; it depends on the server's exact"
            " version which client it has.",
            "If nothing arrives in Kafka, use a broker up to 3.9.",
        )
    else:
        yield ok(f"the broker {broker} is 4.0 or later, which a {around.generation} server's client can talk to")


def _topic(around: Surroundings) -> Iterator[Finding]:
    wanted = around.scenario.kafka
    topic = around.topic = around.the_admin().describe(wanted.topic)
    if topic is None:
        seen = f"There is no topic {wanted.topic} at {around.settings.kafka}."
        yield failed(Cause.TOPIC_MISSING, seen, "pacifictool setup")
        return
    seen = f"{topic.name}: {topic.partitions} partition{'s' if topic.partitions != 1 else ''}, {topic.timestamp_type}"
    if topic.partitions < wanted.partitions:
        told = f"{seen}; the scenario asks for {wanted.partitions}."
        yield failed(Cause.TOPIC_PARTITIONS, told, "pacifictool setup --add-partitions")
    elif topic.timestamp_type != LOG_APPEND_TIME and around.generation in ("", "1.x"):
        yield warning(
            Cause.TOPIC_CREATE_TIME,
            f"{seen}: a 1.x server's records carry no time of their own, so that windows would go by their arrival.",
            "pacifictool setup",
        )
    elif topic.timestamp_type != LOG_APPEND_TIME:
        yield ok(f"{seen}: records carry the platform's time")
    else:
        yield ok(seen)


def _clock(around: Surroundings) -> Iterator[Finding]:
    """Kafka has no question for its time: only a record that it has just stamped tells something."""
    try:
        newest = _newest(around)
    except KafkaError as error:
        yield skipped(f"Not known: {error.message}")
        return
    if newest is None or newest.timestamp_ms is None:
        yield skipped("Not known: no record in the topic carries a time.")
        return
    if not newest.broker_time:
        yield skipped("Not known: the topic's records carry the time of whoever wrote them.")
        return
    ahead = newest.timestamp_ms / 1000 - time.time()
    if ahead > CLOCK_TOLERANCE_SECONDS:
        yield warning(
            Cause.CLOCK_SKEW,
            f"At least {ahead:.0f} s ahead of this machine's: its newest record is stamped with the future.",
            "Let the broker and this machine keep their clocks by NTP (timedatectl set-ntp true).",
        )
    elif ahead > -_FRESH_SECONDS:
        yield ok(f"its newest record is stamped {max(0.0, -ahead):.1f} s ago")
    else:
        yield skipped(f"Not known: the newest record is {-ahead:.0f} s old.")


def _newest(around: Surroundings) -> Record | None:
    """The record with the latest time among the last ones of all partitions."""
    topic = around.scenario.kafka.topic
    ends = around.the_admin().offsets(topic)
    starts = around.the_admin().offsets(topic, at="start")
    last = {part: max(starts.get(part, 0), end - 1) for part, end in ends.items()}
    found = read_records(around.settings.kafka, topic, start=last, end=ends, timeout_seconds=TIMEOUT_SECONDS)
    return max(found, key=lambda record: record.timestamp_ms or 0, default=None)
