"""The problems that `doctor` and `trace` can both find: each with a stable code, a text and a fix.

Every code has an entry in docs/troubleshooting.md. An error that a check or a hop raises is reported by its kind
(`errors.kind_name`) unless it stands for a problem with a code of its own; kinds have entries there, too.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from pacifictool.errors import KafkaError, MqttError, PacificToolError
from pacifictool.kafka.topics import KafkaAdmin, no_connection
from pacifictool.mqtt.connection import Failure, failure_of
from pacifictool.plan import Change, ChangeAction
from pacifictool.provisioning.entities import SCOPES, wanted_attributes
from pacifictool.provisioning.forwarding import required_attributes
from pacifictool.provisioning.stored_attributes import same_attribute
from pacifictool.rest import (
    Device,
    ForwardingSpec,
    ForwardingState,
    Platform,
    Rule,
)
from pacifictool.rest.entities import ACTIVE
from pacifictool.rest.forwarding import Difference, DifferenceKind, NoteCode
from pacifictool.rest.forwarding.hook import POST_TELEMETRY
from pacifictool.rest.forwarding.interface import TopicConflict, conflict_fix
from pacifictool.scenario import DEVICE_TYPE, DeviceSpec, Scenario
from pacifictool.settings import KafkaEndpoint, MqttEndpoint, Settings, is_loopback, may_ask_platforms_kafka

SETUP: Final = "pacifictool setup"
_CLUSTER_SECONDS: Final = 2.0


class ProblemCode(StrEnum):
    """Names what is wrong; stays the same between versions, for scripts and to look up."""

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
    NO_DEVICES = "no-devices"
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
    TOKEN_REFUSED = "token-refused"  # noqa: S105 - a code, not a token
    PLATFORM_STUCK = "platform-stuck"
    NOT_STORED = "not-stored"

    # Forwarding
    PLUGIN_MISSING = "plugin-missing"
    PLUGIN_SUSPENDED = "plugin-suspended"
    PLUGIN_FAILED = "plugin-failed"
    PLUGIN_DIFFERS = "plugin-differs"
    PLUGIN_ERROR = "plugin-error"
    PLUGIN_TOPIC_DIFFERS = "plugin-topic-differs"
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
    JOB_OTHER_ANALYTICS = "job-other-analytics"
    WINDOW_OPEN = "window-open"
    DELIVERY_FAILING = "delivery-failing"
    RESULT_REFUSED = "result-refused"
    FUNCTION_FAILED = "function-failed"
    RESULTS_ELSEWHERE = "results-elsewhere"
    ASSET_RENAMED = "asset-renamed"
    NOT_READABLE = "not-readable"


DUPLICATES: Final = (ProblemCode.RULE_TWICE, ProblemCode.RULE_CHAIN_TWICE)
MISSING: Final = (ProblemCode.PLUGIN_MISSING, ProblemCode.RULE_MISSING, ProblemCode.RULE_CHAIN_MISSING)

_FIX_FIRST: Final = (
    *MISSING,
    ProblemCode.RULE_CHAIN_NOT_CONNECTED,
    ProblemCode.DEVICE_PROFILE_BYPASSES,
    ProblemCode.PLUGIN_SUSPENDED,
    ProblemCode.RULE_SUSPENDED,
    ProblemCode.PLUGIN_FAILED,
    ProblemCode.RULE_FAILED,
    ProblemCode.RULE_CHAIN_FAILED,
)
"""In the order in which they have to be fixed; all others come after them."""

_OF_MQTT: Final = {
    Failure.TOKEN_REFUSED: ProblemCode.TOKEN_REFUSED,
    Failure.UNREACHABLE: ProblemCode.MQTT_UNREACHABLE,
    Failure.TLS: ProblemCode.MQTT_TLS,
    Failure.SERVER_BUSY: ProblemCode.MQTT_SILENT,
    Failure.NOT_MQTT: ProblemCode.NOT_MQTT,
    Failure.CLOSED: ProblemCode.MQTT_CLOSED,
}
_OF_NOTE: Final = {
    NoteCode.NAMESAKE: (ProblemCode.RULE_NAMESAKE, "rule"),
    NoteCode.FORWARDED_TWICE: (ProblemCode.RULE_CHAIN_TWICE, "rule-chain"),
    NoteCode.PROFILE_BYPASSES: (ProblemCode.DEVICE_PROFILE_BYPASSES, "device-profile"),
}
_NOUNS: Final = {"plugin": "plugin", "rule": "rule", "rule-chain": "rule chain"}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that keeps readings from reaching Kafka, or may."""

    code: ProblemCode
    part: str
    """Where it is: plugin, rule, rule-chain, root-chain, device-profile, attributes, kafka."""
    text: str
    fix: str = SETUP
    certain: bool = True
    """Whether no reading arrives as long as it lasts."""
    after_match: bool = False
    """Whether the platform's rule matches nevertheless."""


class KafkaReach(StrEnum):
    """Where the platform's address of Kafka leads, as seen from this machine."""

    SAME = "same"
    """To the cluster that we read from."""
    OTHER = "other"
    """To another cluster."""
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"
    """The cluster that we read from cannot be reached, or must not be asked."""


def code_of(error: PacificToolError) -> str:
    """The code of the problem that an error stands for; its kind where there is none."""
    if isinstance(error, MqttError) and (failure := failure_of(error)) in _OF_MQTT:
        return _OF_MQTT[failure]
    if error.details.get("advertised") is not None:
        return ProblemCode.KAFKA_ADVERTISED
    return error.kind


def refused_token(endpoint: MqttEndpoint, url: str, device: str) -> tuple[str, str]:
    """Text and fix for a token that MQTT refuses although REST has just returned it."""
    return (
        f"{endpoint} refuses the access token that {url} has just returned for {device!r}.",
        "MQTT and REST must belong to the same platform: check --mqtt against --url.",
    )


# --- attributes ------------------------------------------------------------------------------------------------------


def attribute_problems(
    platform: Platform, scenario: Scenario, wanted_device: DeviceSpec, device: Device
) -> list[Problem]:
    """What is wrong with a device's attributes; what keeps readings from being forwarded comes first.

    Raises PlatformError.
    """
    wanted = wanted_attributes(scenario, wanted_device)
    actual = {scope: platform.attributes.get(device, SCOPES[scope]) for scope in wanted}
    required = {DEVICE_TYPE, *required_attributes(scenario)}
    missing = [
        (scope, key) for scope, values in wanted.items() for key in values if actual[scope].get(key) in (None, "")
    ]
    found = [_missing_attributes(platform, device, missing, required)] if missing else []
    for scope, values in wanted.items():
        for key, value in values.items():
            if (scope, key) in missing or same_attribute(actual[scope][key], value):
                continue
            is_type = scope == "client" and key == DEVICE_TYPE
            effect = (
                f"the rule requires {value!r}."
                if is_type
                else f"in the scenario it is {value!r}: its readings count in the wrong {scenario.label(key)}."
            )
            text = f"The {scope} attribute {key} of {device.name!r} is {actual[scope][key]!r}; {effect}"
            code = ProblemCode.DEVICE_TYPE_DIFFERS if is_type else ProblemCode.ZONE_DIFFERS
            found.append(Problem(code, "attributes", text, certain=is_type))
    return sorted(found, key=lambda problem: not problem.certain)


def _missing_attributes(
    platform: Platform, device: Device, missing: list[tuple[str, str]], required: Collection[str]
) -> Problem:
    """`missing` are scope and key, and at least one."""
    certain = any(key in required for _, key in missing)
    for scope, key in missing:
        for other in SCOPES.keys() - {scope}:
            if platform.attributes.get(device, SCOPES[other], [key]):
                reads = (
                    f"those that the device itself has set ({SCOPES[scope]})"
                    if scope == "client"
                    else f"those of {SCOPES[scope]}"
                )
                text = f"{device.name!r} has {key} only as an attribute of {SCOPES[other]}; the rule reads {reads}."
                return Problem(ProblemCode.ATTRIBUTES_IN_WRONG_SCOPE, "attributes", text, certain=certain)
    keys = [key for _, key in missing]
    code = ProblemCode.DEVICE_TYPE_MISSING if keys == [DEVICE_TYPE] else ProblemCode.ZONE_MISSING
    plural = "s" if len(missing) > 1 else ""
    effect = "which the rule requires" if certain else "and its readings do not count where they are grouped by it"
    scopes = " and ".join(dict.fromkeys(scope for scope, _ in missing))
    text = f"{device.name!r} lacks the {scopes} attribute{plural} {' and '.join(keys)}, {effect}."
    return Problem(code, "attributes", text, certain=certain)


# --- forwarding ------------------------------------------------------------------------------------------------------


def forwarding_problems(
    platform: Platform,
    spec: ForwardingSpec,
    state: ForwardingState,
    settings: Settings,
    *,
    uncertain_address: bool = False,
) -> list[Problem]:
    """What is wrong with the forwarding to Kafka, in the order in which to fix it. Raises PlatformError.

    `uncertain_address`: also report a --platform-kafka that is only known to be unreachable from this machine.
    """
    if state.conflicts:
        # What serves another topic belongs to somebody else; whether and how it runs does not matter here.
        found = [_conflict_problem(conflict) for conflict in state.conflicts]
    else:
        changes = platform.forwarding.plan(spec, state)
        found = [problem for change in changes for problem in _problems_of(change, state, settings)]
    for note in state.notes:
        if note.code in _OF_NOTE:
            code, part = _OF_NOTE[note.code]
            certain = note.code is NoteCode.PROFILE_BYPASSES
            found.append(Problem(code, part, note.text, note.fix, certain=certain))
    if not any(problem.after_match or problem.code in MISSING for problem in found):
        problems = _own_address_problem(spec, state, settings)
        found += [problem for problem in problems if problem.certain or uncertain_address]
    rank = {code: number for number, code in enumerate(_FIX_FIRST)}
    return sorted(found, key=lambda problem: rank.get(problem.code, len(rank)))


def _conflict_problem(conflict: TopicConflict) -> Problem:
    code = ProblemCode(f"{conflict.kind}-topic-differs")
    return Problem(code, conflict.kind, conflict.text, conflict_fix([conflict]), after_match=True)


def _own_address_problem(spec: ForwardingSpec, state: ForwardingState, settings: Settings) -> Iterator[Problem]:
    """Where the platform has the address that the settings name, and that is not the Kafka that we read from."""
    address = spec.bootstrap_servers
    if address is None or address == settings.kafka.bootstrap:
        return
    part = "plugin" if "plugin" in state.parts else "rule-chain"
    fix = f"{SETUP} --platform-kafka HOST:PORT, with Kafka's address as the platform reaches it"
    yield from _address_problem(part, f"The platform writes to {address}.", address, fix, settings, unknown=False)


def _problems_of(change: Change, state: ForwardingState, settings: Settings) -> Iterator[Problem]:
    kind, name = change.kind, f"The {_NOUNS[change.kind]} {change.name!r}"
    part, root = state.parts.get(kind), state.parts.get("root")
    differences = [difference for difference in change.differences if isinstance(difference, Difference)]
    if root is not None and change.name == root.name:
        if change.differences and part is not None:
            text = f"{name} does not lead {POST_TELEMETRY!r} to the rule chain {part.name!r}, which gets no messages."
            yield Problem(ProblemCode.RULE_CHAIN_NOT_CONNECTED, "root-chain", text)
    elif part is None:
        if change.action is ChangeAction.CREATE:
            yield Problem(ProblemCode(f"{kind}-missing"), kind, f"{name} is missing.")
    elif any(difference.kind is DifferenceKind.DUPLICATE for difference in differences):
        text = f"{name} exists twice and both are active: every reading is forwarded twice."
        yield Problem(ProblemCode(f"{kind}-twice"), kind, text, certain=False)
    else:
        status = getattr(part, "state", None)  # rule chains have none
        if kind in state.failures:
            text = f"{name} {f'is {status}' if status else 'exists'}, but did not start: {state.failures[kind]}."
            yield Problem(ProblemCode(f"{kind}-failed"), kind, text)
        elif status not in (None, ACTIVE):
            yield Problem(ProblemCode(f"{kind}-suspended"), kind, f"{name} is {status}: it forwards nothing.")
        for difference in differences:
            if difference.kind is not DifferenceKind.STATE:
                yield from _content_problem(kind, name, part, difference, settings)


def _content_problem(kind: str, name: str, part: Any, difference: Difference, settings: Settings) -> Iterator[Problem]:
    text, key = f"{name} differs from the scenario: {difference.as_found}.", difference.place.rpartition(".")[2]
    if difference.place == "action.configuration.topic" or key == "topicPattern":
        text = f"{name} writes to another topic, too: {difference.as_found}."
        yield Problem(ProblemCode(f"{kind}-topic-differs"), kind, text, after_match=True)
    elif key == "bootstrapServers":
        fix = f"{SETUP} (with --platform-kafka, if the platform reaches Kafka at another address than this machine)"
        yield from _address_problem(kind, text, str(difference.actual), fix, settings)
    elif isinstance(part, Rule) and difference.place.startswith("filters"):
        text = f"{name} has other filters than the scenario's, which may keep readings out: {describe_filters(part)}."
        yield Problem(ProblemCode.RULE_FILTER_DIFFERS, kind, text, certain=False)
    else:
        yield Problem(ProblemCode(f"{kind}-differs"), kind, text, certain=False)


def _address_problem(
    part: str, text: str, address: str, fix: str, settings: Settings, *, unknown: bool = True
) -> Iterator[Problem]:
    """What is wrong with Kafka's address on the platform. `unknown`: whether to report one that cannot be checked."""
    reach = kafka_reach(address, settings)
    if reach is KafkaReach.OTHER:
        text += f" That is another Kafka cluster than {settings.kafka}."
        yield Problem(ProblemCode.PLATFORM_KAFKA_DIFFERS, part, text, fix, after_match=True)
    elif reach is KafkaReach.UNREACHABLE:
        # A platform on another machine may reach what this one cannot.
        here = is_loopback(urlsplit(settings.url).hostname or "") and is_loopback(address.rpartition(":")[0])
        text += f" That address cannot be reached{'' if here else ' from here'}."
        yield Problem(ProblemCode.PLATFORM_KAFKA_UNREACHABLE, part, text, fix, certain=here, after_match=True)
    elif reach is KafkaReach.UNKNOWN and unknown:
        yield Problem(ProblemCode.PLATFORM_KAFKA_DIFFERS, part, text, fix, certain=False, after_match=True)


def kafka_reach(bootstrap: str, settings: Settings) -> KafkaReach:
    """Whether `bootstrap` leads to the cluster that we read from."""
    if not may_ask_platforms_kafka(settings):
        return KafkaReach.UNKNOWN
    endpoint = KafkaEndpoint(bootstrap, settings.kafka.config)
    if no_connection(endpoint) is not None:
        return KafkaReach.UNREACHABLE
    if no_connection(settings.kafka) is not None:
        return KafkaReach.UNKNOWN
    try:
        ours = KafkaAdmin(settings.kafka, timeout_seconds=_CLUSTER_SECONDS).cluster_id()
    except KafkaError:
        return KafkaReach.UNKNOWN
    try:
        theirs = KafkaAdmin(endpoint, timeout_seconds=_CLUSTER_SECONDS).cluster_id()
    except KafkaError:
        return KafkaReach.UNREACHABLE
    return KafkaReach.SAME if theirs == ours else KafkaReach.OTHER


def describe_filters(rule: Rule) -> str:
    """The filters that a message has to pass on 1.x (docs/servers/1.x.md#forwarding-to-kafka, row 9)."""

    def describe(item: Mapping[str, Any]) -> str:
        configuration = item.get("configuration")
        value = configuration.get("filter", configuration) if isinstance(configuration, Mapping) else configuration
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return f"{str(item.get('clazz')).rpartition('.')[2]} {text}"

    return "; ".join(describe(item) for item in rule.raw.get("filters") or [] if isinstance(item, Mapping)) or "none"
