"""Ways of forwarding telemetry to Kafka: one module per generation of servers, behind one interface.

`plugin_rule` serves 1.x, `rule_chain` 2.0 and later; `rest.generation` chooses.
"""

from __future__ import annotations

from pacifictool.rest.forwarding.compare import Difference, DifferenceKind
from pacifictool.rest.forwarding.interface import (
    FIRST_GENERATION,
    Forwarding,
    ForwardingNote,
    ForwardingSpec,
    ForwardingState,
    NoteCode,
    TopicConflict,
)
from pacifictool.rest.forwarding.parts import ForwardingPart, PartState, the_part
from pacifictool.rest.forwarding.plugin_rule import PluginRuleForwarding
from pacifictool.rest.forwarding.rule_chain import RuleChainForwarding

__all__ = [
    "FIRST_GENERATION",
    "Difference",
    "DifferenceKind",
    "Forwarding",
    "ForwardingNote",
    "ForwardingPart",
    "ForwardingSpec",
    "ForwardingState",
    "NoteCode",
    "PartState",
    "PluginRuleForwarding",
    "RuleChainForwarding",
    "TopicConflict",
    "the_part",
]
