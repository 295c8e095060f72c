"""Devices with client attributes and access tokens, and assets: those that exist, and what a scenario changes.

Client attributes can only be set by the device itself (a 1.x server returns 400 for CLIENT_SCOPE over REST:
docs/servers/1.x.md#attributes-over-rest, row 2), so they travel over MQTT with the device's own access token.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pacifictool.errors import NotFound, did_you_mean
from pacifictool.mqtt import ATTRIBUTES_TOPIC
from pacifictool.mqtt.connection import CONNECT_TIMEOUT_SECONDS, unreachable
from pacifictool.mqtt.session import publish_and_confirm
from pacifictool.plan import Change, ChangeAction, Kind
from pacifictool.progress import SILENT, Reporter
from pacifictool.provisioning.apply import run_with_progress
from pacifictool.rest import Device, Platform
from pacifictool.rest.resources import Entity, NamedResources
from pacifictool.scenario import Scenario, Turbine
from pacifictool.settings import MqttEndpoint, Secret

DEVICE_TYPE_ATTRIBUTE = "deviceType"
ATTRIBUTE_TIMEOUT_SECONDS = 15.0

_LOOK_UP_SINGLY_BELOW = 50
"""With fewer names than this, one request for each is cheaper than paging through all entities of a tenant."""


def wanted_attributes(scenario: Scenario, turbine: Turbine) -> dict[str, str]:
    """The client attributes that the forwarding rule reads."""
    return {
        DEVICE_TYPE_ATTRIBUTE: scenario.platform.entity_type,
        scenario.aggregation.zone_key: turbine.zone,
    }


def find_by_name(resources: NamedResources[Entity], names: Sequence[str]) -> dict[str, Entity]:
    """The devices or assets that exist, by exact name."""
    if len(names) < _LOOK_UP_SINGLY_BELOW:
        found = (resources.find(name) for name in names)
        return {entity.name: entity for entity in found if entity is not None}
    wanted = set(names)
    return {entity.name: entity for entity in resources.list() if entity.name in wanted}


def look_up_tokens(
    platform: Platform, names: Sequence[str], reporter: Reporter = SILENT, stop: threading.Event | None = None
) -> dict[str, Secret]:
    """Access token by device name. Raises NotFound for a device that the platform does not have."""
    devices = find_by_name(platform.devices, names)
    missing = [name for name in names if name not in devices]
    if missing:
        suggestion = did_you_mean(missing[0], (device.name for device in platform.devices.list()))
        raise NotFound(
            f"The platform has no device {missing[0]!r}"
            + (f" (and {len(missing) - 1} more of the scenario are missing)." if len(missing) > 1 else "."),
            hint=f"{suggestion} `pacifictool setup` creates the devices of a scenario.".lstrip(),
        )

    def look_up(device: Device) -> tuple[str, Secret]:
        return device.name, platform.devices.token(device.id)

    found = list(devices.values())
    return dict(run_with_progress(look_up, found, "Looking up access tokens", reporter, unit="devices", stop=stop))


class DevicePlanner:
    """Compares and creates the devices of a scenario."""

    def __init__(
        self,
        platform: Platform,
        mqtt: MqttEndpoint,
        scenario: Scenario,
        reporter: Reporter,
        stop: threading.Event | None,
    ) -> None:
        self._platform = platform
        self._mqtt = mqtt
        self._scenario = scenario
        self._reporter = reporter
        self._stop = stop
        self._devices: dict[str, Device] = {}

    def plan(self) -> Iterator[Change]:
        """A change for each device, then one for the attributes of each."""
        turbines = self._scenario.turbines
        with self._reporter.task("Looking up devices", total=len(turbines), unit="devices") as task:
            self._devices = find_by_name(self._platform.devices, [turbine.name for turbine in turbines])
            task.update(completed=len(turbines))
        attributes = self._read_attributes()
        wanted = self._scenario.platform.entity_type
        for turbine in turbines:
            found = self._devices.get(turbine.name)
            yield _entity_change(Kind.DEVICE, turbine.name, found, wanted, self._create, self._change_type)
        for turbine in turbines:
            yield self._attributes_change(turbine, attributes.get(turbine.name, {}))

    def _attributes_change(self, turbine: Turbine, actual: Mapping[str, Any]) -> Change:
        wanted = wanted_attributes(self._scenario, turbine)
        differing = {key: value for key, value in wanted.items() if actual.get(key) != value}
        if not differing:
            return Change(Kind.ATTRIBUTES, turbine.name, ChangeAction.KEEP)
        differences = tuple(
            f"{key}: {value!r} instead of {actual[key]!r}" if key in actual else f"{key}: {value!r}"
            for key, value in differing.items()
        )
        action = ChangeAction.CHANGE if any(key in actual for key in differing) else ChangeAction.CREATE
        return Change(
            Kind.ATTRIBUTES,
            turbine.name,
            action,
            differences,
            lambda: self._publish_attributes(turbine.name, differing),
        )

    def _read_attributes(self) -> dict[str, dict[str, Any]]:
        """Client attributes of the devices that exist, by device name."""

        def read(device: Device) -> tuple[str, dict[str, Any]]:
            return device.name, self._platform.attributes.get(device, scope="CLIENT_SCOPE")

        devices = list(self._devices.values())
        title = "Reading client attributes"
        return dict(run_with_progress(read, devices, title, self._reporter, unit="devices", stop=self._stop))

    def _create(self, name: str, wanted: str) -> None:
        self._devices[name] = self._platform.devices.create_or_get(name, wanted)

    def _change_type(self, device: Device, wanted: str) -> None:
        self._devices[device.name] = self._platform.devices.change_type(device, wanted)

    def _publish_attributes(self, name: str, attributes: Mapping[str, str]) -> None:
        token = self._platform.devices.token(self._devices[name].id)
        publish_and_confirm(
            self._mqtt,
            token,
            ATTRIBUTES_TOPIC,
            json.dumps(dict(attributes), ensure_ascii=False).encode(),
            timeout_seconds=ATTRIBUTE_TIMEOUT_SECONDS,
            device=name,
        )


def check_reachable(mqtt: MqttEndpoint, *, timeout_seconds: float = CONNECT_TIMEOUT_SECONDS) -> None:
    """Opens and closes a connection to the MQTT endpoint. Raises MqttError."""
    try:
        socket.create_connection((mqtt.host, mqtt.port), timeout=timeout_seconds).close()
    except OSError as error:
        raise unreachable(mqtt, error) from error


def asset_changes(platform: Platform, scenario: Scenario) -> Iterator[Change]:
    """A change for each asset that the scenario names; the aggregation job creates those of other zones."""
    wanted, assets = scenario.platform.entity_type, platform.assets
    names = [asset.name for asset in scenario.assets]
    existing = find_by_name(assets, names)
    for name in names:
        found = existing.get(name)
        yield _entity_change(Kind.ASSET, name, found, wanted, assets.create_or_get, assets.change_type)


def _entity_change(
    kind: Kind,
    name: str,
    found: Entity | None,
    wanted: str,
    create: Callable[[str, str], object],
    change_type: Callable[[Entity, str], object],
) -> Change:
    """Compares a device or asset with the `wanted` type."""
    if found is None:
        return Change(kind, name, ChangeAction.CREATE, apply=lambda: create(name, wanted))
    if found.type != wanted:
        difference = f"type: {wanted!r} instead of {found.type!r}"
        return Change(kind, name, ChangeAction.CHANGE, (difference,), lambda: change_type(found, wanted))
    return Change(kind, name, ChangeAction.KEEP)
