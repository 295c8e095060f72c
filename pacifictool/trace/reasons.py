"""Why a reading that the platform has stored did not reach Kafka: attributes, plugin and rule, or Kafka itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pacifictool.problems import (
    DUPLICATES,
    SETUP,
    Problem,
    ProblemCode,
    attribute_problems,
    describe_filters,
    forwarding_problems,
)
from pacifictool.rest import Device, ForwardingSpec, Platform, Plugin, Rule
from pacifictool.scenario import DeviceSpec, Scenario
from pacifictool.settings import Settings

_HARMLESS = (*DUPLICATES, ProblemCode.RULE_NAMESAKE, ProblemCode.ZONE_DIFFERS)
"""These do not keep readings from arriving."""
_EVENTS_READ = 20


@dataclass(frozen=True, slots=True)
class ReasonFinder:
    """Searches the platform for reasons, each time it is called. Every method raises PlatformError."""

    platform: Platform
    settings: Settings
    scenario: Scenario
    spec: ForwardingSpec
    described: DeviceSpec
    """As in the scenario."""
    device: Device
    sent_ms: int
    """When the reading was sent, by the platform's clock."""

    def reasons(self) -> list[Problem]:
        """All reasons that can be found, the certain ones first."""
        found = [*self._forwarding(), *self.attributes()]
        return sorted(
            (problem for problem in found if problem.code not in _HARMLESS), key=lambda each: not each.certain
        )

    def attributes(self) -> list[Problem]:
        """What is wrong with the device's client attributes."""
        return attribute_problems(self.platform, self.scenario, self.described, self.device)

    def profile(self) -> Problem | None:
        """A device profile whose messages bypass the root rule chain (3.2 and later)."""
        state = self.platform.forwarding.inspect(self.spec)
        problems = forwarding_problems(self.platform, self.spec, state, self.settings)
        return next((each for each in problems if each.code is ProblemCode.DEVICE_PROFILE_BYPASSES), None)

    def filtered(self) -> Problem | None:
        """By elimination, on 1.x: a filter, where every rule has succeeded and this one has not written anything.

        Only valid when the reading was acknowledged and `reasons` finds nothing.
        """
        rule = self.platform.forwarding.inspect(self.spec).parts.get("rule")
        if not isinstance(rule, Rule) or not _waits_for_kafka(rule):
            return None
        return Problem(
            ProblemCode.FILTERED,
            "rule",
            f"The rule {rule.name!r} is active and without errors, so one of its filters keeps this reading out:"
            f" {describe_filters(rule)}.",
            f"Correct that filter in the rule's file, then: {SETUP} (with --rule FILE)",
        )

    def _forwarding(self) -> Iterator[Problem]:
        state = self.platform.forwarding.inspect(self.spec)
        yield from forwarding_problems(self.platform, self.spec, state, self.settings, uncertain_address=True)
        for part in (state.parts.get("rule"), state.parts.get("plugin")):
            if not isinstance(part, Rule | Plugin):
                continue
            error = self.platform.events.last_error(part, self.sent_ms, _EVENTS_READ)
            if error is not None:
                code = ProblemCode.RULE_ERROR if isinstance(part, Rule) else ProblemCode.PLUGIN_ERROR
                text = f"The {part.noun} {part.name!r} failed at this reading or just before: {error}"
                yield Problem(code, part.noun, text, f"Fix the {part.noun} on the platform, or: {SETUP}")


def _waits_for_kafka(rule: Rule) -> bool:
    """Whether the rule finishes only when Kafka has acknowledged the record."""
    action = rule.raw.get("action")
    configuration = action.get("configuration") if isinstance(action, dict) else None
    return isinstance(configuration, dict) and configuration.get("sync") is True
