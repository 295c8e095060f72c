"""What forwards telemetry to Kafka (a plugin and a rule, or a rule chain), adapted to the scenario."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pacifictool.rest import (
    ForwardingSpec,
    read_plugin,
    read_rule,
    read_rule_chain,
    tutorial_plugin,
    tutorial_rule,
    tutorial_rule_chain,
)
from pacifictool.scenario import Scenario, tutorial_scenario
from pacifictool.settings import Settings


def forwarding_spec(
    settings: Settings,
    scenario: Scenario,
    *,
    plugin_file: Path | None = None,
    rule_file: Path | None = None,
    rule_chain_file: Path | None = None,
) -> ForwardingSpec:
    """The tutorial's plugin, rule and rule chain, adapted to the scenario; or the user's own files, in which only the
    addresses of Kafka and the topic are replaced. Raises DescriptorError.

    With only a plugin or rule file the spec has no rule chain, and the other way round, so that a server of another
    generation reports what is missing.
    """
    for_plugins = plugin_file is not None or rule_file is not None
    for_chains = rule_chain_file is not None
    plugin = rule = rule_chain = None
    if for_plugins or not for_chains:
        plugin = tutorial_plugin() if plugin_file is None else read_plugin(plugin_file)
        rule = _adapted(tutorial_rule(), scenario) if rule_file is None else read_rule(rule_file)
    if rule_chain_file is not None:
        rule_chain = read_rule_chain(rule_chain_file)
    elif not for_plugins:
        rule_chain = _adapted(tutorial_rule_chain(), scenario)
    return ForwardingSpec(
        plugin=plugin,
        rule=rule,
        rule_chain=rule_chain,
        bootstrap_servers=settings.platform_kafka,
        topic=scenario.kafka.topic,
        device_type=scenario.platform.entity_type,
    )


_ADAPTED = frozenset({"filters", "action", "metadata"})
"""The members of a rule or rule chain that hold scripts and keys."""


def _adapted(descriptor: Mapping[str, Any], scenario: Scenario) -> dict[str, Any]:
    """The tutorial's rule or rule chain with the scenario's entity type and keys instead of the tutorial's.

    The keys are identifiers (scenario.Key), so that they cannot change the meaning of the scripts around them; the
    entity type is any text and becomes a quoted literal.
    """
    old, new = (
        (given.platform.entity_type, given.aggregation.zone_key, given.aggregation.value_key)
        for given in (tutorial_scenario(), scenario)
    )
    if old == new:
        return dict(descriptor)
    replacements = {f"'{old[0]}'": json.dumps(new[0]), old[1]: new[1], old[2]: new[2]}
    # All at once: a key of the scenario may contain one of the tutorial's.
    pattern = re.compile("|".join(re.escape(text) for text in replacements))

    def adapted(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: adapted(item) for key, item in value.items()}
        if isinstance(value, list):
            return [adapted(item) for item in value]
        return pattern.sub(lambda match: replacements[match[0]], value) if isinstance(value, str) else value

    return {key: adapted(value) if key in _ADAPTED else value for key, value in descriptor.items()}
