"""Devices with attributes and access tokens, and assets: those that exist, and what a scenario changes.

Client attributes can only be set by the device itself (a 1.x server returns 400 for CLIENT_SCOPE over REST:
docs/servers/1.x.md#attributes-over-rest, row 2), so they travel over MQTT with the device's own access token; server
and shared attributes are set over REST.
"""

from __future__ import annotations

import difflib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from pacifictool.errors import NotFound
from pacifictool.mqtt import ATTRIBUTES_TOPIC
from pacifictool.mqtt.connection import CONNECT_TIMEOUT_SECONDS, unreachable
from pacifictool.mqtt.session import publish_and_confirm
from pacifictool.plan import Change, ChangeAction, Kind
from pacifictool.provisioning.apply import run_with_progress
from pacifictool.reporting import SILENT, Reporter
from pacifictool.rest import CLIENT_SCOPE, SERVER_SCOPE, SHARED_SCOPE, Asset, Platform
from pacifictool.rest import Device as PlatformDevice
from pacifictool.scenario import DEVICE_TYPE, Attribute, Device, Scenario
from pacifictool.settings import MqttEndpoint, Secret

SCOPES: Final = {"client": CLIENT_SCOPE, "server": SERVER_SCOPE, "shared": SHARED_SCOPE}
"""The platform's names of the scopes of attributes, by the scenario's."""
ATTRIBUTE_TIMEOUT_SECONDS = 15.0

_LOOK_UP_SINGLY_BELOW = 50
"""With fewer names than this, one request for each is cheaper than paging through all entities of a tenant."""


AttributesByScope = Mapping[str, Mapping[str, Any]]
"""Attributes by the scenario's name of their scope."""


def wanted_attributes(scenario: Scenario, device: Device) -> dict[str, dict[str, str]]:
    """The attributes that the forwarding reads, by the scenario's name of their scope: client, server, shared.

    The first of the client attributes is `deviceType`, which says that messages of the device are forwarded.
    """
    wanted: dict[str, dict[str, str]] = {"client": {DEVICE_TYPE: scenario.platform.device_type}}
    for text, value in device.attributes.items():
        attribute = Attribute.parse(text)
        wanted.setdefault(attribute.scope, {})[attribute.key] = value
    return wanted


def same_attribute(actual: object, wanted: str) -> bool:
    """Whether the platform's value is the wanted text. From 2.2 on a text that is a number becomes a number
    (docs/servers/2.x-3.x.md#telemetry-and-mqtt, row 1), which records hold as a text again."""
    return actual == wanted or (
        isinstance(actual, int | float) and not isinstance(actual, bool) and str(actual) == wanted
    )


def find_devices(platform: Platform, names: Sequence[str]) -> dict[str, PlatformDevice]:
    """The devices that exist, by exact name."""
    if len(names) < _LOOK_UP_SINGLY_BELOW:
        found = (platform.devices.find(name) for name in names)
        return {device.name: device for device in found if device is not None}
    wanted = set(names)
    return {device.name: device for device in platform.devices.list() if device.name in wanted}


def find_assets(platform: Platform, names: Sequence[str]) -> dict[str, Asset]:
    """The assets that exist, by exact name."""
    if len(names) < _LOOK_UP_SINGLY_BELOW:
        found = (platform.assets.find(name) for name in names)
        return {asset.name: asset for asset in found if asset is not None}
    wanted = set(names)
    return {asset.name: asset for asset in platform.assets.list() if asset.name in wanted}


def look_up_tokens(
    platform: Platform, names: Sequence[str], reporter: Reporter = SILENT, stop: threading.Event | None = None
) -> dict[str, Secret]:
    """Access token by device name. Raises NotFound for a device that the platform does not have."""
    devices = find_devices(platform, names)
    missing = [name for name in names if name not in devices]
    if missing:
        close = difflib.get_close_matches(missing[0], (device.name for device in platform.devices.list()), n=3)
        suggestion = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
        raise NotFound(
            f"The platform has no device {missing[0]!r}"
            + (f" (and {len(missing) - 1} more of the scenario are missing)." if len(missing) > 1 else "."),
            hint=f"{suggestion}`pacifictool setup` creates the devices of a scenario.",
        )

    def look_up(device: PlatformDevice) -> tuple[str, Secret]:
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
        self._devices: dict[str, PlatformDevice] = {}

    def plan(self) -> Iterator[Change]:
        """A change for each device, then one for the attributes of each."""
        devices = self._scenario.devices
        with self._reporter.task("Looking up devices", total=len(devices), unit="devices") as task:
            self._devices = find_devices(self._platform, [device.name for device in devices])
            task.update(completed=len(devices))
        attributes = self._read_attributes()
        for device in devices:
            yield self._device_change(device)
        for device in devices:
            yield self._attributes_change(device, attributes.get(device.name, {}))

    def _device_change(self, device: Device) -> Change:
        found = self._devices.get(device.name)
        wanted = self._scenario.platform.device_type
        if found is None:
            return Change(Kind.DEVICE, device.name, ChangeAction.CREATE, apply=lambda: self._create(device))
        if found.type != wanted:
            return Change(
                Kind.DEVICE,
                device.name,
                ChangeAction.CHANGE,
                (f"type: {wanted!r} instead of {found.type!r}",),
                lambda: self._change_type(found, wanted),
            )
        return Change(Kind.DEVICE, device.name, ChangeAction.KEEP)

    def _attributes_change(self, device: Device, actual: AttributesByScope) -> Change:
        differing: dict[str, dict[str, str]] = {}
        differences, action = [], ChangeAction.CREATE
        for scope, wanted in wanted_attributes(self._scenario, device).items():
            for key, value in wanted.items():
                found = actual.get(scope, {})
                if same_attribute(found.get(key), value):
                    continue
                differing.setdefault(scope, {})[key] = value
                differences.append(f"{Attribute(key, scope)}: {value!r}")
                if key in found:
                    differences[-1] += f" instead of {found[key]!r}"
                    action = ChangeAction.CHANGE
        if not differing:
            return Change(Kind.ATTRIBUTES, device.name, ChangeAction.KEEP)
        return Change(
            Kind.ATTRIBUTES,
            device.name,
            action,
            tuple(differences),
            lambda: self._set_attributes(device.name, differing),
        )

    def _read_attributes(self) -> dict[str, AttributesByScope]:
        """Attributes of the devices that exist, by device name, of the scopes that the scenario uses."""
        scopes = dict.fromkeys(["client", *(attribute.scope for attribute in self._scenario.forwarding.attributes)])

        def read(device: PlatformDevice) -> tuple[str, AttributesByScope]:
            found = {scope: self._platform.attributes.get(device, scope=SCOPES[scope]) for scope in scopes}
            return device.name, found

        devices = list(self._devices.values())
        title = "Reading attributes"
        return dict(run_with_progress(read, devices, title, self._reporter, unit="devices", stop=self._stop))

    def _create(self, device: Device) -> None:
        self._devices[device.name] = self._platform.devices.create_or_get(
            device.name, self._scenario.platform.device_type
        )

    def _change_type(self, device: PlatformDevice, wanted: str) -> None:
        self._devices[device.name] = self._platform.devices.change_type(device, wanted)

    def _set_attributes(self, name: str, attributes: Mapping[str, Mapping[str, str]]) -> None:
        """Those that only the server may set go first: the client attributes are what lets messages pass."""
        device = self._devices[name]
        setters: dict[str, Callable[..., None]] = {
            "server": self._platform.attributes.set_server,
            "shared": self._platform.attributes.set_shared,
        }
        for scope, set_them in setters.items():
            if scope in attributes:
                set_them(device, attributes[scope])
        if "client" in attributes:
            publish_and_confirm(
                self._mqtt,
                self._platform.devices.token(device.id),
                ATTRIBUTES_TOPIC,
                json.dumps(dict(attributes["client"]), ensure_ascii=False).encode(),
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
    """A change for each asset that the scenario names; the job creates those of other groups."""
    wanted_type = scenario.asset_type
    existing = find_assets(platform, [asset.name for asset in scenario.assets])

    def create(name: str) -> None:
        platform.assets.create_or_get(name, wanted_type)

    for wanted in scenario.assets:
        asset = existing.get(wanted.name)
        if asset is None:
            yield Change(Kind.ASSET, wanted.name, ChangeAction.CREATE, apply=lambda name=wanted.name: create(name))  # type: ignore[misc]
        elif asset.type != wanted_type:
            yield Change(
                Kind.ASSET,
                wanted.name,
                ChangeAction.CHANGE,
                (f"type: {wanted_type!r} instead of {asset.type!r}",),
                lambda asset=asset: _change_asset_type(platform, asset, wanted_type),  # type: ignore[misc]
            )
        else:
            yield Change(Kind.ASSET, wanted.name, ChangeAction.KEEP)


def _change_asset_type(platform: Platform, asset: Asset, wanted_type: str) -> None:
    platform.assets.change_type(asset, wanted_type)
