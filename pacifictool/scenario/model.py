"""A scenario as validated configuration: what exists on the platform, what is forwarded, computed and simulated.

Everything is validated here, once: the packages that work on a `Scenario` can rely on unique names, sane ranges,
positive rates, and on keys that are forwarded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    field_validator,
    model_validator,
)

from pacifictool.errors import ScenarioError
from pacifictool.models.config import MAX_VALUE, Model
from pacifictool.scenario.aggregates import Aggregate
from pacifictool.scenario.checks import check_keys, check_names, check_results
from pacifictool.scenario.devices import Device, FleetSpec, resolve_models
from pacifictool.scenario.names import (
    DEVICE_NAME,
    MAX_NAME_LENGTH,
    RESERVED,
    Attribute,
    Key,
    Name,
    Seconds,
    check_analytics_name,
    check_topic,
    plural,
)

MAX_FLEET = 1_000_000
"""Devices of `--fleet`."""

MAX_WINDOWS = 1_000
"""How many sliding windows a record may count in."""

Switch = Annotated[bool, Field(strict=True)]
_FIELD = re.compile(r"\{([^{}]*)\}")


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PlatformTypes(Table):
    """`[platform]`: the types of the entities on the server."""

    device_type: Name = "Sensor"
    """Type of the devices, and the value of the client attribute `deviceType` that the rule of 1.x servers requires."""

    asset_type: Name | None = None
    """Type of the assets; that of the devices by default."""

    dashboard: Name | None = None
    """Title of the dashboard that `setup --dashboard` creates. By default it names the topic."""


class Bounds(Table):
    """A closed range; both ends belong to it."""

    min: float = -MAX_VALUE
    max: float = MAX_VALUE

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min ({self.min:g}) is greater than max ({self.max:g})")
        if max(abs(self.min), abs(self.max)) > MAX_VALUE:
            raise ValueError("min and max must lie within -1e9 and 1e9: sums are kept exact to 1e-9 in that range")
        return self


class Forwarding(Table):
    """`[forwarding]`: what the platform copies from a message into a record of the Kafka topic."""

    topic: Annotated[str, AfterValidator(check_topic)]
    """Topic that the platform forwards to."""

    partitions: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Partitions of the topic. More are accepted; fewer are an error unless `setup --add-partitions` adds them."""

    replication: Annotated[int, Field(ge=1, le=100)] = 1
    """Replication factor of a topic that `setup` creates."""

    attributes: tuple[
        Annotated[Attribute, BeforeValidator(Attribute.parse), PlainSerializer(str, return_type=str)], ...
    ] = ()
    """Attributes of the device that go into each record, as texts: client attributes such as `"site"`, or those of
    another scope, `"server:tier"` and `"shared:tier"`."""

    telemetry: Annotated[tuple[Key, ...], Field(min_length=1)]
    """Keys of telemetry that go into each record; a message may carry only some of them."""

    device: Switch = False
    """Whether records hold the device's name and the reading's own time, `deviceName` and `ts`."""

    event_time: Literal["kafka", "reading"] = "kafka"
    """`"kafka"`: windows go by the timestamp of the record, the time of its arrival; `"reading"`: by the reading's own
    time, which needs `device = true`."""

    max_skew: Annotated[Seconds, Field(ge=0, le=86_400)] = 60.0
    """How far a record's time may be ahead of its arrival; beyond that it is invalid."""

    valid: dict[Key, Bounds] = {}
    """By key of telemetry: `{ min = -60, max = 80 }`. Values outside are invalid."""

    numbers_in_text: Switch = True
    """Whether a text that holds a number, such as `"31"`, counts as that number."""

    plugin: Name | None = None
    """Name of the plugin, on servers of 1.x. By default it names the topic."""

    plugin_token: Name | None = None
    """API token of that plugin, which no other plugin on the server may have. By default it names the topic."""

    rule: Name | None = None
    """Name of the rule, on servers of 1.x. By default it names the topic."""

    rule_chain: Name | None = None
    """Name of the rule chain of later servers. By default it names the topic."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        keys = [*(attribute.key for attribute in self.attributes), *self.telemetry]
        if duplicates := duplicated(keys):
            raise ValueError(f"two members of a record would have the key {duplicates[0]!r}")
        if reserved := RESERVED & set(keys):
            raise ValueError(f"the key {min(reserved)!r} is what device = true adds to a record; name another")
        if self.event_time == "reading" and not self.device:
            raise ValueError('event_time = "reading" needs device = true, which forwards the time of the reading')
        if unknown := sorted(self.valid.keys() - set(self.telemetry)):
            raise ValueError(f"valid: {unknown[0]!r} is not in telemetry")
        return self

    @property
    def attribute_keys(self) -> tuple[str, ...]:
        """The keys of attributes in a record."""
        return tuple(attribute.key for attribute in self.attributes)

    @property
    def plugin_name(self) -> str:
        """Name of the plugin, on servers of 1.x."""
        return self.plugin or self._naming("Kafka Plugin for")

    @property
    def plugin_api_token(self) -> str:
        """API token of that plugin, by which its rule names it."""
        return self.plugin_token or self._naming("kafka", "-")

    @property
    def rule_name(self) -> str:
        """Name of the rule, on servers of 1.x."""
        return self.rule or self._naming("Forward to")

    @property
    def rule_chain_name(self) -> str:
        """Name of the rule chain of later servers."""
        return self.rule_chain or self._naming("Forward to")

    def _naming(self, prefix: str, separator: str = " ") -> str:
        return f"{prefix}{separator}{self.topic}"[:MAX_NAME_LENGTH]

    @property
    def max_skew_ms(self) -> int:
        return round(self.max_skew * 1000)

    def bounds(self, key: str) -> Bounds:
        """The valid range of a key of telemetry."""
        return self.valid.get(key, Bounds())


class Analytics(Table):
    """`[[analytics]]`: what is computed for each group and window, and where the results go."""

    name: Annotated[str, AfterValidator(check_analytics_name)]
    """Name, for `--only` and for the state store; unique."""

    group_by: tuple[Key, ...] = ()
    """Attributes of the forwarding, or `deviceName`. None: all records are one group."""

    window: Annotated[Seconds, Field(ge=0.1, le=31_622_400)]
    """Length of a window, aligned to the epoch: `"500ms"`, `"10s"`, `"5m"`, `"1h"` or a number of seconds."""

    slide: Annotated[Seconds, Field(ge=0.1, le=31_622_400)] | None = None
    """How far a window begins after the one before, a whole part of `window`. The window by default: windows do not
    overlap."""

    lateness: Annotated[Seconds, Field(ge=0, le=31_622_400)] = 10.0
    """Allowed lateness: how far behind the newest record a late record still counts in its window."""

    telemetry: Annotated[
        dict[Key, Annotated[Aggregate, BeforeValidator(Aggregate.parse), PlainSerializer(str, return_type=str)]],
        Field(min_length=1),
    ]
    """Results by key, each a function of a key: `{ temperature_max = "max(temperature)", readings = "count()" }`."""

    entity: Name | None = None
    """Name of the entity that gets the results of a group: `"{site}"`, `"{deviceName}_10m"`. By default the attributes
    of the group, joined by `" / "`."""

    entity_kind: Literal["asset", "device"] = "asset"
    """Kind of that entity. One that does not exist is created."""

    ts: Literal["end", "start"] = "end"
    """Which end of the window is the time of its results."""

    @field_validator("group_by")
    @classmethod
    def _each_once(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        if duplicates := duplicated(keys):
            raise ValueError(f"{duplicates[0]!r} is there twice")
        return keys

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, seconds in (("window", self.window), ("slide", self.slide or self.window)):
            if abs(seconds * 1000 - round(seconds * 1000)) > 1e-6:
                raise ValueError(f"{name} must be a whole number of milliseconds")
        if self.window_ms % self.slide_ms:
            raise ValueError("slide must be a whole part of window, such as a fifth")
        if self.window_ms // self.slide_ms > MAX_WINDOWS:
            raise ValueError(f"a record may count in at most {MAX_WINDOWS} windows; choose a longer slide")
        if self.entity is None:
            if not self.group_by:
                raise ValueError('without group_by, entity must name where results go, such as entity = "All sites"')
            return self
        fields = _FIELD.findall(self.entity)
        if set("{}") & set(_FIELD.sub("", self.entity)):
            raise ValueError("entity has a brace that is not part of a {key}")
        if "}{" in self.entity:
            raise ValueError(
                "entity has two keys with nothing between them, so that groups such as '1', '23' and '12', '3' would "
                "be one entity; put a separator between them"
            )
        if unknown := [field for field in fields if field not in self.group_by]:
            raise ValueError(f"entity: {{{unknown[0]}}} is not in group_by")
        if missing := [key for key in self.group_by if key not in fields]:
            raise ValueError(f"entity must hold {{{missing[0]}}}: else several groups would write to one entity")
        return self

    @property
    def window_ms(self) -> int:
        return round(self.window * 1000)

    @property
    def slide_ms(self) -> int:
        return round((self.slide or self.window) * 1000)

    @property
    def lateness_ms(self) -> int:
        return round(self.lateness * 1000)

    @property
    def entity_pattern(self) -> str:
        """The name of a group's entity, with `{key}` for each key of `group_by`."""
        return self.entity or " / ".join(f"{{{key}}}" for key in self.group_by)

    def entity_name(self, group: Iterable[str]) -> str:
        """The entity of the group with these values, which are in the order of `group_by`."""
        values = dict(zip(self.group_by, group, strict=True))
        return _FIELD.sub(lambda field: values[field[1]], self.entity_pattern)

    def group_of_entity(self, name: str) -> tuple[str, ...] | None:
        """The group whose entity has this name; None when the pattern does not give it.

        The inverse of `entity_name`, as far as there is one: where values contain what separates them, the shortest
        match.
        """
        match = _entity_expression(self.entity_pattern).fullmatch(name)
        return None if match is None else tuple(match[_field_name(key)] for key in self.group_by)

    @property
    def literal_letters(self) -> int:
        """How many letters of an entity's name are the same for all groups: of two patterns that match a name, the one
        with more of them is more likely its own."""
        return len(_FIELD.sub("", self.entity_pattern))


class AssetSpec(Table):
    """`[[assets]]`: an asset that exists before the job; the job creates the others."""

    name: Name
    """An asset that `setup` creates; the job creates the assets of other groups."""


class Scenario(Table):
    """A whole scenario. Create it with `load_scenario`, `tutorial_scenario` or from Python with keyword arguments."""

    platform: PlatformTypes = PlatformTypes()
    forwarding: Forwarding
    analytics: tuple[Analytics, ...] = ()
    labels: dict[str, Name] = {}
    """What to call things: keys by their names, and `device`, in the singular: `device = "turbine"`."""
    units: dict[Key, str] = {}
    """Units of telemetry and results by key: `temperature = "°C"`."""
    models: dict[Key, Model] = {}
    """Named models: `telemetry = { windSpeed = "coast" }` uses the table `[models.coast]`."""
    devices: tuple[Device, ...] = ()
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
        aggregate = analytics.telemetry[key]
        unit = self.units.get(aggregate.key) if aggregate.key is not None else None
        if key in self.units or unit is None:
            return self.units.get(key)
        return f"{unit}/s" if aggregate.function == "rate" else unit if aggregate.keeps_unit else None

    def result_title(self, analytics: Analytics, key: str) -> str:
        """As `title`, for a result."""
        unit = self.result_unit(analytics, key)
        return f"{self.label(key)} ({unit})" if unit else self.label(key)

    def entity_type(self, kind: Literal["asset", "device"]) -> str:
        """Type of the entities of this kind."""
        return self.asset_type if kind == "asset" else self.platform.device_type

    def device(self, name: str) -> Device | None:
        """The device of that exact name."""
        return next((device for device in self.devices if device.name == name), None)

    def find_analytics(self, name: str) -> Analytics:
        """The analytics of that name. Raises ScenarioError."""
        for each in self.analytics:
            if each.name == name:
                return each
        raise ScenarioError(
            f"The scenario has no analytics {name!r}.",
            hint=f"It has {_listed([each.name for each in self.analytics])}.",
        )

    def group_of(self, device: Device, analytics: Analytics) -> tuple[str, ...] | None:
        """The group that the device's records count in; None when it lacks an attribute."""
        values = {Attribute.parse(text).key: value for text, value in device.attributes.items()}
        values[DEVICE_NAME] = device.name
        group = tuple(values.get(key) for key in analytics.group_by)
        return None if None in group else group  # type: ignore[return-value]

    def groups(self, analytics: Analytics) -> dict[tuple[str, ...], list[Device]]:
        """The devices of each group that the scenario's own devices make, in order of first mention."""
        found: dict[tuple[str, ...], list[Device]] = {}
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
        changed = tuple(Analytics.model_validate(each.model_dump() | changes) for each in self.analytics)
        return self.model_copy(update={"analytics": changed})

    def only(self, names: Iterable[str]) -> Scenario:
        """The same scenario with only the analytics of these names. Raises ScenarioError."""
        return self.model_copy(update={"analytics": tuple(self.find_analytics(name) for name in dict.fromkeys(names))})


@lru_cache(maxsize=256)
def _entity_expression(pattern: str) -> re.Pattern[str]:
    """What matches the names that an entity's pattern gives, with a group for each key."""
    seen: set[str] = set()
    expression = ""
    for index, part in enumerate(_FIELD.split(pattern)):
        if index % 2 == 0:
            expression += re.escape(part)
        else:
            expression += f"(?P={_field_name(part)})" if part in seen else f"(?P<{_field_name(part)}>.+?)"
            seen.add(part)
    return re.compile(expression, re.DOTALL)


def _field_name(key: str) -> str:
    """A name that a regular expression can have, for any key."""
    return f"k{key.encode().hex()}"


def duplicated(names: Iterable[str]) -> list[str]:
    """Names that are there more than once, sorted."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"
