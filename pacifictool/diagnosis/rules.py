"""Checks of the platform's forwarding: plugin and rule, or rule chain, their state and last lifecycle events, twins."""

from __future__ import annotations

from collections.abc import Iterator

from pacifictool.diagnosis.checks import Check, Finding, failed, ok, warning
from pacifictool.diagnosis.events import last_event, last_node_event
from pacifictool.diagnosis.faults import Fault
from pacifictool.diagnosis.forwarding import forwarding_faults
from pacifictool.diagnosis.surroundings import Surroundings
from pacifictool.rest import ForwardingState, Plugin, Rule, RuleChain

GROUP = "Forwarding"
_TITLES = {
    "plugin": "Plugin",
    "rule": "Rule",
    "rule-chain": "Rule chain",
    "root-chain": "Root rule chain",
    "device-profile": "Device profile",
}
_TWICE = "-twice"


def rule_checks(around: Surroundings) -> list[Check]:
    """See the module."""
    return [
        Check("forwarding", GROUP, "Forwarding to Kafka", lambda: _forwarding(around), ("generation",), seconds=8.0)
    ]


def _forwarding(around: Surroundings) -> Iterator[Finding]:
    platform, spec = around.the_platform(), around.spec
    state = platform.forwarding.inspect(spec)
    faults = forwarding_faults(platform, spec, state, around.settings)
    for kind, title in _TITLES.items():
        own = [fault for fault in faults if fault.part == kind and not fault.cause.endswith(_TWICE)]
        if own:
            yield from (_finding(around, state, fault) for fault in own)
        elif kind in state.parts:
            yield ok(_seen(around, state, kind), name=kind, title=title)
    twins = [fault for fault in faults if fault.cause.endswith(_TWICE)]
    if not twins:
        asleep = len(state.parts.get("duplicates") or ())
        yield ok(f"none{f' at work; {asleep} asleep' if asleep else ''}", name="twins", title="Twins")
    for twin in twins:
        yield failed(twin.cause, twin.sentence, twin.mend, name="twins", title="Twins")


def _finding(around: Surroundings, state: ForwardingState, fault: Fault) -> Finding:
    make = failed if fault.certain else warning
    seen, part = fault.sentence, state.parts.get(fault.part)
    if isinstance(part, Plugin | Rule | RuleChain) and (event := last_event(around.the_platform(), part)):
        seen += f" Its last event: {event}."
    return make(fault.cause, seen, fault.mend, name=fault.part, title=_TITLES[fault.part])


def _seen(around: Surroundings, state: ForwardingState, kind: str) -> str:
    part, platform = state.parts[kind], around.the_platform()
    seen = f"{part.name!r} is {part.state if isinstance(part, Plugin | Rule) else 'as the scenario wants it'}"
    if event := last_event(platform, part):
        seen += f"; its last event: {event}"
    nodes = state.parts.get("nodes")
    if isinstance(part, RuleChain) and nodes:
        event = last_node_event(platform, nodes, part.tenant_id)
        seen += f"; all {len(nodes)} nodes run{f', the last event: {event}' if event else ''}"
    return seen
