"""The Analytics Gateway: the device through which the job publishes for one virtual device per group.

A device is a gateway by `"gateway": true` in its additionalInfo, which the platform reads when the device connects
(docs/servers/1.x.md#gateway, row 1). Its relations "Created" lead to the devices that it creates.
"""

from __future__ import annotations

from collections.abc import Iterator

from pacifictool.plan import Change, ChangeAction, Kind
from pacifictool.provisioning.entities import find_by_name
from pacifictool.rest import Device, Platform
from pacifictool.scenario import Scenario

GATEWAY_TYPE = "gateway"
DESCRIPTION = "Publishes the means of zones: made by pacifictool setup --gateway."
"""In additionalInfo, shown in the platform's UI; teardown identifies the gateway by it."""


def gateway_change(platform: Platform, name: str) -> Change:
    """Ensures that a gateway of that name exists; one that somebody else created is used as it is."""
    device = platform.devices.find(name)
    if device is None:
        return Change(Kind.GATEWAY, name, ChangeAction.CREATE, apply=lambda: _create(platform, name))
    if not device.is_gateway:
        return Change(
            Kind.GATEWAY,
            name,
            ChangeAction.CHANGE,
            ("additionalInfo.gateway: true",),
            lambda: _make_gateway(platform, device),
        )
    return Change(Kind.GATEWAY, name, ChangeAction.KEEP)


def gateway_notes(scenario: Scenario, name: str) -> Iterator[str]:
    """Notes on a scenario whose groups become devices."""
    taken = {device.name for device in scenario.devices} | {name}
    for entity in scenario.entities("asset"):
        if entity in taken:
            yield (
                f"The results of a group go to {entity!r}, which is the name of a device: through the gateway, that"
                " device would get them."
            )


def find_gateway(platform: Platform, name: str, notes: list[str]) -> Device | None:
    """The gateway that `gateway_change` created; a note when the device of that name is not that one."""
    device = platform.devices.find(name)
    if device is not None and (device.additional_info or {}).get("description") != DESCRIPTION:
        notes.append(f"Device {name!r} stays: setup did not make it.")
        return None
    return device


def devices_of_gateway(platform: Platform, gateway: Device, scenario: Scenario, notes: list[str]) -> list[Device]:
    """The devices that the gateway created for groups of the scenario, without the scenario's own, devices that
    somebody else created, and devices of another type.
    """
    taken = {device.name for device in scenario.devices}
    names = [name for name in scenario.entities("asset") if name not in taken]
    made = platform.devices.created_by(gateway)
    found = []
    for name, device in find_by_name(platform.devices, names).items():
        if device.id not in made:
            notes.append(f"Device {name!r} stays: the gateway {gateway.name!r} did not make it.")
        elif device.type not in (scenario.asset_type, scenario.platform.device_type):
            notes.append(f"Device {name!r} stays: its type is {device.type!r}, not the scenario's.")
        else:
            found.append(device)
    return found


def _create(platform: Platform, name: str) -> None:
    device = platform.devices.get_or_create(name, GATEWAY_TYPE, {"gateway": True, "description": DESCRIPTION})
    # Somebody else may have created it in the meantime.
    if not device.is_gateway:
        _make_gateway(platform, device)


def _make_gateway(platform: Platform, device: Device) -> None:
    platform.devices.update(device, additionalInfo={**(device.additional_info or {}), "gateway": True})
