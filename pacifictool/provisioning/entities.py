"""Devices with attributes and access tokens, and assets: those that exist, and what a scenario changes.

Client attributes can only be set by the device itself (a 1.x server returns 400 for CLIENT_SCOPE over REST:
docs/servers/1.x.md#attributes-over-rest, row 2), so they travel over MQTT with the device's own access token; server
and shared attributes are set over REST.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from pacifictool.errors import MqttError, NotFound, did_you_mean
from pacifictool.mqtt import ATTRIBUTES_TOPIC
from pacifictool.mqtt.connection import CONNECT_TIMEOUT_SECONDS, Failure, failure_of, unreachable
from pacifictool.mqtt.session import publish_and_confirm
from pacifictool.plan import Change, ChangeAction, Kind
from pacifictool.progress import SILENT, Reporter
from pacifictool.provisioning.apply import run_with_progress
from pacifictool.provisioning.stored_attributes import StoredAttributes, devices_to_check, same_attribute
from pacifictool.rest import CLIENT_SCOPE, SERVER_SCOPE, SHARED_SCOPE, Device, Platform
from pacifictool.rest.resources import Entity, NamedResources
from pacifictool.scenario import DEVICE_TYPE, Attribute, DeviceSpec, Scenario
from pacifictool.settings import MqttEndpoint, Secret

SCOPES: Final = {"client": CLIENT_SCOPE, "server": SERVER_SCOPE, "shared": SHARED_SCOPE}
"""The platform's names of the scopes of attributes, by the scenario's."""
ATTRIBUTE_TIMEOUT_SECONDS = 25.0
"""For an attempt to publish the client attributes of a device: session and acknowledgement."""
_ATTRIBUTE_ATTEMPTS = 3

_LOOK_UP_SINGLY_BELOW = 50
"""With fewer names than this, one request for each is cheaper than paging through all entities of a tenant."""


AttributesByScope = Mapping[str, Mapping[str, Any]]
"""Attributes by the scenario's name of their scope."""


def wanted_attributes(scenario: Scenario, device: DeviceSpec) -> dict[str, dict[str, str]]:
    """The attributes that the forwarding reads, by the scenario's name of their scope: client, server, shared.

    The first of the client attributes is `deviceType`, which says that messages of the device are forwarded.
    """
    wanted: dict[str, dict[str, str]] = {"client": {DEVICE_TYPE: scenario.platform.device_type}}
    for text, value in device.attributes.items():
        attribute = Attribute.parse(text)
        wanted.setdefault(attribute.scope, {})[attribute.key] = value
    return wanted


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
        *,
        confirms_attributes: bool = True,
    ) -> None:
        """`confirms_attributes`: whether to wait until the platform shows those that it has acknowledged."""
        self._platform = platform
        self._mqtt = mqtt
        self._scenario = scenario
        self._reporter = reporter
        self._stop = stop
        self._devices: dict[str, Device] = {}
        self._stored = StoredAttributes(platform, reporter, stop) if confirms_attributes else None
        self._to_check = devices_to_check([device.name for device in scenario.devices])

    def plan(self) -> Iterator[Change]:
        """A change for each device, then one for the attributes of each."""
        devices = self._scenario.devices
        with self._reporter.task("Looking up devices", total=len(devices), unit="devices") as task:
            self._devices = find_by_name(self._platform.devices, [device.name for device in devices])
            task.update(completed=len(devices))
        attributes = self._read_attributes()
        wanted = self._scenario.platform.device_type
        for device in devices:
            found = self._devices.get(device.name)
            yield _entity_change(Kind.DEVICE, device.name, found, wanted, self._create, self._change_type)
        for device in devices:
            yield self._attributes_change(device, attributes.get(device.name, {}))

    def _attributes_change(self, device: DeviceSpec, actual: AttributesByScope) -> Change:
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

        def read(device: Device) -> tuple[str, AttributesByScope]:
            found = {scope: self._platform.attributes.get(device, scope=SCOPES[scope]) for scope in scopes}
            return device.name, found

        devices = list(self._devices.values())
        title = "Reading attributes"
        return dict(run_with_progress(read, devices, title, self._reporter, unit="devices", stop=self._stop))

    def _create(self, name: str, wanted: str) -> None:
        self._devices[name] = self._platform.devices.create_or_get(name, wanted)

    def _change_type(self, device: Device, wanted: str) -> None:
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
            self._publish(name, self._platform.devices.token(device.id), attributes["client"])
            if self._stored is not None and name in self._to_check:
                self._stored.wait_for(device, attributes["client"])

    def _publish(self, name: str, token: Secret, attributes: Mapping[str, str]) -> None:
        """Publishes client attributes; once more when the platform does not respond in time, as twice does no harm."""
        payload = json.dumps(dict(attributes), ensure_ascii=False).encode()
        for attempt in range(1, _ATTRIBUTE_ATTEMPTS + 1):
            try:
                publish_and_confirm(
                    self._mqtt,
                    token,
                    ATTRIBUTES_TOPIC,
                    payload,
                    timeout_seconds=ATTRIBUTE_TIMEOUT_SECONDS,
                    device=name,
                )
            except MqttError as error:
                is_late = failure_of(error) in (Failure.UNCONFIRMED, Failure.SERVER_BUSY)
                if attempt == _ATTRIBUTE_ATTEMPTS or not is_late or (self._stop is not None and self._stop.is_set()):
                    raise
                self._reporter.detail(f"{error.message} Publishing again.")
            else:
                return


def check_reachable(mqtt: MqttEndpoint, *, timeout_seconds: float = CONNECT_TIMEOUT_SECONDS) -> None:
    """Opens and closes a connection to the MQTT endpoint. Raises MqttError."""
    try:
        socket.create_connection((mqtt.host, mqtt.port), timeout=timeout_seconds).close()
    except OSError as error:
        raise unreachable(mqtt, error) from error


def asset_changes(platform: Platform, scenario: Scenario) -> Iterator[Change]:
    """A change for each asset that the scenario names; the job creates those of other groups."""
    wanted, assets = scenario.asset_type, platform.assets
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
