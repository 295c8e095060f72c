"""The scenario: what to build on the platform, what to simulate, and what to aggregate.

A scenario is a TOML file; the tutorial's is the default and a package resource
(`pacifictool/resources/tutorial.toml`). Everything is validated here, once: the packages that work on a `Scenario`
can rely on unique names, sane ranges and positive rates.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from pacifictool.errors import ScenarioError, file_fault
from pacifictool.models.config import MODELS, Wind, WindRange
from pacifictool.tools.times import format_duration, parse_duration

_ZONES_MEMBERS = ("count", "names")
_NUMBER = re.compile(r"\{number(?::0?[1-9]d)?\}")

MAX_FLEET = 1_000_000
"""Turbines of `--fleet`."""

MAX_NAME_LENGTH = 255
"""Names of devices and assets: the platform's column is varchar(255)."""


def check_name(name: str) -> str:
    """`name`, when a device, asset, zone or type can be called that. Raises ValueError with a sentence for the user."""
    if not name.strip():
        raise ValueError("a name must not be empty")
    if len(name) > MAX_NAME_LENGTH:
        raise ValueError(f"a name has at most {MAX_NAME_LENGTH} characters, this one has {len(name)}")
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in name):
        raise ValueError("a name must not hold control characters")
    if any(0xD800 <= ord(char) <= 0xDFFF for char in name):
        raise ValueError("a name must be valid Unicode; this one holds bytes that are not")
    return name


Name = Annotated[str, AfterValidator(check_name)]
# The rule's Velocity template and JavaScript filters name keys without quotes.
Key = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
Seconds = Annotated[float, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ScenarioPlatform(_Table):
    """`[platform]`: the type of the entities on the server."""

    entity_type: Name = "WeatherStation"
    """Type of the devices and assets, and the value of the client attribute `deviceType` that the rule requires."""


class Topic(_Table):
    """`[kafka]`: the topic that the rule forwards to."""

    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")] = "weather-stations-data"
    """Topic that the rule forwards to."""

    partitions: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Partitions of the topic. More are accepted; fewer are an error unless `setup --add-partitions` adds them."""

    replication: Annotated[int, Field(ge=1, le=100)] = 1
    """Replication factor of a topic that `setup` creates."""


class Bounds(_Table):
    """A closed range; both ends belong to it."""

    min: float
    max: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min ({self.min:g}) is greater than max ({self.max:g})")
        return self


class Aggregation(_Table):
    """`[aggregation]`: what the job computes."""

    window: Annotated[Seconds, Field(ge=0.1, le=86_400)] = 10.0
    """Length of a window, aligned to the epoch: `"500ms"`, `"10s"`, `"5m"`, `"1h"` or a number of seconds."""

    lateness: Annotated[Seconds, Field(ge=0, le=86_400)] = 10.0
    """Allowed lateness: how far behind the newest record a late record still counts in its window."""

    max_skew: Annotated[Seconds, Field(ge=0, le=86_400)] = 60.0
    """How far a timestamp that a producer set may be ahead of the record's arrival; beyond that it is invalid."""

    zone_key: Key = "geoZone"
    """Key of the record, and of the client attribute, that names the zone."""

    value_key: Key = "windSpeed"
    """Key of the record, and of the telemetry, that holds the value."""

    valid: Bounds = Bounds(min=0, max=1e9)
    """Records with values outside are invalid: no anemometer measures a negative or astronomic speed."""

    @model_validator(mode="after")
    def _whole_milliseconds(self) -> Self:
        if abs(self.window * 1000 - round(self.window * 1000)) > 1e-6:
            raise ValueError("window must be a whole number of milliseconds")
        if max(abs(self.valid.min), abs(self.valid.max)) > 1e9:
            raise ValueError("valid must lie within -1e9 and 1e9: sums are kept exact to 1e-9 in that range")
        return self

    @property
    def window_ms(self) -> int:
        return round(self.window * 1000)

    @property
    def lateness_ms(self) -> int:
        return round(self.lateness * 1000)

    @property
    def max_skew_ms(self) -> int:
        return round(self.max_skew * 1000)


class Turbine(_Table):
    """`[[turbines]]`: one simulated weather station."""

    name: Name
    """Name of the device; unique, at most 255 characters."""

    zone: Name
    """The geo zone of the turbine."""

    wind_speed: Wind
    """`{ min = 30, max = 35 }`: integers, both ends included, all equally likely. Other models: see [Wind](#wind)."""

    rate: Annotated[float, Field(gt=0, le=100_000)] = 10.0
    """Readings per second."""


class FleetSpec(_Table):
    """`[fleet]`: the turbines of `--fleet N`, which replace the scenario's own."""

    name: Name = "Turbine {number:05d}"
    """Pattern of the names that `--fleet N` gives its turbines; `{number}` counts from 1."""

    zones: Annotated[
        Annotated[int, Field(ge=1, le=1_000_000), Tag("count")]
        | Annotated[tuple[Name, ...], Field(min_length=1), Tag("names")],
        Discriminator(lambda zones: _ZONES_MEMBERS[isinstance(zones, list | tuple)]),
    ] = 10
    """Number of zones, or a list of their names. Turbines are assigned to them in turn."""

    zone: Name = "Zone {number}"
    """Pattern of the zones' names, when `zones` is a number."""

    wind_speed: Annotated[
        tuple[Wind, ...], Field(min_length=1), BeforeValidator(lambda w: w if isinstance(w, list | tuple) else (w,))
    ] = (WindRange(min=30, max=60),)
    """The wind of all turbines; a list is assigned to the zones in turn."""

    rate: Annotated[float, Field(gt=0, le=100_000)] = 1.0
    """Readings per second of each turbine."""

    @field_validator("name", "zone")
    @classmethod
    def _pattern(cls, pattern: str) -> str:
        if len(_NUMBER.findall(pattern)) != 1 or set("{}") & set(_NUMBER.sub("", pattern)):
            raise ValueError(f"{pattern!r} must hold {{number}} or, with leading zeros, {{number:05d}} exactly once")
        return pattern

    def turbines(self, count: int) -> tuple[Turbine, ...]:
        """Turbines 1 to `count`. A smaller fleet is always the first part of a larger one."""
        zones = self.zones
        if isinstance(zones, int):
            zones = tuple(self.zone.format(number=number) for number in range(1, zones + 1))
        winds = self.wind_speed
        return tuple(
            # Built from validated parts; validating each of 100,000 turbines again would take seconds.
            Turbine.model_construct(
                name=self.name.format(number=index + 1),
                zone=zones[index % len(zones)],
                wind_speed=winds[index % len(zones) % len(winds)],
                rate=self.rate,
            )
            for index in range(count)
        )


class ScenarioAsset(_Table):
    """`[[assets]]`: an asset that exists before the job; the job creates the others."""

    name: Name
    """An asset that `setup` creates; the job creates the assets of the other zones."""


def _duplicates(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


class Scenario(_Table):
    """A whole scenario. Create it with `load_scenario`, `tutorial_scenario` or from Python with keyword arguments."""

    platform: ScenarioPlatform = ScenarioPlatform()
    kafka: Topic = Topic()
    aggregation: Aggregation = Aggregation()
    winds: dict[Key, Wind] = {}
    """Named models, for groups of turbines: `wind_speed = "coast"` uses the table `[winds.coast]`."""
    turbines: tuple[Turbine, ...] = ()
    fleet: FleetSpec = FleetSpec()
    assets: tuple[ScenarioAsset, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _resolve_winds(cls, document: Any) -> Any:
        """Replaces the names of models by the models."""
        if not isinstance(document, dict) or not isinstance(winds := document.get("winds", {}), dict):
            return document

        def resolved(table: Any) -> Any:
            if not isinstance(table, dict) or "wind_speed" not in table:
                return table
            wind = table["wind_speed"]
            return {**table, "wind_speed": [one(item) for item in wind] if isinstance(wind, list) else one(wind)}

        def one(wind: Any) -> Any:
            if not isinstance(wind, str):
                return wind
            if wind not in winds:
                raise ValueError(f"there is no wind {wind!r}: a table [winds.{wind}] would describe it")
            return winds[wind]

        changed = dict(document)
        if isinstance(turbines := document.get("turbines"), list):
            changed["turbines"] = [resolved(turbine) for turbine in turbines]
        if "fleet" in document:
            changed["fleet"] = resolved(document["fleet"])
        return changed

    @model_validator(mode="after")
    def _unique_names(self) -> Self:
        for table, names in (
            ("turbines", [turbine.name for turbine in self.turbines]),
            ("assets", [asset.name for asset in self.assets]),
        ):
            if duplicates := _duplicates(names):
                raise ValueError(f"two {table} have the name {duplicates[0]!r}; names must be unique")
        return self

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones of all turbines, in order of first mention."""
        return tuple(dict.fromkeys(turbine.zone for turbine in self.turbines))

    def turbine(self, name: str) -> Turbine | None:
        """The turbine of that exact name."""
        return next((turbine for turbine in self.turbines if turbine.name == name), None)

    def with_fleet(self, count: int) -> Scenario:
        """The same scenario with the first `count` turbines of its fleet instead of its own turbines.

        It has no assets: the job creates those of the fleet's zones. Raises ScenarioError.
        """
        if not 1 <= count <= MAX_FLEET:
            raise ScenarioError(
                f"A fleet of {count} turbines is not possible.", hint=f"It has from 1 to {MAX_FLEET} turbines."
            )
        turbines = self.fleet.turbines(count)
        for name in (turbines[-1].name, max((turbine.zone for turbine in turbines), key=len)):
            try:
                check_name(name)
            except ValueError as error:
                raise ScenarioError(f"fleet: {error}.", hint="Shorten the pattern in the table [fleet].") from None
        return self.model_copy(update={"turbines": turbines, "assets": ()})

    def with_window(self, window_seconds: float) -> Scenario:
        """The same scenario with another window length."""
        aggregation = Aggregation.model_validate(self.aggregation.model_dump() | {"window": window_seconds})
        return self.model_copy(update={"aggregation": aggregation})


def tutorial_scenario() -> Scenario:
    """The tutorial: turbines 1 and 2 in Zone A, turbine 3 in Zone B, asset Zone A; the job creates Zone B."""
    text = (resources.files("pacifictool") / "resources" / "tutorial.toml").read_text(encoding="utf-8")
    return parse_scenario(text, source="the tutorial scenario")


def load_scenario(path: Path, *, within: Path | None = None) -> Scenario:
    """Reads and validates a scenario file. With `within`, the files that it names must be in that folder.

    Raises ScenarioError with the file, the line or key and what to do.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ScenarioError(
            f"There is no scenario file {path}.", hint="Check the path given with --scenario or PACIFICTOOL_SCENARIO."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(
            f"The scenario file {path} cannot be read: {file_fault(error)}.", hint="It must be a readable UTF-8 text."
        ) from error
    return parse_scenario(text, source=str(path), folder=path.parent, within=within)


def parse_scenario(text: str, *, source: str, folder: Path | None = None, within: Path | None = None) -> Scenario:
    """Validates a scenario given as TOML text; `source` names it in error messages, and the files that it names are
    looked for in `folder` (None: the working directory). `within` as in `load_scenario`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{source} is not valid TOML: {error}.", hint="Fix that line and try again.") from None
    try:
        return Scenario.model_validate(document, context={"folder": folder, "within": within})
    except ValidationError as error:
        raise ScenarioError(
            f"{source}: {describe_validation_error(error)}.",
            hint="docs/scenario.md lists every table and key with its meaning.",
        ) from None


def describe_validation_error(error: ValidationError) -> str:
    """All errors of a pydantic validation as one sentence: "turbines[2].rate: must be greater than 0; …"."""
    return "; ".join(_describe_error(each) for each in error.errors(include_url=False))


def _is_union_member(before: tuple[int | str, ...], part: int | str) -> bool:
    if part in MODELS:
        return before[-1:] == ("wind_speed",) or before[-2:-1] in (("wind_speed",), ("winds",))
    return part in _ZONES_MEMBERS and before[-1:] == ("zones",)


def _describe_error(error: Any) -> str:
    place = ""
    loc = error["loc"]
    # For a union pydantic also names the member, which is not a key of the file.
    parts = [part for index, part in enumerate(loc) if not _is_union_member(loc[:index], part)]
    for part in parts:
        place += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if place else str(part)
    if error["type"] == "extra_forbidden":
        return f"unknown key {place!r}"
    if error["type"] == "missing":
        return f"key {place!r} is missing"
    message = error["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return f"{place}: {message}" if place else message
