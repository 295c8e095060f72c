"""Why a reading that the platform has did not reach Kafka: attributes, plugin and rule, or Kafka itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pacifictool.diagnosis.attributes import attribute_faults, client_attributes
from pacifictool.diagnosis.causes import Cause
from pacifictool.diagnosis.events import last_error
from pacifictool.diagnosis.faults import SETUP, Fault
from pacifictool.diagnosis.forwarding import address_faults, described_filters, forwarding_faults
from pacifictool.rest import Device, ForwardingSpec, Platform, Plugin, Rule
from pacifictool.scenario import Scenario, Turbine
from pacifictool.settings import Settings

_HARMLESS = (Cause.RULE_TWICE, Cause.RULE_CHAIN_TWICE, Cause.RULE_NAMESAKE, Cause.ZONE_DIFFERS)
"""These keep nothing from arriving."""


@dataclass(frozen=True, slots=True)
class Surveyor:
    """Looks for reasons, as often as it is asked."""

    platform: Platform
    settings: Settings
    scenario: Scenario
    spec: ForwardingSpec
    turbine: Turbine
    device: Device
    sent_ms: int
    """When the reading was sent, by the platform's clock."""

    def reasons(self) -> list[Fault]:
        """All that can be found, the most certain first. Raises PlatformError."""
        found = [*self._about_forwarding(), *self.about_attributes()]
        return sorted((fault for fault in found if fault.cause not in _HARMLESS), key=lambda reason: not reason.certain)

    def about_attributes(self) -> list[Fault]:
        """What is wrong with the device's client attributes. Raises PlatformError."""
        actual = client_attributes(self.platform, self.device)
        return list(attribute_faults(self.platform, self.scenario, self.turbine, self.device, actual))

    def about_the_profile(self) -> Fault | None:
        """What leads the device's messages past the root rule chain (3.2 and later). Raises PlatformError."""
        state = self.platform.forwarding.inspect(self.spec)
        faults = forwarding_faults(self.platform, self.spec, state, self.settings)
        return next((fault for fault in faults if fault.cause is Cause.DEVICE_PROFILE_BYPASSES), None)

    def filtered(self) -> Fault | None:
        """By elimination, on 1.x: every rule has answered well, and this one has not written anything.

        Only to be asked when the reading was acknowledged and `reasons` finds nothing. Raises PlatformError.
        """
        rule = self.platform.forwarding.inspect(self.spec).parts.get("rule")
        if not isinstance(rule, Rule) or not _waits_for_kafka(rule):
            return None
        return Fault(
            Cause.FILTERED,
            "rule",
            f"The rule {rule.name!r} is active and without errors, so that one of its filters keeps this reading out:"
            f" {described_filters(rule)}.",
            "Correct that filter in the rule's file, then: pacifictool setup (with --rule FILE)",
        )

    def _about_forwarding(self) -> Iterator[Fault]:
        state = self.platform.forwarding.inspect(self.spec)
        faults = forwarding_faults(self.platform, self.spec, state, self.settings)
        yield from faults
        for part in (state.parts.get("rule"), state.parts.get("plugin")):
            if isinstance(part, Rule | Plugin) and (error := last_error(self.platform, part, self.sent_ms)) is not None:
                cause = Cause.RULE_ERROR if isinstance(part, Rule) else Cause.PLUGIN_ERROR
                sentence = f"The {part.noun} {part.name!r} failed at this reading or just before: {error}"
                yield Fault(cause, part.noun, sentence, f"Mend the {part.noun} on the platform, or: {SETUP}")
        if not any(fault.after_match or fault.cause.endswith("-missing") for fault in faults):
            yield from (fault for fault in address_faults(self.spec, state, self.settings) if not fault.certain)


def _waits_for_kafka(rule: Rule) -> bool:
    """Whether the rule answers only when Kafka has the record."""
    action = rule.raw.get("action")
    configuration = action.get("configuration") if isinstance(action, dict) else None
    return isinstance(configuration, dict) and configuration.get("sync") is True
