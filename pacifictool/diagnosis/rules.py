"""Checks of the platform's forwarding: plugin and rule, or rule chain, their state and last lifecycle events, twins."""

from __future__ import annotations

from collections.abc import Iterator

from pacifictool.diagnosis.checks import Check, Finding, failed, ok, warning
from pacifictool.diagnosis.forwarding import Fault, forwarding_faults, last_event
from pacifictool.diagnosis.surroundings import Surroundings
from pacifictool.rest import ForwardingState, Plugin, Rule

GROUP = "Forwarding"
_TITLES = {"plugin": "Plugin", "rule": "Rule", "rule-chain": "Rule chain"}


def rule_checks(around: Surroundings) -> list[Check]:
    """See the module."""
    return [
        Check("forwarding", GROUP, "Forwarding to Kafka", lambda: _forwarding(around), ("generation",), seconds=8.0)
    ]


def _forwarding(around: Surroundings) -> Iterator[Finding]:
    platform, spec = around.the_platform(), around.spec
    state = platform.forwarding.inspect(spec)
    faults = forwarding_faults(platform, spec, state, around.settings)
    for kind in [kind for kind in _TITLES if kind in state.parts]:
        own = [fault for fault in faults if fault.part == kind and not fault.cause.endswith("-twice")]
        if own:
            yield from (_finding(fault) for fault in own)
        else:
            yield ok(_seen(around, state, kind), name=kind, title=_TITLES[kind])
    twins = next((fault for fault in faults if fault.cause.endswith("-twice")), None)
    if twins is not None:
        yield failed(twins.sentence, twins.mend, name="twins", title="Twins")
    elif not state.parts.get("twins"):
        yield ok("none", name="twins", title="Twins")
    for number, note in enumerate(state.notes, start=1):
        if twins is None:
            yield warning(note, name=f"forwarding-note-{number}", title="Forwarding")


def _finding(fault: Fault) -> Finding:
    make = failed if fault.certain else warning
    return make(fault.sentence, fault.mend, name=fault.part, title=_TITLES[fault.part])


def _seen(around: Surroundings, state: ForwardingState, kind: str) -> str:
    part = state.parts[kind]
    if not isinstance(part, Plugin | Rule):
        return f"{part.name!r} is as the scenario wants it, and all its nodes run"
    event = last_event(around.the_platform(), part)
    return f"{part.name!r} is {part.state}" + (f"; its last event: {event}" if event else "")
