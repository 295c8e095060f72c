"""What forwards telemetry to Kafka (a plugin and a rule, or a rule chain), fitted to the scenario, and its steps."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pacifictool.provisioning.plan import Action, Kind, Step
from pacifictool.rest import (
    Change,
    ForwardingSpec,
    Platform,
    read_plugin,
    read_rule,
    read_rule_chain,
    tutorial_plugin,
    tutorial_rule,
    tutorial_rule_chain,
)
from pacifictool.scenario import Aggregation, Scenario, tutorial_scenario
from pacifictool.settings import Settings


def forwarding_spec(
    settings: Settings,
    scenario: Scenario,
    *,
    plugin_file: Path | None = None,
    rule_file: Path | None = None,
    rule_chain_file: Path | None = None,
) -> ForwardingSpec:
    """The tutorial's plugin, rule and rule chain, fitted to the scenario; or the user's own files, of which only the
    addresses of Kafka and the topic are replaced. Raises DescriptorError.

    Who names a file means servers that can use it: with a plugin or rule alone there is no rule chain in the spec, and
    the other way round, so that another server says what it lacks.
    """
    for_plugins = plugin_file is not None or rule_file is not None
    for_chains = rule_chain_file is not None
    plugin = rule = rule_chain = None
    if for_plugins or not for_chains:
        plugin = tutorial_plugin() if plugin_file is None else read_plugin(plugin_file)
        rule = _fitted(tutorial_rule(), scenario) if rule_file is None else read_rule(rule_file)
    if rule_chain_file is not None:
        rule_chain = read_rule_chain(rule_chain_file)
    elif not for_plugins:
        rule_chain = _fitted(tutorial_rule_chain(), scenario)
    return ForwardingSpec(
        plugin=plugin,
        rule=rule,
        rule_chain=rule_chain,
        bootstrap_servers=settings.platform_kafka,
        topic=scenario.kafka.topic,
        device_type=scenario.platform.entity_type,
    )


_FITTED = frozenset({"filters", "action", "metadata"})
"""The members of a rule or rule chain that hold scripts and keys."""


def _fitted(descriptor: Mapping[str, Any], scenario: Scenario) -> dict[str, Any]:
    """The tutorial's rule or rule chain with the scenario's entity type and keys in the place of the tutorial's.

    The keys are identifiers (scenario.Key), so that they cannot change the meaning of the scripts around them; the
    entity type is any text and becomes a quoted literal.
    """
    tutorial = tutorial_scenario()
    default, wanted = tutorial.aggregation, scenario.aggregation
    replacements = {
        f"'{tutorial.platform.entity_type}'": _javascript_literal(scenario.platform.entity_type),
        default.zone_key: wanted.zone_key,
        default.value_key: wanted.value_key,
    }
    if _same_keys(default, wanted) and scenario.platform.entity_type == tutorial.platform.entity_type:
        return dict(descriptor)
    # All at once: a key of the scenario may contain one of the tutorial's.
    pattern = re.compile("|".join(re.escape(old) for old in replacements))

    def fitted(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fitted(item) for key, item in value.items()}
        if isinstance(value, list):
            return [fitted(item) for item in value]
        return pattern.sub(lambda match: replacements[match[0]], value) if isinstance(value, str) else value

    return {key: fitted(value) if key in _FITTED else value for key, value in descriptor.items()}


def _same_keys(one: Aggregation, other: Aggregation) -> bool:
    return (one.zone_key, one.value_key) == (other.zone_key, other.value_key)


def _javascript_literal(text: str) -> str:
    return json.dumps(text)


def forwarding_steps(platform: Platform, spec: ForwardingSpec, notes: list[str]) -> Iterator[Step]:
    """Compares what forwards with `spec`; adds what a person should know to `notes`."""
    state = platform.forwarding.inspect(spec)
    notes += state.notes
    for change in platform.forwarding.plan(spec, state):
        yield step_of(change)


def step_of(change: Change) -> Step:
    """A change of the forwarding as a step of ours."""
    return Step(Kind(change.kind), change.name, Action(str(change.action)), change.differences, change.apply)
