"""What is wrong with the platform's forwarding to Kafka, whatever its generation: one set of faults for all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from pacifictool.errors import KafkaError, UnexpectedAnswer
from pacifictool.kafka.topics import KafkaAdmin, no_connection
from pacifictool.rest import Change, ForwardingSpec, ForwardingState, Platform, Plugin, Rule
from pacifictool.rest.entities import ACTIVE
from pacifictool.rest.session import segment
from pacifictool.settings import KafkaEndpoint, Settings, is_loopback

SETUP = "pacifictool setup"
_CLUSTER_SECONDS = 2.0
_EVENTS_READ = 20

_MISSING = {"plugin": "plugin-missing", "rule": "rule-missing", "rule-chain": "rule-chain-missing"}
_NAMES = {"plugin": "plugin", "rule": "rule", "rule-chain": "rule chain"}
_TOPICS = ("action.configuration.topic: ", ".topicPattern: ", " topicPattern: ")
_BOOTSTRAPS = "bootstrapServers: "
_TWIN = "twin "
_STATE = ("state: ", "it did not start: ")


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


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that keeps readings from reaching Kafka, or may."""

    cause: str
    """Stable, for scripts: "rule-suspended"."""
    part: str
    """plugin, rule or rule-chain."""
    sentence: str
    mend: str = SETUP
    certain: bool = True
    """Whether nothing can arrive as long as it lasts."""


def forwarding_faults(
    platform: Platform, spec: ForwardingSpec, state: ForwardingState, settings: Settings
) -> list[Fault]:
    """Every fault, those first that have to be mended first. Raises PlatformError."""
    faults = [fault for change in platform.forwarding.plan(spec, state) for fault in _faults(change, state, settings)]
    order = ("missing", "not-connected", "suspended", "failed")
    return sorted(faults, key=lambda fault: next((n for n, end in enumerate(order) if fault.cause.endswith(end)), 9))


def _faults(change: Change, state: ForwardingState, settings: Settings) -> Iterator[Fault]:
    kind, name = change.kind, f"The {_NAMES[change.kind]} {change.name!r}"
    part = _part(change, state)
    if part is None and change.differences:
        # The root chain, which lacks the way to ours.
        if state.parts.get(kind) is not None:
            yield Fault(f"{kind}-not-connected", kind, f"{name} does not hand telemetry on: {change.differences[0]}.")
        return
    if part is None:
        if change.carry_out is not None:
            yield Fault(_MISSING[kind], kind, f"{name} is missing.")
        return
    if any(difference.startswith(_TWIN) for difference in change.differences):
        told = f"{name} is there twice and active: every reading arrives twice."
        yield Fault(f"{kind}-twice", kind, told, certain=False)
        return
    if kind in state.failures:
        yield Fault(f"{kind}-failed", kind, f"{name} is {ACTIVE}, but did not start: {state.failures[kind]}.")
    elif getattr(part, "state", ACTIVE) != ACTIVE:
        yield Fault(f"{kind}-suspended", kind, f"{name} is {part.state}.")
    for difference in change.differences:
        if not difference.startswith(_STATE) and " did not start: " not in difference:
            yield from _content_fault(kind, name, difference, settings)


def _part(change: Change, state: ForwardingState) -> Any:
    """The server's object that the change is about; None when it has none, or when it is the root chain."""
    root = state.parts.get("root")
    if root is not None and change.name == root.name:
        return None
    return state.parts.get(change.kind)


def _content_fault(kind: str, name: str, difference: str, settings: Settings) -> Iterator[Fault]:
    told = f"{name} differs from the scenario: {difference}."
    if any(key in difference for key in _TOPICS):
        yield Fault(f"{kind}-topic-differs", kind, told)
        return
    if _BOOTSTRAPS not in difference:
        yield Fault(f"{kind}-differs", kind, told, certain=False)
        return
    address = _actual_value(difference)
    reach = reach_of(address, settings)
    mend = f"{SETUP} (with --platform-kafka, if the platform reaches Kafka at another address than this machine)"
    if reach is Reach.OTHER:
        yield Fault(f"{kind}-kafka-differs", kind, f"{told} That is another Kafka cluster.", mend)
    elif reach is Reach.UNREACHABLE:
        # What cannot be reached from here may well be reached from where the platform runs.
        here = is_loopback(urlsplit(settings.url).hostname or "") and is_loopback(address.rpartition(":")[0])
        sentence = f"{told} That address cannot be reached{' from here' if not here else ''}."
        yield Fault(f"{kind}-kafka-unreachable", kind, sentence, mend, certain=here)
    elif reach is Reach.UNKNOWN:
        yield Fault(f"{kind}-kafka-differs", kind, told, mend, certain=False)


def _actual_value(difference: str) -> str:
    """What the server has, from "…: wanted instead of actual"."""
    text = difference.rpartition(" instead of ")[2]
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def reach_of(bootstrap: str, settings: Settings) -> Reach:
    """Whether `bootstrap` leads to the cluster that we read from."""
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


def platform_kafka(part: Any) -> str | None:
    """Kafka's address in a plugin's configuration; None when it cannot be seen."""
    configuration = part.configuration if isinstance(part, Plugin) else None
    address = (configuration or {}).get("bootstrapServers")
    return str(address) if address else None


def last_event(platform: Platform, part: Plugin | Rule) -> str:
    """The newest lifecycle event in words; empty when there is none."""
    newest = next(iter(platform.events.lifecycle(part, part.tenant_id, _EVENTS_READ)), None)
    if newest is None:
        return ""
    return f"{newest.event} {'succeeded' if newest.success else f'failed: {newest.reason}'}"


def last_error(platform: Platform, part: Plugin | Rule, since_ms: int) -> str | None:
    """What went wrong last while the part was at work, in one line; None when nothing did since `since_ms`.

    The platform notes failures of filters, templates and producers as events of the type ERROR (1.x).
    """
    path = f"/api/events/{segment(part.entity_type)}/{segment(part.id)}"
    params: dict[str, str | int] = {"tenantId": part.tenant_id, "limit": _EVENTS_READ}
    page = platform.session.request("GET", path, params=params, expect=dict)
    items = page.get("data")
    if not isinstance(items, list):
        raise UnexpectedAnswer(f"The server lists the events of GET {path} in an unknown form.")
    for item in items:
        if isinstance(item, dict) and item.get("type") == "ERROR" and int(item.get("createdTime", 0)) >= since_ms:
            text = str((item.get("body") or {}).get("error") or "")
            return next((line.strip() for line in text.splitlines() if line.strip()), None)
    return None
