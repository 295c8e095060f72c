"""Every cause that `doctor` and `trace` can name, each with an entry in docs/troubleshooting.md.

Beside these, an error of ours that a check or hop runs into goes by its kind (`errors.kind_name`), which has an entry
there, too.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pacifictool.errors import MqttError, PacificToolError
from pacifictool.mqtt.connection import Failure, failure_of


class Cause(StrEnum):
    """What is wrong, by a name that stays the same: for scripts, and to look up."""

    # This machine
    JAVA_PASSED_OVER = "java-passed-over"
    SPARK_MISMATCH = "spark-mismatch"
    JARS_NOT_CACHED = "jars-not-cached"
    TOO_FEW_OPEN_FILES = "too-few-open-files"
    FOLDER_UNUSABLE = "folder-unusable"
    DISK_SCARCE = "disk-scarce"

    # The platform
    NO_ANSWER = "no-answer"
    NOT_AN_ADMINISTRATOR = "not-an-administrator"
    CLOCK_SKEW = "clock-skew"

    # Devices and assets
    NO_TURBINES = "no-turbines"
    DEVICE_MISSING = "device-missing"
    ASSET_MISSING = "asset-missing"
    ENTITY_TYPE_DIFFERS = "entity-type-differs"
    ZONE_MISSING = "zone-missing"
    ZONE_DIFFERS = "zone-differs"
    DEVICE_TYPE_MISSING = "device-type-missing"
    DEVICE_TYPE_DIFFERS = "device-type-differs"
    ATTRIBUTES_IN_WRONG_SCOPE = "attributes-in-wrong-scope"
    MQTT_UNREACHABLE = "mqtt-unreachable"
    MQTT_TLS = "mqtt-tls"
    MQTT_SILENT = "mqtt-silent"
    MQTT_CLOSED = "mqtt-closed"
    NOT_MQTT = "not-mqtt"
    TOKEN_REFUSED = "token-refused"  # noqa: S105 - a cause, not a token
    PLATFORM_STUCK = "platform-stuck"
    NOT_STORED = "not-stored"

    # Forwarding
    PLUGIN_MISSING = "plugin-missing"
    PLUGIN_SUSPENDED = "plugin-suspended"
    PLUGIN_FAILED = "plugin-failed"
    PLUGIN_DIFFERS = "plugin-differs"
    PLUGIN_ERROR = "plugin-error"
    RULE_MISSING = "rule-missing"
    RULE_SUSPENDED = "rule-suspended"
    RULE_FAILED = "rule-failed"
    RULE_TWICE = "rule-twice"
    RULE_NAMESAKE = "rule-namesake"
    RULE_DIFFERS = "rule-differs"
    RULE_FILTER_DIFFERS = "rule-filter-differs"
    RULE_TOPIC_DIFFERS = "rule-topic-differs"
    RULE_ERROR = "rule-error"
    RULE_CHAIN_MISSING = "rule-chain-missing"
    RULE_CHAIN_NOT_CONNECTED = "rule-chain-not-connected"
    RULE_CHAIN_FAILED = "rule-chain-failed"
    RULE_CHAIN_TWICE = "rule-chain-twice"
    RULE_CHAIN_DIFFERS = "rule-chain-differs"
    RULE_CHAIN_TOPIC_DIFFERS = "rule-chain-topic-differs"
    DEVICE_PROFILE_BYPASSES = "device-profile-bypasses"
    FILTERED = "filtered"

    # Kafka
    KAFKA_ADVERTISED = "kafka-advertised"
    BROKER_TOO_NEW = "broker-too-new"
    TOPIC_MISSING = "topic-missing"
    TOPIC_PARTITIONS = "topic-partitions"
    TOPIC_CREATE_TIME = "topic-create-time"
    PLATFORM_KAFKA_DIFFERS = "platform-kafka-differs"
    PLATFORM_KAFKA_UNREACHABLE = "platform-kafka-unreachable"
    KAFKA_UNREADABLE = "kafka-unreadable"
    NOT_ACKNOWLEDGED = "not-acknowledged"
    NOT_FORWARDED = "not-forwarded"

    # The job
    JOB_NOT_RUNNING = "job-not-running"
    JOB_STARTS_LATER = "job-starts-later"
    JOB_OTHER_TOPIC = "job-other-topic"
    JOB_OTHER_PLATFORM = "job-other-platform"
    JOB_BEHIND = "job-behind"
    REJECTED = "rejected"
    WINDOW_OPEN = "window-open"
    DELIVERY_FAILING = "delivery-failing"
    RESULT_REFUSED = "result-refused"
    RESULTS_ELSEWHERE = "results-elsewhere"
    ASSET_RENAMED = "asset-renamed"
    NOT_READABLE = "not-readable"


_OF_MQTT: Final = {
    Failure.TOKEN_REFUSED: Cause.TOKEN_REFUSED,
    Failure.UNREACHABLE: Cause.MQTT_UNREACHABLE,
    Failure.TLS: Cause.MQTT_TLS,
    Failure.SERVER_BUSY: Cause.MQTT_SILENT,
    Failure.NOT_MQTT: Cause.NOT_MQTT,
    Failure.CLOSED: Cause.MQTT_CLOSED,
}


def cause_of(error: PacificToolError) -> str:
    """The cause that an error stands for, where it tells more than its kind; else its kind."""
    if isinstance(error, MqttError) and (failure := failure_of(error)) in _OF_MQTT:
        return _OF_MQTT[failure]
    if error.details.get("advertised") is not None:
        return Cause.KAFKA_ADVERTISED
    return error.kind


def entry_of(cause: str) -> str:
    """Where a person finds more on a cause."""
    return f"docs/troubleshooting.md#{cause}"
