"""The rule that forwards telemetry to Kafka: what the scenario wants of it, and the steps that make it so."""

from __future__ import annotations

import json
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
    tutorial_plugin,
    tutorial_rule,
)
from pacifictool.scenario import Aggregation, Scenario, tutorial_scenario
from pacifictool.settings import Settings


def forwarding_spec(
    settings: Settings, scenario: Scenario, *, plugin_file: Path | None = None, rule_file: Path | None = None
) -> ForwardingSpec:
    """The tutorial's plugin and rule, fitted to the scenario; or the user's own files, of which only the addresses of
    Kafka and the topic are replaced. Raises DescriptorError.
    """
    return ForwardingSpec(
        plugin=tutorial_plugin() if plugin_file is None else read_plugin(plugin_file),
        rule=_fitted_rule(tutorial_rule(), scenario) if rule_file is None else read_rule(rule_file),
        bootstrap_servers=settings.platform_kafka,
        topic=scenario.kafka.topic,
    )


def _fitted_rule(rule: Mapping[str, Any], scenario: Scenario) -> dict[str, Any]:
    """The tutorial's rule with the scenario's entity type and keys in the place of the tutorial's.

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
        return dict(rule)

    def fitted(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fitted(item) for key, item in value.items()}
        if isinstance(value, list):
            return [fitted(item) for item in value]
        if isinstance(value, str):
            for old, new in replacements.items():
                value = value.replace(old, new)
        return value

    return {**rule, "filters": fitted(rule["filters"]), "action": fitted(rule["action"])}


def _same_keys(one: Aggregation, other: Aggregation) -> bool:
    return (one.zone_key, one.value_key) == (other.zone_key, other.value_key)


def _javascript_literal(text: str) -> str:
    return json.dumps(text)


def forwarding_steps(platform: Platform, spec: ForwardingSpec, notes: list[str]) -> Iterator[Step]:
    """Compares the plugin and rule with `spec`; adds what a person should know to `notes`."""
    state = platform.forwarding.inspect(spec)
    notes += state.notes
    for change in platform.forwarding.plan(spec, state):
        yield step_of(change)


def step_of(change: Change) -> Step:
    """A change of the forwarding as a step of ours."""
    return Step(Kind(change.kind), change.name, Action(str(change.action)), change.differences, change.carry_out)
