"""Ways of forwarding telemetry to Kafka: one module per generation of servers, behind one interface.

`plugin_rule` serves 1.x. Rule chains of 2.0 and later are a second module beside it, named in `rest.generation`.
"""

from __future__ import annotations

from pacifictool.rest.forwarding.interface import Change, ChangeAction, Forwarding, ForwardingSpec, ForwardingState
from pacifictool.rest.forwarding.plugin_rule import PluginRuleForwarding

__all__ = [
    "Change",
    "ChangeAction",
    "Forwarding",
    "ForwardingSpec",
    "ForwardingState",
    "PluginRuleForwarding",
]
