"""Why a reading that the platform has did not reach Kafka: attributes, plugin and rule, or Kafka itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pacifictool.diagnosis.forwarding import (
    SETUP,
    Fault,
    Reach,
    forwarding_faults,
    last_error,
    reach_of,
)
from pacifictool.provisioning.entities import DEVICE_TYPE_ATTRIBUTE, wanted_attributes
from pacifictool.rest import CLIENT_SCOPE, SERVER_SCOPE, SHARED_SCOPE, Device, ForwardingSpec, Platform, Plugin, Rule
from pacifictool.scenario import Scenario, Turbine
from pacifictool.settings import Settings

_ABOUT_KAFKA = ("-topic-differs", "-kafka-differs", "-kafka-unreachable")
"""Ends of causes that come into play after a rule has matched."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that explains why the way ends here."""

    cause: str
    """Stable, for scripts."""
    sentence: str
    mend: str
    certain: bool = True
    """Whether nothing can arrive as long as it lasts; otherwise it may be, but need not."""
    after_match: bool = False
    """Whether the rule has matched nevertheless."""


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

    def reasons(self) -> list[Reason]:
        """All that can be found, the most certain first. Raises PlatformError."""
        found = [*self._about_forwarding(), *self._about_attributes()]
        return sorted(found, key=lambda reason: not reason.certain)

    def _about_forwarding(self) -> Iterator[Reason]:
        state = self.platform.forwarding.inspect(self.spec)
        faults = forwarding_faults(self.platform, self.spec, state, self.settings)
        yield from (_reason(fault) for fault in faults if not fault.cause.endswith("-twice"))
        for note in state.notes:
            if "bypass the root rule chain" in note:
                yield Reason("device-profile-bypasses", note, "Take the default rule chain out of the device profile.")
        for part in (state.parts.get("rule"), state.parts.get("plugin")):
            if isinstance(part, Rule | Plugin) and (error := last_error(self.platform, part, self.sent_ms)) is not None:
                sentence = f"The {part.noun} {part.name!r} failed at this reading or just before: {error}"
                yield Reason(f"{part.noun}-error", sentence, f"Mend the {part.noun} on the platform, or: {SETUP}")
        if not any(fault.cause.endswith(_ABOUT_KAFKA) or fault.cause.endswith("-missing") for fault in faults):
            yield from self._about_the_address()

    def _about_the_address(self) -> Iterator[Reason]:
        """The platform has the address that the settings say; whether that is our Kafka is another question."""
        address = self.spec.bootstrap_servers
        if address is None or address == self.settings.kafka.bootstrap:
            return
        reach = reach_of(address, self.settings)
        mend = f"{SETUP} --platform-kafka HOST:PORT, with Kafka's address as the platform reaches it"
        if reach is Reach.OTHER:
            sentence = f"The platform writes to {address}, which is another Kafka cluster than {self.settings.kafka}."
            yield Reason("platform-kafka-differs", sentence, mend, after_match=True)
        elif reach is Reach.UNREACHABLE:
            sentence = f"The platform writes to {address}, which cannot be reached from here."
            yield Reason("platform-kafka-unreachable", sentence, mend, certain=False, after_match=True)

    def _about_attributes(self) -> Iterator[Reason]:
        actual = self.platform.attributes.get(self.device, CLIENT_SCOPE)
        wanted = wanted_attributes(self.scenario, self.turbine)
        missing = [key for key in wanted if actual.get(key) in (None, "")]
        elsewhere = {
            key: scope
            for scope in (SERVER_SCOPE, SHARED_SCOPE)
            for key in self.platform.attributes.get(self.device, scope, missing)
        }
        if elsewhere:
            key, scope = next(iter(elsewhere.items()))
            sentence = (
                f"{self.device.name!r} has {key} only as an attribute of {scope}; the rule looks at those that the"
                " device itself has set (CLIENT_SCOPE)."
            )
            yield Reason("attributes-in-wrong-scope", sentence, SETUP)
        elif missing:
            cause = "device-type-missing" if missing == [DEVICE_TYPE_ATTRIBUTE] else "zone-missing"
            names = " and ".join(missing)
            yield Reason(
                cause, f"{self.device.name!r} has no client attribute {names}, which the rule looks for.", SETUP
            )
        found_type, wanted_type = actual.get(DEVICE_TYPE_ATTRIBUTE), wanted[DEVICE_TYPE_ATTRIBUTE]
        if found_type not in (None, "", wanted_type):
            sentence = (
                f"The client attribute {DEVICE_TYPE_ATTRIBUTE} of {self.device.name!r} is {found_type!r}; the rule"
                f" looks for {wanted_type!r}."
            )
            yield Reason("device-type-differs", sentence, SETUP)


def _reason(fault: Fault) -> Reason:
    return Reason(fault.cause, fault.sentence, fault.mend, fault.certain, fault.cause.endswith(_ABOUT_KAFKA))
