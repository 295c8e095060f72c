"""What is wrong with the platform's forwarding to Kafka, whatever its generation: one set of faults for all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from pacifictool.diagnosis.causes import Cause
from pacifictool.diagnosis.faults import SETUP, Fault
from pacifictool.errors import KafkaError
from pacifictool.kafka.topics import KafkaAdmin, no_connection
from pacifictool.plan import Change
from pacifictool.rest import ForwardingSpec, ForwardingState, Platform, Rule
from pacifictool.rest.entities import ACTIVE
from pacifictool.rest.forwarding.hook import POST_TELEMETRY
from pacifictool.settings import KafkaEndpoint, Settings, is_loopback, may_ask_platforms_kafka

_CLUSTER_SECONDS = 2.0

_NAMES = {"plugin": "plugin", "rule": "rule", "rule-chain": "rule chain"}
_TOPICS = ("action.configuration.topic: ", ".topicPattern: ", " topicPattern: ")
_BOOTSTRAPS = "bootstrapServers: "
_DUPLICATE = "duplicate "
_STATE = ("state: ", "it did not start: ")
_DIFFERENCE = re.compile(r"(.+?): (.+) instead of (.+)", re.DOTALL)
_ADVICE = re.compile(r"(?:: |\. )(?=[Tt]ake )")
_ORDER = ("missing", "not-connected", "bypasses", "suspended", "failed")
"""Ends of causes: what has to be mended first comes first."""


class Reach(StrEnum):
    """What stands behind Kafka's address as the platform has it."""

    SAME = "same"
    """The cluster that we read from, by another address."""
    OTHER = "other"
    """Another cluster."""
    UNREACHABLE = "unreachable"
    """From here, that is."""
    UNKNOWN = "unknown"
    """The cluster that we read from cannot be reached, so that nothing can be compared."""


def forwarding_faults(
    platform: Platform, spec: ForwardingSpec, state: ForwardingState, settings: Settings
) -> list[Fault]:
    """Every fault, those first that have to be mended first. Raises PlatformError."""
    faults = [fault for change in platform.forwarding.plan(spec, state) for fault in _faults(change, state, settings)]
    faults += [fault for note in state.notes if (fault := _fault_of_note(note)) is not None]
    if not any(fault.after_match or fault.cause.endswith("-missing") for fault in faults):
        faults += [fault for fault in address_faults(spec, state, settings) if fault.certain]
    return sorted(faults, key=lambda fault: next((n for n, end in enumerate(_ORDER) if fault.cause.endswith(end)), 9))


def address_faults(spec: ForwardingSpec, state: ForwardingState, settings: Settings) -> Iterator[Fault]:
    """The platform has the address that the settings say; whether that is our Kafka is another question.

    Uncertain where the address leads nowhere from here: it may well do so from where the platform runs.
    """
    address = spec.bootstrap_servers
    if address is None or address == settings.kafka.bootstrap:
        return
    reach, part = reach_of(address, settings), "plugin" if "plugin" in state.parts else "rule-chain"
    mend = f"{SETUP} --platform-kafka HOST:PORT, with Kafka's address as the platform reaches it"
    if reach is Reach.OTHER:
        told = f"The platform writes to {address}, which is another Kafka cluster than {settings.kafka}."
        yield Fault(Cause.PLATFORM_KAFKA_DIFFERS, part, told, mend, after_match=True)
    elif reach is Reach.UNREACHABLE:
        here = _are_here(address, settings)
        told = f"The platform writes to {address}, which cannot be reached{'' if here else ' from here'}."
        yield Fault(Cause.PLATFORM_KAFKA_UNREACHABLE, part, told, mend, certain=here, after_match=True)


def _faults(change: Change, state: ForwardingState, settings: Settings) -> Iterator[Fault]:
    kind, name = change.kind, f"The {_NAMES[change.kind]} {change.name!r}"
    part = _part(change, state)
    if part is None and change.differences:
        # The root chain, which lacks the way to ours.
        if (ours := state.parts.get(kind)) is not None:
            told = f"{name} does not lead {POST_TELEMETRY!r} to the rule chain {ours.name!r}, which gets no messages."
            yield Fault(Cause.RULE_CHAIN_NOT_CONNECTED, "root-chain", told)
        return
    if part is None:
        if change.apply is not None:
            yield Fault(Cause(f"{kind}-missing"), kind, f"{name} is missing.")
        return
    if any(difference.startswith(_DUPLICATE) for difference in change.differences):
        told = f"{name} is there twice and active: every reading arrives twice."
        yield Fault(Cause(f"{kind}-twice"), kind, told, certain=False)
        return
    if kind in state.failures:
        yield Fault(Cause(f"{kind}-failed"), kind, f"{name} {_is(part)}, but did not start: {state.failures[kind]}.")
    elif getattr(part, "state", ACTIVE) != ACTIVE:
        yield Fault(Cause(f"{kind}-suspended"), kind, f"{name} is {part.state}: it forwards nothing.")
    for difference in change.differences:
        if not difference.startswith(_STATE) and " did not start: " not in difference:
            yield from _content_fault(kind, name, part, difference, settings)


def _is(part: Any) -> str:
    return f"is {part.state}" if hasattr(part, "state") else "is there"


def _part(change: Change, state: ForwardingState) -> Any:
    """The server's object that the change is about; None when it has none, or when it is the root chain."""
    root = state.parts.get("root")
    if root is not None and change.name == root.name:
        return None
    return state.parts.get(change.kind)


def _content_fault(kind: str, name: str, part: Any, difference: str, settings: Settings) -> Iterator[Fault]:
    told = f"{name} differs from the scenario: {_as_found(difference)}."
    if any(key in difference for key in _TOPICS):
        told = f"{name} writes to another topic than the scenario's: {_as_found(difference)}."
        yield Fault(Cause(f"{kind}-topic-differs"), kind, told, after_match=True)
    elif isinstance(part, Rule) and difference.startswith("filters"):
        told = f"{name} has other filters than the scenario's, which may keep readings out: {described_filters(part)}."
        yield Fault(Cause.RULE_FILTER_DIFFERS, kind, told, certain=False)
    elif _BOOTSTRAPS not in difference:
        yield Fault(Cause(f"{kind}-differs"), kind, told, certain=False)
    else:
        yield from _address_fault(kind, told, _actual_value(difference), settings)


def _address_fault(kind: str, told: str, address: str, settings: Settings) -> Iterator[Fault]:
    reach = reach_of(address, settings)
    mend = f"{SETUP} (with --platform-kafka, if the platform reaches Kafka at another address than this machine)"
    if reach is Reach.OTHER:
        told += " That is another Kafka cluster."
        yield Fault(Cause.PLATFORM_KAFKA_DIFFERS, kind, told, mend, after_match=True)
    elif reach is Reach.UNREACHABLE:
        here = _are_here(address, settings)
        told += f" That address cannot be reached{' from here' if not here else ''}."
        yield Fault(Cause.PLATFORM_KAFKA_UNREACHABLE, kind, told, mend, certain=here, after_match=True)
    elif reach is Reach.UNKNOWN:
        yield Fault(Cause.PLATFORM_KAFKA_DIFFERS, kind, told, mend, certain=False, after_match=True)


def _are_here(address: str, settings: Settings) -> bool:
    """Whether platform and Kafka are both on this machine; otherwise the platform may reach what we cannot."""
    return is_loopback(urlsplit(settings.url).hostname or "") and is_loopback(address.rpartition(":")[0])


def _fault_of_note(note: str) -> Fault | None:
    """What a note of the forwarding means for us; None where it does no harm."""
    sentence, mend = _split(note)
    if "bypass the root rule chain" in note:
        return Fault(Cause.DEVICE_PROFILE_BYPASSES, "device-profile", sentence, mend)
    if note.startswith("Another rule named"):
        told = "Rename that rule on the platform, if it is a leftover; nothing depends on it."
        return Fault(Cause.RULE_NAMESAKE, "rule", note, told, certain=False)
    if "once more: " in note or "more than once" in note:
        return Fault(Cause.RULE_CHAIN_TWICE, "rule-chain", sentence, mend, certain=False)
    return None


def _split(note: str) -> tuple[str, str]:
    """A note's sentences, and the advice at its end."""
    parts = _ADVICE.split(note)
    if len(parts) == 1:
        return note, SETUP
    advice = parts[-1]
    return f"{'. '.join(parts[:-1]).rstrip('.')}.", advice[0].upper() + advice[1:]


def described_filters(rule: Rule) -> str:
    """What a message has to pass on 1.x, in words of its filters (docs/servers/1.x.md#forwarding-to-kafka, row 9)."""
    filters = [item for item in rule.raw.get("filters") or [] if isinstance(item, Mapping)]
    return "; ".join(_described_filter(item) for item in filters) or "none"


def _described_filter(item: Mapping[str, Any]) -> str:
    configuration = item.get("configuration")
    value = configuration.get("filter", configuration) if isinstance(configuration, Mapping) else configuration
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{str(item.get('clazz')).rpartition('.')[2]} {text}"


def _as_found(difference: str) -> str:
    """What is there first: comparisons say what `setup` would make of it, "…: wanted instead of actual"."""
    match = _DIFFERENCE.fullmatch(difference)
    return difference if match is None else f"{match[1]} is {match[3]} instead of {match[2]}"


def _actual_value(difference: str) -> str:
    """What the server has, from "…: wanted instead of actual"."""
    text = difference.rpartition(" instead of ")[2]
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def reach_of(bootstrap: str, settings: Settings) -> Reach:
    """Whether `bootstrap` leads to the cluster that we read from."""
    if not may_ask_platforms_kafka(settings):
        return Reach.UNKNOWN
    endpoint = KafkaEndpoint(bootstrap, settings.kafka.config)
    if no_connection(endpoint) is not None:
        return Reach.UNREACHABLE
    if no_connection(settings.kafka) is not None:
        return Reach.UNKNOWN
    try:
        ours = KafkaAdmin(settings.kafka, timeout_seconds=_CLUSTER_SECONDS).cluster_id()
    except KafkaError:
        return Reach.UNKNOWN
    try:
        theirs = KafkaAdmin(endpoint, timeout_seconds=_CLUSTER_SECONDS).cluster_id()
    except KafkaError:
        return Reach.UNREACHABLE
    return Reach.SAME if theirs == ours else Reach.OTHER
