"""A scenario as validated configuration: what exists on the platform, what is forwarded, computed and simulated.

Everything is validated here, once: the packages that work on a `Scenario` can rely on unique names, sane ranges,
positive rates, and on keys that are forwarded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import (
    Field,
    model_validator,
)

from pacifictool.errors import ScenarioError
from pacifictool.models.config import Model
from pacifictool.scenario.alarms import AlarmSpec, check_alarms
from pacifictool.scenario.analytics import Analytics
from pacifictool.scenario.checks import check_keys, check_names, check_results
from pacifictool.scenario.devices import DeviceSpec, FleetSpec, resolve_models
from pacifictool.scenario.forwarding import ForwardingConfig
from pacifictool.scenario.names import (
    DEVICE_NAME,
    MAX_NAME_LENGTH,
    Attribute,
    Key,
    Name,
    plural,
)
from pacifictool.scenario.tables import Table, duplicated, listed

MAX_FLEET = 1_000_000
"""Devices of `--fleet`."""


class PlatformTypes(Table):
    """`[platform]`: the types of the entities on the server."""

    device_type: Name = "Sensor"
    """Type of the devices, and the value of the client attribute `deviceType` that the rule of 1.x servers requires."""

    asset_type: Name | None = None
    """Type of the assets; that of the devices by default."""

    dashboard: Name | None = None
    """Title of the dashboard that `setup --dashboard` creates. By default it names the topic."""


class AssetSpec(Table):
    """`[[assets]]`: an asset that exists before the job; the job creates the others."""

    name: Name
    """An asset that `setup` creates; the job creates the assets of other groups."""


class Scenario(Table):
    """A whole scenario. Create it with `load_scenario`, `tutorial_scenario` or from Python with keyword arguments."""

    platform: PlatformTypes = PlatformTypes()
    forwarding: ForwardingConfig
    analytics: tuple[Analytics, ...] = ()
    alarms: tuple[AlarmSpec, ...] = ()
    labels: dict[str, Name] = Field(default={})
    """What to call things: keys by their names, and `device`, in the singular: `device = "turbine"`."""
    units: dict[Key, str] = Field(default={})
    """Units of telemetry and results by key: `temperature = "°C"`."""
    models: dict[Key, Model] = Field(default={})
    """Named models: `telemetry = { windSpeed = "coast" }` uses the table `[models.coast]`."""
    devices: tuple[DeviceSpec, ...] = ()
    fleet: FleetSpec | None = None
    assets: tuple[AssetSpec, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _resolved(cls, document: Any) -> Any:
        return resolve_models(document)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for table, names in (
            ("devices", [device.name for device in self.devices]),
            ("assets", [asset.name for asset in self.assets]),
            ("analytics", [each.name for each in self.analytics]),
        ):
            if duplicates := duplicated(names):
                raise ValueError(f"two {table} have the name {duplicates[0]!r}; names must be unique")
        check_keys(self)
        check_results(self)
        check_names(self)
        check_alarms(self.alarms, self.analytics)
        return self

    # --- what others ask -----------------------------------------------------------------------------------------

    @property
    def asset_type(self) -> str:
        """Type of the assets."""
        return self.platform.asset_type or self.platform.device_type

    @property
    def dashboard_title(self) -> str:
        """Title of the scenario's dashboard in the platform's web UI."""
        return self.platform.dashboard or f"{self.platform.device_type}: {self.forwarding.topic}"[:MAX_NAME_LENGTH]

    @property
    def result_keys(self) -> tuple[str, ...]:
        """The keys of all results, each once, in the order of the scenario."""
        return tuple(dict.fromkeys(key for each in self.analytics for key in each.telemetry))

    def label(self, key: str) -> str:
        """What a person calls this key of an attribute, of telemetry or of a result."""
        return self.labels.get(key, key)

    def title(self, key: str) -> str:
        """The label with the unit, as axes and tables show it: "temperature (°C)"."""
        unit = self.units.get(key)
        return f"{self.label(key)} ({unit})" if unit else self.label(key)

    def device_word(self, count: int = 1) -> str:
        """What a person calls a device, in the plural unless `count` is 1."""
        word = self.labels.get("device", "device")
        return word if count == 1 else plural(word)

    def group_word(self, analytics: Analytics, count: int = 1) -> str:
        """What a person calls a group, in the plural unless `count` is 1: "zone", "site / room", "group" for the one
        group of all records."""
        labels = [
            self.labels.get(key, self.device_word()) if key == DEVICE_NAME else self.label(key)
            for key in analytics.group_by
        ]
        word = " / ".join(labels) or "group"
        return word if count == 1 else plural(word)

    def result_word(self, analytics: Analytics, count: int = 1) -> str:
        """What a person calls a result, in the plural unless `count` is 1: "mean", if all are means, or "result"."""
        word = "mean" if {each.function for each in analytics.telemetry.values()} == {"mean"} else "result"
        return word if count == 1 else plural(word)

    def result_unit(self, analytics: Analytics, key: str) -> str | None:
        """Its unit: its own, or that of the key that it is computed from if the function keeps it."""
        aggregate = analytics.telemetry.get(key)
        unit = self.units.get(aggregate.key) if aggregate is not None and aggregate.key is not None else None
        if key in self.units or unit is None or aggregate is None:
            return self.units.get(key)
        return f"{unit}/s" if aggregate.function == "rate" else unit if aggregate.keeps_unit else None

    def result_title(self, analytics: Analytics, key: str) -> str:
        """As `title`, for a result."""
        unit = self.result_unit(analytics, key)
        return f"{self.label(key)} ({unit})" if unit else self.label(key)

    def keys_of(self, analytics: Analytics, found: Iterable[str]) -> tuple[str, ...]:
        """The keys of its results. Only what it returns tells those of a function: they are the ones of `found`, on the
        entity of a group, that nothing else in the scenario writes there."""
        if analytics.function is None:
            return tuple(analytics.telemetry)
        place = analytics.entity_kind, analytics.entity_pattern
        others = {
            key for each in self.analytics if (each.entity_kind, each.entity_pattern) == place for key in each.telemetry
        }
        if analytics.entity_kind == "device":
            others |= set(self.forwarding.telemetry)
        return tuple(key for key in found if key not in others)

    def entity_type(self, kind: Literal["asset", "device"]) -> str:
        """Type of the entities of this kind."""
        return self.asset_type if kind == "asset" else self.platform.device_type

    def device(self, name: str) -> DeviceSpec | None:
        """The device of that exact name."""
        return next((device for device in self.devices if device.name == name), None)

    def find_analytics(self, name: str) -> Analytics:
        """The analytics of that name. Raises ScenarioError."""
        for each in self.analytics:
            if each.name == name:
                return each
        raise ScenarioError(
            f"The scenario has no analytics {name!r}.",
            hint=f"It has {listed([each.name for each in self.analytics])}.",
        )

    def group_of(self, device: DeviceSpec, analytics: Analytics) -> tuple[str, ...] | None:
        """The group that the device's records count in; None when it lacks an attribute."""
        values = {Attribute.parse(text).key: value for text, value in device.attributes.items()}
        values[DEVICE_NAME] = device.name
        group = tuple(values.get(key) for key in analytics.group_by)
        return None if None in group else group  # type: ignore[return-value]

    def groups(self, analytics: Analytics) -> dict[tuple[str, ...], list[DeviceSpec]]:
        """The devices of each group that the scenario's own devices make, in order of first mention."""
        found: dict[tuple[str, ...], list[DeviceSpec]] = {}
        for device in self.devices:
            group = self.group_of(device, analytics)
            if group is not None:
                found.setdefault(group, []).append(device)
        return found

    def entities(self, kind: Literal["asset", "device"] = "asset") -> tuple[str, ...]:
        """Names of the entities of this kind that get results, as far as the scenario's devices make them known."""
        return tuple(
            dict.fromkeys(
                each.entity_name(group)
                for each in self.analytics
                if each.entity_kind == kind
                for group in self.groups(each)
            )
        )

    # --- changed copies ------------------------------------------------------------------------------------------

    def with_fleet(self, count: int) -> Scenario:
        """The same scenario with the first `count` devices of its fleet instead of its own devices.

        It has no assets: the job creates those of the fleet's groups. Raises ScenarioError.
        """
        if not 1 <= count <= MAX_FLEET:
            raise ScenarioError(
                f"A fleet of {count} devices is not possible.", hint=f"It has from 1 to {MAX_FLEET} devices."
            )
        if self.fleet is None:
            raise ScenarioError("The scenario has no fleet.", hint="Add a table [fleet]; docs/scenario.md shows how.")
        devices = self.fleet.devices(count)
        with_devices = self.model_copy(update={"devices": devices, "assets": ()})
        # No name is longer than its pattern, which was checked. Of large fleets a part, because all would take seconds.
        part = with_devices.model_copy(update={"devices": devices[: max(self.fleet.groups, 1000)]})
        try:
            check_names(part)
        except ValueError as error:
            raise ScenarioError(f"fleet: {error}.", hint="Change the patterns in the table [fleet].") from None
        return with_devices

    def with_analytics(self, **changes: Any) -> Scenario:
        """The same scenario with other values, such as `window`, in all its analytics. Raises pydantic's error."""
        changed = tuple(
            Analytics.model_validate(each.model_dump() | {"function": each.function} | changes)
            for each in self.analytics
        )
        return self.model_copy(update={"analytics": changed})

    def only(self, names: Iterable[str]) -> Scenario:
        """The same scenario with only the analytics of these names. Raises ScenarioError."""
        analytics = tuple(self.find_analytics(name) for name in dict.fromkeys(names))
        kept = {each.name for each in analytics}
        alarms = tuple(each for each in self.alarms if each.analytics in kept)
        return self.model_copy(update={"analytics": analytics, "alarms": alarms})
