"""What forwards telemetry to Kafka (a plugin and a rule, or a rule chain), made for the scenario."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pacifictool.errors import ScenarioError
from pacifictool.rest import (
    FIRST_GENERATION,
    ForwardingSpec,
    RecordAttribute,
    RecordSpec,
    breaks_template,
    plugin_descriptor,
    read_plugin,
    read_rule,
    read_rule_chain,
    rule_chain_descriptor,
    rule_descriptor,
    template_problem,
)
from pacifictool.scenario import DEVICE_NAME, Scenario
from pacifictool.settings import Settings


def forwarding_spec(
    settings: Settings,
    scenario: Scenario,
    *,
    plugin_file: Path | None = None,
    rule_file: Path | None = None,
    rule_chain_file: Path | None = None,
) -> ForwardingSpec:
    """The scenario's plugin, rule and rule chain; or the user's own files, in which only the addresses of Kafka and
    the topic are replaced. Raises DescriptorError.

    With only a plugin or rule file the spec has no rule chain, and the other way round, so that a server of another
    generation reports what is missing.
    """
    forwarding, record = scenario.forwarding, record_spec(scenario)
    for_plugins = plugin_file is not None or rule_file is not None
    for_chains = rule_chain_file is not None
    plugin = rule = rule_chain = None
    if for_plugins or not for_chains:
        token = forwarding.plugin_api_token
        plugin = plugin_descriptor(forwarding.plugin_name, token) if plugin_file is None else read_plugin(plugin_file)
        rule = (
            rule_descriptor(forwarding.rule_name, token, forwarding.topic, record)
            if rule_file is None
            else read_rule(rule_file)
        )
    if rule_chain_file is not None:
        rule_chain = read_rule_chain(rule_chain_file)
    elif not for_plugins:
        rule_chain = rule_chain_descriptor(forwarding.rule_chain_name, forwarding.topic, record)
    return ForwardingSpec(
        plugin=plugin,
        rule=rule,
        rule_chain=rule_chain,
        bootstrap_servers=settings.platform_kafka,
        topic=forwarding.topic,
        device_type=scenario.platform.device_type,
        is_generated=rule_file is None and rule_chain_file is None,
    )


def record_spec(scenario: Scenario) -> RecordSpec:
    """Which messages are forwarded and what their records hold.

    A message counts with whatever it carries: one of the scenario's keys of telemetry is enough, and the others are
    left out of its record. An attribute is required only where no analytics could use a record without it, that is,
    if every analytics groups by it; a device that lacks another one is forwarded without it, and counts in the
    analytics that do not ask for it. Without analytics no attribute is required: whoever reads the topic decides.
    """
    required = required_attributes(scenario)
    return RecordSpec(
        device_type=scenario.platform.device_type,
        attributes=tuple(
            RecordAttribute(attribute.key, attribute.scope, attribute.key in required)
            for attribute in scenario.forwarding.attributes
        ),
        telemetry=scenario.forwarding.telemetry,
        device=scenario.forwarding.device,
    )


def required_attributes(scenario: Scenario) -> frozenset[str]:
    """Keys of the attributes without which a device's messages are not forwarded: those of every analytics' groups."""
    groups = [frozenset(each.group_by) for each in scenario.analytics]
    return frozenset.intersection(*groups) - {DEVICE_NAME} if groups else frozenset()


def check_expressible(scenario: Scenario, spec: ForwardingSpec, generation: str) -> None:
    """Raises ScenarioError for keys and values that a server of this generation would write into records otherwise
    than they are, with the name of the device. The user's own rule or rule chain is the user's affair.

    Templates of 1.x escape nothing (docs/servers/1.x.md#forwarding-to-kafka, row 7), so that a quote or backslash in
    an attribute would make each record of the device invalid. Later servers turn texts that are numbers into numbers
    (docs/servers/4.x.md#forwarding-to-kafka, row 4), so that "007" would be group "7".
    """
    if not spec.is_generated:
        return
    if generation == FIRST_GENERATION:
        for key in scenario.forwarding.telemetry:
            if problem := template_problem(key):
                raise ScenarioError(
                    f"A server of 1.x cannot forward the telemetry {key!r}: {problem}.",
                    hint="Use another key, in forwarding.telemetry and in what the devices send.",
                )
    for device, what, value in _texts(scenario):
        if generation == FIRST_GENERATION and breaks_template(value):
            raise ScenarioError(
                f"A server of 1.x cannot forward the messages of {device!r}: {what} {value!r} holds a quote or"
                " backslash, which its template would write into the record unescaped.",
                hint="Use another text without quotes and backslashes, or a server from 2.0 on.",
                device=device,
                value=value,
            )
        if generation != FIRST_GENERATION and what != "its name" and _number_spelled_otherwise(value):
            raise ScenarioError(
                f"The server would turn {what} {value!r} of {device!r} into the number {_as_number(value)}.",
                hint="Use a text that is not a number, such as 'Room 007', or write the number as the server does.",
                device=device,
                value=value,
            )


def _texts(scenario: Scenario) -> Iterator[tuple[str, str, str]]:
    """Device, what it is, and text of everything that goes into records as a text."""
    for device in scenario.devices:
        for key, value in device.attributes.items():
            yield device.name, f"the attribute {key}", value
        if scenario.forwarding.device:
            yield device.name, "its name", device.name


_NUMBER = re.compile(r"-?(?:[0-9]*\.)?[0-9]+")


def _number_spelled_otherwise(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and _as_number(text) != text


def _as_number(text: str) -> str:
    """The number as the platform writes it."""
    if "." not in text:
        return str(int(text))
    value = float(text)
    # Java's bounds for an exponent.
    return str(value) if value == 0 or 1e-3 <= abs(value) < 1e7 else f"{value:E}"
