"""Checks of what the scenario names on the platform: devices, their client attributes, the MQTT port, assets."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from pacifictool.diagnosis.checks import Check, Finding, failed, ok, skipped, warning
from pacifictool.diagnosis.surroundings import Surroundings
from pacifictool.errors import MqttError
from pacifictool.mqtt.connection import Failure, failure_of
from pacifictool.mqtt.session import MqttSession
from pacifictool.provisioning.entities import check_reachable, find_assets, find_devices, wanted_attributes
from pacifictool.provisioning.workers import run_bounded
from pacifictool.rest import CLIENT_SCOPE, Device
from pacifictool.scenario import Turbine

GROUP = "Devices and assets"
SETUP = "pacifictool setup"
MQTT_SECONDS = 3.0
LOOKED_AT = 100
"""Of a greater fleet, the attributes of so many devices are looked at, evenly spread."""
_WORKERS = 8
_NAMED = 3


def device_checks(around: Surroundings) -> list[Check]:
    """See the module."""
    return [
        Check("devices", GROUP, "Devices", lambda: _devices(around), ("generation",)),
        Check("attributes", GROUP, "Client attributes", lambda: _attributes(around), ("devices",)),
        Check("mqtt", GROUP, "MQTT port", lambda: _mqtt(around)),
        Check("mqtt-login", GROUP, "MQTT login of a device", lambda: _mqtt_login(around), ("mqtt", "devices")),
        Check("assets", GROUP, "Assets", lambda: _assets(around), ("generation",)),
    ]


def _devices(around: Surroundings) -> Iterator[Finding]:
    turbines = around.scenario.turbines
    names = [turbine.name for turbine in turbines]
    around.devices = found = find_devices(around.the_platform(), names)
    wanted = around.scenario.platform.entity_type
    missing = [name for name in names if name not in found]
    other = [device.name for device in found.values() if device.type != wanted]
    if missing:
        yield failed(f"{_list(missing)} of the scenario's {len(names)} are missing on the platform.", SETUP)
    elif other:
        yield warning(f"{_list(other)}: of another type than {wanted!r}.", SETUP)
    elif not names:
        yield warning("The scenario has no turbines.", "Add [[turbines]] tables; docs/scenario.md shows how.")
    else:
        yield ok(f"all {len(names)} are there, of the type {wanted!r}")


def _attributes(around: Surroundings) -> Iterator[Finding]:
    """The rule looks for them; a device without is not forwarded, and nothing tells it so."""
    turbines = [turbine for turbine in around.scenario.turbines if turbine.name in around.devices]
    looked_at = turbines[:: max(1, -(-len(turbines) // LOOKED_AT))]
    faults = run_bounded(
        lambda turbine: (turbine.name, attribute_fault(around, turbine, around.devices[turbine.name])),
        looked_at,
        workers=_WORKERS,
        stop=around.stop,
    )
    wrong = {name: fault for name, fault in faults if fault is not None}
    if wrong:
        name = min(wrong)
        more = f" (and {len(wrong) - 1} more devices)" if len(wrong) > 1 else ""
        yield failed(f"{name}: {wrong[name]}{more}.", SETUP)
    elif looked_at:
        of = "" if len(looked_at) == len(turbines) else f" of {len(turbines)}, looked at by sample"
        yield ok(f"as in the scenario: {len(looked_at)} devices{of}")
    else:
        yield skipped("There are no devices to look at.")


def attribute_fault(around: Surroundings, turbine: Turbine, device: Device) -> str | None:
    """What is wrong with a device's client attributes, in words."""
    actual = around.the_platform().attributes.get(device, CLIENT_SCOPE)
    return describe_attributes(wanted_attributes(around.scenario, turbine), actual)


def describe_attributes(wanted: dict[str, str], actual: dict[str, Any]) -> str | None:
    """The differences in words; None when there are none."""
    differences = [
        f"{key} is {actual[key]!r} instead of {value!r}" if key in actual else f"{key} is missing"
        for key, value in wanted.items()
        if actual.get(key) != value
    ]
    return ", ".join(differences) or None


def _mqtt(around: Surroundings) -> Iterator[Finding]:
    check_reachable(around.settings.mqtt, timeout_seconds=MQTT_SECONDS)
    yield ok(f"{around.settings.mqtt} takes connections")


def _mqtt_login(around: Surroundings) -> Iterator[Finding]:
    """Connects as the first device that exists, and publishes nothing."""
    device = next(iter(around.devices.values()), None)
    if device is None:
        yield skipped("There is no device to log in as.")
        return
    token = around.the_platform().devices.token(device.id)
    endpoint, began = around.settings.mqtt, time.monotonic()
    try:
        with MqttSession(endpoint, token, device=device.name, timeout_seconds=MQTT_SECONDS):
            seconds = time.monotonic() - began
    except MqttError as error:
        if failure_of(error) is not Failure.TOKEN_REFUSED:
            raise
        yield failed(
            f"{endpoint} refuses the access token that {around.settings.url} has just given for {device.name!r}.",
            "MQTT and REST must belong to the same platform: check --mqtt against --url.",
        )
    else:
        yield ok(f"{device.name!r} logs in within {seconds * 1000:.0f} ms")


def _assets(around: Surroundings) -> Iterator[Finding]:
    names = [asset.name for asset in around.scenario.assets]
    wanted = around.scenario.platform.entity_type
    zones = [zone for zone in around.scenario.zones if zone not in names]
    found = find_assets(around.the_platform(), [*names, *zones])
    missing = [name for name in names if name not in found]
    other = [asset.name for asset in found.values() if asset.type != wanted]
    if missing:
        yield warning(f"{_list(missing)} of the scenario's are missing; the job will create them.", SETUP)
    elif other:
        yield warning(f"{_list(other)}: of another type than {wanted!r}; means are posted there all the same.", SETUP)
    else:
        later = [zone for zone in zones if zone not in found]
        seen = f"all {len(names)} of the scenario are there"
        yield ok(seen + (f"; the job will create {_list(later)}" if later else ""))


def _list(names: Sequence[str]) -> str:
    """The first few by name, the others by number."""
    shown = ", ".join(repr(name) for name in names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"
