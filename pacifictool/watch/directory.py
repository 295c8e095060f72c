"""The zones and devices to watch: those of the scenario, and all others of its type on the platform."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from pacifictool.rest import CLIENT_SCOPE, EntityId, Platform
from pacifictool.scenario import Scenario, Turbine

LISTED: Final = 5_000
"""Maximum number of devices, and of assets, that are listed."""

RELIST_SECONDS: Final = 30.0
_RELIST_SOON_SECONDS: Final = 5.0
"""Used while a device of the scenario is missing, and the lists are short."""
_SHORT: Final = 500
_SEARCHES: Final = 10
"""Missing zones that are searched by name in one poll."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class WatchedZone:
    """A zone, and the entities that may have its means."""

    name: str
    entities: tuple[EntityId, ...]
    """The asset, the device of that name, both, or neither."""


@dataclass(frozen=True, slots=True)
class WatchedDevice:
    """A device by name; `id` is None when it is not on the platform."""

    name: str
    id: EntityId | None


class Directory:
    """The known zones and devices; `refresh` updates them from the platform. For one thread at a time."""

    def __init__(
        self, platform: Platform, scenario: Scenario, *, zones: Collection[str] = (), devices: Collection[str] = ()
    ) -> None:
        """`zones` and `devices`: only these; empty: all."""
        self._platform = platform
        self._scenario = scenario
        self._only_zones = tuple(dict.fromkeys(zones))
        self._only_devices = tuple(dict.fromkeys(devices))
        self._devices: dict[str, EntityId] = {}
        self._assets: dict[str, EntityId] = {}
        self._listed_at: float | None = None
        self._zone_of: dict[str, str | None] = {}
        self._search_turn = 0
        self.is_cut = False
        """Whether there are more than LISTED devices or assets."""

    def refresh(self, at: float) -> None:
        """Reads the lists again when they are too old at monotonic second `at`. Raises PlatformError."""
        if self._listed_at is None or at - self._listed_at >= self._relist_seconds():
            self._list()
            self._listed_at = at
        missing = [zone.name for zone in self.zones() if not zone.entities]
        self._search_turn += 1
        start = self._search_turn * _SEARCHES % len(missing) if len(missing) > _SEARCHES else 0
        for name in (missing + missing)[start : start + min(_SEARCHES, len(missing))]:
            self._search(name)

    def _relist_seconds(self) -> float:
        is_short = len(self._devices) + len(self._assets) <= _SHORT
        is_incomplete = any(device.id is None for device in self.devices()) or not self._devices
        return _RELIST_SOON_SECONDS if is_short and is_incomplete else RELIST_SECONDS

    def _list(self) -> None:
        kind = self._scenario.platform.entity_type
        devices, more_devices = _some(self._platform.devices.list(type=kind))
        assets, more_assets = _some(self._platform.assets.list(type=kind))
        self._devices = {device.name: device.entity_id for device in devices}
        self._assets = {asset.name: asset.entity_id for asset in assets}
        self.is_cut = more_devices or more_assets
        for name in self._only_devices:
            if name not in self._devices and (device := self._platform.devices.find(name)) is not None:
                self._devices[name] = device.entity_id

    def _search(self, zone: str) -> None:
        if (asset := self._platform.assets.find(zone)) is not None:
            self._assets[zone] = asset.entity_id
        elif (device := self._platform.devices.find(zone)) is not None:
            self._devices[zone] = device.entity_id

    def forget(self, entity: EntityId) -> None:
        """Removes an entity that was deleted on the platform."""
        for known in (self._devices, self._assets):
            for name in [name for name, identifier in known.items() if identifier == entity]:
                del known[name]

    def devices(self) -> list[WatchedDevice]:
        """All devices except those of zones; those of the scenario first."""
        if self._only_devices:
            return [WatchedDevice(name, self._devices.get(name)) for name in self._only_devices]
        zones = set(self._zone_names())
        own = [turbine.name for turbine in self._turbines()]
        others = [name for name in self._devices if name not in zones and self._scenario.turbine(name) is None]
        return [WatchedDevice(name, self._devices.get(name)) for name in [*own, *others]]

    def zones(self) -> list[WatchedZone]:
        """All zones; those of the scenario first."""
        return [
            WatchedZone(name, tuple(filter(None, (self._assets.get(name), self._devices.get(name)))))
            for name in self._zone_names()
        ]

    def _zone_names(self) -> Iterable[str]:
        if self._only_zones:
            return self._only_zones
        own = [turbine.zone for turbine in self._turbines()]
        reported = [zone for zone in self._zone_of.values() if zone is not None]
        return dict.fromkeys([*own, *self._assets, *reported])

    def _turbines(self) -> tuple[Turbine, ...]:
        """Those of the scenario, unless the platform has another fleet instead."""
        turbines, zones = self._scenario.turbines, self._scenario.zones
        has_scenario = any(turbine.name in self._devices for turbine in turbines)
        return turbines if has_scenario or self._devices.keys() <= set(zones) else ()

    def zone_of(self, device: WatchedDevice) -> str | None:
        """The device's zone by the scenario, or by its client attribute, which is read once. Raises PlatformError."""
        turbine = self._scenario.turbine(device.name)
        if turbine is not None:
            return turbine.zone
        if device.id is None:
            return None
        if device.id.id not in self._zone_of:
            key = self._scenario.aggregation.zone_key
            zone = self._platform.attributes.get(device.id, CLIENT_SCOPE, [key]).get(key)
            self._zone_of[device.id.id] = zone if isinstance(zone, str) else None
        return self._zone_of[device.id.id]


def _some(items: Iterable[Item]) -> tuple[list[Item], bool]:
    """Up to LISTED of them, and whether there are more."""
    found = list(islice(items, LISTED + 1))
    return found[:LISTED], len(found) > LISTED
