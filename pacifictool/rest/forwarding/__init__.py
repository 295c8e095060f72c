"""Ways of forwarding telemetry to Kafka: one module per generation of servers, behind one interface.

`plugin_rule` serves 1.x, `rule_chain` 2.0 and later; `rest.generation` chooses.
"""

from __future__ import annotations

from pacifictool.rest.forwarding.interface import Forwarding, ForwardingSpec, ForwardingState
from pacifictool.rest.forwarding.plugin_rule import PluginRuleForwarding
from pacifictool.rest.forwarding.rule_chain import RuleChainForwarding

__all__ = [
    "Forwarding",
    "ForwardingSpec",
    "ForwardingState",
    "PluginRuleForwarding",
    "RuleChainForwarding",
]
