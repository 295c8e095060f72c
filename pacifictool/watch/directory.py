"""The groups and devices to watch: those of the scenario, and all others of its types on the platform."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from pacifictool.rest import CLIENT_SCOPE, SERVER_SCOPE, SHARED_SCOPE, EntityId, Platform
from pacifictool.scenario import DEVICE_NAME, Analytics, Attribute, Scenario

LISTED: Final = 5_000
"""Maximum number of devices, and of assets, that are listed."""

RELIST_SECONDS: Final = 30.0
_RELIST_SOON_SECONDS: Final = 5.0
"""Used while a device of the scenario is missing, and the lists are short."""
_SHORT: Final = 500
_SEARCHES: Final = 10
"""Missing groups that are searched by name in one poll."""
_SCOPES: Final = {"client": CLIENT_SCOPE, "server": SERVER_SCOPE, "shared": SHARED_SCOPE}

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class WatchedGroup:
    """A group of an analytics, and the entities that may have its results."""

    analytics: str
    group: tuple[str, ...] | None
    """The values of the keys that the analytics groups by; None: not known."""
    name: str
    """Of its entity."""
    entities: tuple[EntityId, ...]
    """The asset, the device of that name, both, or neither."""


@dataclass(frozen=True, slots=True)
class WatchedDevice:
    """A device by name; `id` is None when it is not on the platform."""

    name: str
    id: EntityId | None


class Directory:
    """The known groups and devices; `refresh` updates them from the platform. For one thread at a time."""

    def __init__(
        self, platform: Platform, scenario: Scenario, *, entities: Collection[str] = (), devices: Collection[str] = ()
    ) -> None:
        """`entities`: only the groups whose entities have these names; `devices`: only these; empty: all."""
        self._platform = platform
        self._scenario = scenario
        self._only_entities = tuple(dict.fromkeys(entities))
        self._only_devices = tuple(dict.fromkeys(devices))
        self._devices: dict[str, EntityId] = {}
        self._assets: dict[str, EntityId] = {}
        self._listed_at: float | None = None
        self._attributes: dict[str, dict[str, str]] = {}
        """By the name of devices that are not in the scenario: their forwarded attributes, once they are read."""
        self._own = {device.name: device for device in scenario.devices}
        self._own_names = frozenset(self._own) | self._entity_names(self._own)
        self._search_turn = 0
        self.is_cut = False
        """Whether there are more than LISTED devices or assets."""

    def refresh(self, at: float) -> None:
        """Reads the lists again when they are too old at monotonic second `at`. Raises PlatformError."""
        if self._listed_at is None or at - self._listed_at >= self._relist_seconds():
            self._list()
            self._listed_at = at
        missing = list(dict.fromkeys(group.name for group in self.groups() if not group.entities))
        self._search_turn += 1
        start = self._search_turn * _SEARCHES % len(missing) if len(missing) > _SEARCHES else 0
        for name in (missing + missing)[start : start + min(_SEARCHES, len(missing))]:
            self._search(name)

    def _relist_seconds(self) -> float:
        is_short = len(self._devices) + len(self._assets) <= _SHORT
        is_incomplete = any(device.id is None for device in self.devices()) or not self._devices
        return _RELIST_SOON_SECONDS if is_short and is_incomplete else RELIST_SECONDS

    def _list(self) -> None:
        devices, more_devices = _some(self._platform.devices.list(type=self._scenario.entity_type("device")))
        assets, more_assets = _some(self._platform.assets.list(type=self._scenario.entity_type("asset")))
        self._devices = {device.name: device.entity_id for device in devices}
        self._assets = {asset.name: asset.entity_id for asset in assets}
        self.is_cut = more_devices or more_assets
        for name in self._only_devices:
            if name not in self._devices and (device := self._platform.devices.find(name)) is not None:
                self._devices[name] = device.entity_id

    def _search(self, name: str) -> None:
        if (asset := self._platform.assets.find(name)) is not None:
            self._assets[name] = asset.entity_id
        elif (device := self._platform.devices.find(name)) is not None:
            self._devices[name] = device.entity_id

    def forget(self, entity: EntityId) -> None:
        """Removes an entity that was deleted on the platform."""
        for known in (self._devices, self._assets):
            for name in [name for name, identifier in known.items() if identifier == entity]:
                del known[name]

    # --- devices ---------------------------------------------------------------------------------------------------

    def devices(self) -> list[WatchedDevice]:
        """All devices except those that only have results; those of the scenario first."""
        if self._only_devices:
            return [WatchedDevice(name, self._devices.get(name)) for name in self._only_devices]
        own = list(self._own) if self._has_scenario() else []
        return [WatchedDevice(name, self._devices.get(name)) for name in [*own, *self._others()]]

    def _others(self) -> Iterator[str]:
        """Devices that are not in the scenario and that do not only have the results of a group."""
        results = self._own_names | self._entity_names(self._attributes)
        for name in self._devices:
            if name not in results and name not in self._assets and not self._looks_like_result(name):
                yield name

    def _looks_like_result(self, name: str) -> bool:
        """Whether a device's name has the fixed part of a pattern: the job has made it."""
        return any(
            each.entity_kind == "device" and each.literal_letters and each.group_of_entity(name) is not None
            for each in self._scenario.analytics
        )

    def _entity_names(self, devices: Iterable[str]) -> frozenset[str]:
        """Names of the entities of these devices' groups, except those that are a device's own name."""
        return frozenset(
            entity
            for name in devices
            for each in self._scenario.analytics
            if (group := self._group_of(name, each)) is not None and (entity := each.entity_name(group)) != name
        )

    def _has_scenario(self) -> bool:
        """Whether the platform has the scenario's own devices, not another fleet instead."""
        return any(name in self._devices for name in self._own) or self._devices.keys() <= self._own_names

    def attributes_of(self, device: WatchedDevice) -> dict[str, str]:
        """The device's forwarded attributes by key, as the scenario says or else as the platform has them, which is
        read once. Raises PlatformError.
        """
        if device.name in self._own:
            return self._values(device.name)
        if device.id is None:
            return {}
        if device.name not in self._attributes:
            self._attributes[device.name] = self._read_attributes(device.id)
        return self._attributes[device.name]

    def _read_attributes(self, entity: EntityId) -> dict[str, str]:
        found: dict[str, str] = {}
        for scope, code in _SCOPES.items():
            keys = [each.key for each in self._scenario.forwarding.attributes if each.scope == scope]
            if keys:
                values = self._platform.attributes.get(entity, code, keys)
                found |= {key: value for key, value in values.items() if isinstance(value, str)}
        return found

    def _values(self, name: str) -> dict[str, str]:
        own = self._own.get(name)
        if own is None:
            return self._attributes.get(name, {})
        return {Attribute.parse(text).key: value for text, value in own.attributes.items()}

    def _group_of(self, name: str, analytics: Analytics) -> tuple[str, ...] | None:
        values = {**self._values(name), DEVICE_NAME: name}
        group = tuple(values.get(key) for key in analytics.group_by)
        return None if None in group else group  # type: ignore[return-value]

    # --- groups ----------------------------------------------------------------------------------------------------

    def groups(self) -> list[WatchedGroup]:
        """The groups of all analytics; those of the scenario's devices first."""
        found: dict[tuple[str, str], tuple[str, ...] | None] = {}
        if self._only_entities:
            for name in self._only_entities:
                for each in self._analytics_of(name, ("asset", "device")) or self._scenario.analytics:
                    found[each.name, name] = each.group_of_entity(name)
        else:
            sources = [*(self._own if self._has_scenario() else ()), *self._others()]
            for each in self._scenario.analytics:
                for name in sources if each.group_by else sources[:1] or [""]:
                    if (group := self._group_of(name, each)) is not None:
                        found.setdefault((each.name, each.entity_name(group)), group)
            known = {name for _, name in found}
            for name in self._assets:
                if name not in known:
                    for each in self._analytics_of(name, ("asset",)):
                        found[each.name, name] = each.group_of_entity(name)
        return [
            WatchedGroup(analytics, group, name, self._entities(analytics, name))
            for (analytics, name), group in found.items()
        ]

    def _entities(self, analytics: str, name: str) -> tuple[EntityId, ...]:
        device = self._devices.get(name)
        is_device = self._scenario.find_analytics(analytics).entity_kind == "device"
        return tuple(filter(None, (None if is_device else self._assets.get(name), device)))

    def _analytics_of(self, name: str, kinds: Collection[str]) -> list[Analytics]:
        """Those whose pattern gives this name; of several patterns, the one that has most of it as a fixed part."""
        fitting = [
            each
            for each in self._scenario.analytics
            if each.entity_kind in kinds and each.group_of_entity(name) is not None
        ]
        most = max((each.literal_letters for each in fitting), default=0)
        return [each for each in fitting if each.literal_letters == most]


def _some(items: Iterable[Item]) -> tuple[list[Item], bool]:
    """Up to LISTED of them, and whether there are more."""
    found = list(islice(items, LISTED + 1))
    return found[:LISTED], len(found) > LISTED
