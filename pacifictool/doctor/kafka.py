"""Checks of Kafka: bootstrap, advertised addresses, protocol versions, the topic, the broker's clock."""

from __future__ import annotations

import time
from collections.abc import Iterator

from pacifictool.doctor.checks import CheckContext, CheckResult, DoctorCheck, failed, ok, skipped, warning
from pacifictool.doctor.platform import CLOCK_TOLERANCE_SECONDS
from pacifictool.errors import KafkaError
from pacifictool.kafka.records import Record, read_records
from pacifictool.kafka.topics import LOG_APPEND_TIME, BrokerAddress, KafkaAdmin
from pacifictool.kafka.versions import protocol_versions
from pacifictool.problems import SETUP, ProblemCode
from pacifictool.tools.connections import connection_error
from pacifictool.tools.threads import run_within

GROUP = "Kafka"
TIMEOUT_SECONDS = 3.0
_CONNECT_SECONDS = 2.0
_RECENT_SECONDS = 60.0
"""The newest record shows the broker's clock only if it is at most this old."""


def _bootstrap(context: CheckContext) -> Iterator[CheckResult]:
    endpoint = context.settings.kafka
    context.admin = KafkaAdmin(endpoint, timeout_seconds=TIMEOUT_SECONDS)
    context.brokers = context.admin.brokers()
    count = len(context.brokers)
    yield ok(f"{count} broker{'s' if count != 1 else ''} behind {endpoint}")


def _advertised(context: CheckContext) -> Iterator[CheckResult]:
    """Clients use the bootstrap address once, and from then on the addresses that the brokers advertise."""
    reasons = run_within(2 * _CONNECT_SECONDS, _connection_error, context.brokers, name="broker-connection")
    timed_out = f"no response within {2 * _CONNECT_SECONDS:g} s"
    broken = {broker: reason for broker in context.brokers if (reason := reasons.get(broker, timed_out)) is not None}
    if not broken:
        yield ok(f"{', '.join(map(str, context.brokers))}: can be reached")
        return
    addresses = "; ".join(f"{broker} ({reason})" for broker, reason in broken.items())
    yield failed(
        ProblemCode.KAFKA_ADVERTISED,
        f"Kafka tells its clients to use addresses that cannot be reached from here: {addresses}.",
        "Set advertised.listeners of the broker to an address that this machine and the platform can reach, and"
        " restart it.",
    )


def _connection_error(broker: BrokerAddress) -> str | None:
    return connection_error(broker.host, broker.port, _CONNECT_SECONDS)


def _versions(context: CheckContext) -> Iterator[CheckResult]:
    """Brokers from 4.0 on do not understand the client 0.9 of 1.x (docs/servers/1.x.md#forwarding-to-kafka, row 5)."""
    broker = next((broker for broker in context.brokers if _connection_error(broker) is None), None)
    if broker is None:
        yield skipped("None of the brokers can be reached at its advertised address.")
        return
    versions = protocol_versions(context.settings.kafka, broker, timeout_seconds=TIMEOUT_SECONDS)
    if versions.takes_old_clients:
        yield ok(f"the broker {broker} is older than 4.0 and accepts clients of any age")
    elif context.generation == "1.x":
        yield failed(
            ProblemCode.BROKER_TOO_NEW,
            f"The broker {broker} is 4.0 or later, which does not understand the Kafka client 0.9 of a 1.x server:"
            " nothing will arrive.",
            "Use a broker up to 3.9 (pacifictool sandbox up starts one), and name it with --kafka.",
        )
    elif context.generation in ("2.x", "3.x"):
        yield warning(
            ProblemCode.BROKER_TOO_NEW,
            f"The broker {broker} is 4.0 or later and accepts clients from 2.1 on; the server's exact version decides"
            " which client it has.",
            "If nothing arrives in Kafka, use a broker up to 3.9.",
        )
    else:
        yield ok(f"the broker {broker} is 4.0 or later, which works with the client of a {context.generation} server")


def _topic(context: CheckContext) -> Iterator[CheckResult]:
    wanted = context.scenario.forwarding
    topic = context.require_admin().describe(wanted.topic)
    if topic is None:
        text = f"Topic {wanted.topic} does not exist at {context.settings.kafka}."
        yield failed(ProblemCode.TOPIC_MISSING, text, SETUP)
        return
    text = f"{topic.name}: {topic.partitions} partition{'s' if topic.partitions != 1 else ''}, {topic.timestamp_type}"
    if topic.partitions < wanted.partitions:
        text = f"{text}; the scenario asks for {wanted.partitions}."
        yield failed(ProblemCode.TOPIC_PARTITIONS, text, f"{SETUP} --add-partitions")
    elif topic.timestamp_type == LOG_APPEND_TIME:
        yield ok(text)
    elif context.generation in ("", "1.x"):
        yield warning(
            ProblemCode.TOPIC_CREATE_TIME,
            f"{text}: records of a 1.x server have no timestamp, so that windows would follow the time of arrival.",
            SETUP,
        )
    else:
        yield ok(f"{text}: records have the platform's timestamp")


def _clock(context: CheckContext) -> Iterator[CheckResult]:
    """Kafka cannot be asked for its time: only a recent record whose timestamp the broker has set shows it."""
    try:
        newest = _newest(context)
    except KafkaError as error:
        yield skipped(f"Unknown: {error.message}")
        return
    if newest is None or newest.timestamp_ms is None:
        yield skipped("Unknown: the topic has no record with a timestamp.")
        return
    if not newest.broker_time:
        yield skipped("Unknown: the topic's records have the timestamps of their producers.")
        return
    ahead = newest.timestamp_ms / 1000 - time.time()
    if ahead > CLOCK_TOLERANCE_SECONDS:
        yield warning(
            ProblemCode.CLOCK_SKEW,
            f"At least {ahead:.0f} s ahead of this machine's: the timestamp of its newest record is in the future.",
            "Synchronise the clocks of the broker and this machine by NTP (timedatectl set-ntp true).",
        )
    elif ahead > -_RECENT_SECONDS:
        yield ok(f"its newest record has a timestamp of {max(0.0, -ahead):.1f} s ago")
    else:
        yield skipped(f"Unknown: the newest record is {-ahead:.0f} s old.")


def _newest(context: CheckContext) -> Record | None:
    """The record with the latest timestamp among the last ones of all partitions."""
    topic, admin = context.scenario.forwarding.topic, context.require_admin()
    ends, starts = admin.offsets(topic), admin.offsets(topic, at="start")
    last = {part: max(starts.get(part, 0), end - 1) for part, end in ends.items()}
    found = read_records(context.settings.kafka, topic, start=last, end=ends, timeout_seconds=TIMEOUT_SECONDS)
    return max(found, key=lambda record: record.timestamp_ms or 0, default=None)


KAFKA_CHECKS = (
    DoctorCheck("kafka", GROUP, "Kafka", _bootstrap, seconds=8.0),
    DoctorCheck("kafka-advertised", GROUP, "Advertised addresses", _advertised, ("kafka",)),
    DoctorCheck("kafka-version", GROUP, "Protocol versions", _versions, ("kafka", "generation")),
    DoctorCheck("topic", GROUP, "Topic", _topic, ("kafka-advertised",), after=("generation",)),
    DoctorCheck("clock-broker", GROUP, "Clock of the broker", _clock, ("topic",)),
)
