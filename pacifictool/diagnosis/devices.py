"""Checks of what the scenario names on the platform: devices, their client attributes, the MQTT port, assets."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from pacifictool.diagnosis.attributes import attribute_faults, client_attributes
from pacifictool.diagnosis.causes import Cause
from pacifictool.diagnosis.checks import Check, Finding, failed, ok, skipped, warning
from pacifictool.diagnosis.faults import SETUP, Fault
from pacifictool.diagnosis.surroundings import Surroundings
from pacifictool.errors import MqttError
from pacifictool.mqtt.connection import Failure, failure_of
from pacifictool.mqtt.session import MqttSession
from pacifictool.provisioning.entities import check_reachable, find_assets, find_devices
from pacifictool.rest import SERVER_SCOPE, Device
from pacifictool.scenario import Turbine
from pacifictool.settings import MqttEndpoint
from pacifictool.tools.threads import run_bounded

GROUP = "Devices and assets"
MQTT_SECONDS = 3.0
LOOKED_AT = 100
"""Of a greater fleet, the attributes of so many devices are looked at, evenly spread."""
_WORKERS = 8
_NAMED = 3
_CANDIDATES = 5
"""Among so many devices one is looked for that is not connected."""


def device_checks(around: Surroundings) -> list[Check]:
    """See the module."""
    return [
        Check("devices", GROUP, "Devices", lambda: _devices(around), ("generation",)),
        Check(
            "attributes", GROUP, "Client attributes", lambda: _attributes(around), ("generation",), after=("devices",)
        ),
        Check("mqtt", GROUP, "MQTT port", lambda: _mqtt(around)),
        Check(
            "mqtt-login", GROUP, "MQTT login", lambda: _mqtt_login(around), ("mqtt", "generation"), after=("devices",)
        ),
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
        told = f"{_list(missing)} {'is' if len(missing) == 1 else 'are'} missing on the platform."
        yield failed(Cause.DEVICE_MISSING, told, SETUP)
    elif other:
        told = f"{_list(other)}: of another type than {wanted!r}."
        yield warning(Cause.ENTITY_TYPE_DIFFERS, told, SETUP)
    elif not names:
        mend = "Add [[turbines]] tables; docs/scenario.md shows how."
        yield warning(Cause.NO_TURBINES, "The scenario has no turbines.", mend)
    else:
        yield ok(f"all {len(names)} are there, of the type {wanted!r}")


def _attributes(around: Surroundings) -> Iterator[Finding]:
    """The rule looks for them; a device without is not forwarded, and nothing tells it so."""
    turbines = [turbine for turbine in around.scenario.turbines if turbine.name in around.devices]
    looked_at = turbines[:: max(1, -(-len(turbines) // LOOKED_AT))]
    found = run_bounded(
        lambda turbine: _attribute_fault(around, turbine, around.devices[turbine.name]),
        looked_at,
        workers=_WORKERS,
        stop=around.stop,
        name="attributes",
    )
    faults = [fault for fault in found if fault is not None]
    of = "" if len(looked_at) == len(turbines) else f" of {len(turbines)}, looked at by sample"
    if faults:
        first = min(faults, key=lambda fault: fault.sentence)
        more = f" The same or other faults: {len(faults) - 1} of {len(looked_at)} devices{of}." if faults[1:] else ""
        yield failed(first.cause, first.sentence + more, first.mend)
    elif looked_at:
        yield ok(f"as in the scenario: {len(looked_at)} devices{of}")
    else:
        yield skipped("There are no devices to look at.")


def _attribute_fault(around: Surroundings, turbine: Turbine, device: Device) -> Fault | None:
    platform = around.the_platform()
    actual = client_attributes(platform, device)
    return next(attribute_faults(platform, around.scenario, turbine, device, actual), None)


def _mqtt(around: Surroundings) -> Iterator[Finding]:
    check_reachable(around.settings.mqtt, timeout_seconds=MQTT_SECONDS)
    yield ok(f"{around.settings.mqtt} takes connections")


def _mqtt_login(around: Surroundings) -> Iterator[Finding]:
    """Connects as a device that exists, and publishes nothing."""
    device = _device_at_rest(around)
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
        yield failed(Cause.TOKEN_REFUSED, *refused_token(endpoint, around.settings.url, device.name))
    else:
        yield ok(f"{device.name!r} logs in within {seconds * 1000:.0f} ms (CONNACK 0)")


def refused_token(endpoint: MqttEndpoint, url: str, device: str) -> tuple[str, str]:
    """What to say, and what to do, when MQTT does not take the token that REST has just given."""
    return (
        f"{endpoint} refuses the access token that {url} has just given for {device!r}.",
        "MQTT and REST must belong to the same platform: check --mqtt against --url.",
    )


def _device_at_rest(around: Surroundings) -> Device | None:
    """One that is not connected, if there is one among the first few: 4.x servers allow one session a device.

    A login would end the session of a simulator for a moment.
    """
    devices = list(around.devices.values())
    if around.generation == "1.x":
        return next(iter(devices), None)
    for device in devices[:_CANDIDATES]:
        times = around.the_platform().attributes.get(device, SERVER_SCOPE, ["lastConnectTime", "lastDisconnectTime"])
        if times.get("lastConnectTime", 0) <= times.get("lastDisconnectTime", 0):
            return device
    return next(iter(devices), None)


def _assets(around: Surroundings) -> Iterator[Finding]:
    names = [asset.name for asset in around.scenario.assets]
    wanted = around.scenario.platform.entity_type
    zones = [zone for zone in around.scenario.zones if zone not in names]
    found = find_assets(around.the_platform(), [*names, *zones])
    missing = [name for name in names if name not in found]
    other = [asset.name for asset in found.values() if asset.type != wanted]
    if missing:
        told = f"{_list(missing)} {'is' if len(missing) == 1 else 'are'} missing; the job will create what it needs."
        yield warning(Cause.ASSET_MISSING, told, SETUP)
    elif other:
        told = f"{_list(other)}: of another type than {wanted!r}; means are posted there all the same."
        yield warning(Cause.ENTITY_TYPE_DIFFERS, told, SETUP)
    else:
        later = [zone for zone in zones if zone not in found]
        seen = f"all {len(names)} of the scenario are there" if names else "the scenario names none"
        yield ok(seen + (f"; the job will create {_list(later)}" if later else ""))


def _list(names: Sequence[str]) -> str:
    """The first few by name, the others by number."""
    shown = ", ".join(repr(name) for name in names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"
