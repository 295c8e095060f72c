"""What keeps a device's readings out of Kafka, or sends them to the wrong zone: its attributes against the scenario."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pacifictool.diagnosis.causes import Cause
from pacifictool.diagnosis.faults import SETUP, Fault
from pacifictool.provisioning.entities import DEVICE_TYPE_ATTRIBUTE, wanted_attributes
from pacifictool.rest import CLIENT_SCOPE, SERVER_SCOPE, SHARED_SCOPE, Device, Platform
from pacifictool.scenario import Scenario, Turbine

PART = "attributes"


def client_attributes(platform: Platform, device: Device) -> dict[str, Any]:
    """What the rule looks at. Raises PlatformError."""
    return platform.attributes.get(device, CLIENT_SCOPE)


def attribute_faults(
    platform: Platform, scenario: Scenario, turbine: Turbine, device: Device, actual: dict[str, Any]
) -> Iterator[Fault]:
    """Every fault of the client attributes `actual`, those first that keep readings from being forwarded.

    Raises PlatformError: where an attribute is missing, its other places are looked at.
    """
    wanted = wanted_attributes(scenario, turbine)
    zone_key = scenario.aggregation.zone_key
    missing = [key for key in wanted if actual.get(key) in (None, "")]
    elsewhere = {
        key: scope
        for scope in (SERVER_SCOPE, SHARED_SCOPE)
        for key in (platform.attributes.get(device, scope, missing) if missing else ())
    }
    if elsewhere:
        key, scope = next(iter(elsewhere.items()))
        yield _fault(
            Cause.ATTRIBUTES_IN_WRONG_SCOPE,
            f"{device.name!r} has {key} only as an attribute of {scope}; the rule looks at those that the device itself"
            f" has set ({CLIENT_SCOPE}).",
        )
    elif missing:
        cause = Cause.DEVICE_TYPE_MISSING if missing == [DEVICE_TYPE_ATTRIBUTE] else Cause.ZONE_MISSING
        plural = "s" if len(missing) > 1 else ""
        told = f"{device.name!r} lacks the client attribute{plural} {' and '.join(missing)}, which the rule looks for."
        yield _fault(cause, told)
    if (found := _other(actual, wanted, DEVICE_TYPE_ATTRIBUTE)) is not None:
        yield _fault(
            Cause.DEVICE_TYPE_DIFFERS,
            f"The client attribute {DEVICE_TYPE_ATTRIBUTE} of {device.name!r} is {found!r}; the rule looks for"
            f" {wanted[DEVICE_TYPE_ATTRIBUTE]!r}.",
        )
    if (found := _other(actual, wanted, zone_key)) is not None:
        yield _fault(
            Cause.ZONE_DIFFERS,
            f"The client attribute {zone_key} of {device.name!r} is {found!r}; the scenario says {wanted[zone_key]!r}:"
            " its readings count in the wrong zone.",
            certain=False,
        )


def _other(actual: dict[str, Any], wanted: dict[str, str], key: str) -> Any:
    """What is there instead of the wanted value; None when that is there, or nothing."""
    return None if actual.get(key) in (None, "", wanted[key]) else actual[key]


def _fault(cause: Cause, sentence: str, *, certain: bool = True) -> Fault:
    return Fault(cause, PART, sentence, SETUP, certain=certain)
