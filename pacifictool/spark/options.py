"""The options of the data source, typed: unknown ones and values that make no sense are refused in one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from pacifictool.errors import SettingsError, did_you_mean
from pacifictool.rest.telemetry import RANGE_PAGE
from pacifictool.spark.login import PlatformLogin, without_secrets
from pacifictool.tools.times import parse_duration

DEVICE: Final = "device"
ASSET: Final = "asset"
KINDS: Final = (DEVICE, ASSET)
LATEST_MS: Final = 253_402_300_800_000
"""The end of the year 9999, beyond which Python has no times."""

_OF_SPARK: Final = frozenset({"path", "checkpointlocation", "queryname", "mergeschema"})
"""What Spark itself puts among the options."""


def _listed(value: Any) -> Any:
    """ "a,b" or, where items hold commas, a JSON list."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return tuple(item.strip() for item in value.split(","))
    try:
        return tuple(json.loads(value))
    except ValueError:
        raise ValueError(f"{value!r} is neither a list with commas nor a JSON list of texts") from None


def _time(value: Any) -> Any:
    """ISO 8601 to ms since the epoch; without a time zone it is UTC."""
    if not isinstance(value, str):
        return value
    try:
        time = datetime.fromisoformat(value.strip())
    except ValueError:
        raise ValueError(
            f"{value!r} is not a time by ISO 8601; write for example 2026-11-01 or 2026-11-01T12:00:00+01:00"
        ) from None
    time = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    return round(time.timestamp() * 1000)


def _interval(value: Any) -> Any:
    return round(parse_duration(value) * 1000) if isinstance(value, str) else value


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _scopes(value: Any) -> Any:
    items = _listed(_upper(value))
    return tuple(item if item.endswith("_SCOPE") else f"{item}_SCOPE" for item in items)


Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_listed), Field(min_length=1)]
Kinds = Annotated[tuple[Literal["device", "asset"], ...], BeforeValidator(_listed), Field(min_length=1)]
Time = Annotated[int, BeforeValidator(_time), Field(ge=0, le=LATEST_MS)]


class SourceOptions(BaseModel):
    """What all tables have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Text | None = None
    """Address of the platform; by default the one that was registered."""
    username: Text | None = None
    concurrency: Annotated[int, Field(ge=1, le=64)] | None = None
    """Requests that each task has under way at the same time."""

    def login(self, registered: PlatformLogin) -> PlatformLogin:
        """Where to read or write."""
        return registered.at(self.url, self.username)


class EntityOptions(SourceOptions):
    """Tables with a row for each device or asset."""

    entity_type: Texts | None = None
    """Only entities of these types."""
    names: Texts | None = None
    """Only entities of these names."""


class ReadOptions(EntityOptions):
    """Tables that are read entity by entity."""

    entity_kind: Kinds = KINDS
    partitions: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Tasks to read with; by default two for each core, at most one for each entity and slice of time."""


class KeyOptions(ReadOptions):
    """Tables of keys and values."""

    keys: Texts | None = None
    """Only these keys; by default all that an entity has."""


class AttributeOptions(KeyOptions):
    """The table `attributes`."""

    scope: Annotated[tuple[Literal["CLIENT_SCOPE", "SERVER_SCOPE", "SHARED_SCOPE"], ...], BeforeValidator(_scopes)] = (
        "CLIENT_SCOPE",
        "SERVER_SCOPE",
        "SHARED_SCOPE",
    )


class AlarmOptions(ReadOptions):
    """The table `alarms`."""

    active: bool | None = None
    """Only alarms that are active, or only those that are cleared."""


class SeriesOptions(KeyOptions):
    """The table `timeseries`."""

    start: Time = 0
    """The first ms since the epoch that counts."""
    end: Time = LATEST_MS
    """The ms after the last one that counts."""
    page_size: Annotated[int, Field(ge=2, le=1_000_000)] = RANGE_PAGE
    """Points of a key to ask for at once."""
    layout: Literal["long", "wide"] | None = None
    aggregation: Annotated[Literal["AVG", "MIN", "MAX", "SUM", "COUNT"] | None, BeforeValidator(_upper)] = None
    interval: Annotated[int, BeforeValidator(_interval), Field(ge=1)] | None = None
    """ms of each aggregate."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.start > self.end:
            raise ValueError("end is before start")
        if (self.aggregation is None) != (self.interval is None):
            raise ValueError("aggregation and interval go together, for example aggregation=AVG, interval=1h")
        if self.aggregation is not None and (self.start == 0 or self.end == LATEST_MS):
            raise ValueError("aggregation needs start and end, since intervals are counted from start")
        if self.layout == "wide" and self.aggregation is not None:
            raise ValueError("aggregation goes with the long layout only")
        return self


class WriteOptions(SourceOptions):
    """What is written, and to what."""

    entity_kind: Literal["device", "asset"] = DEVICE
    """Where the frame has no column of that name."""
    create: bool = False
    """Whether to create entities that do not exist; otherwise they are an error."""
    entity_type: Text | None = None
    """Type of entities that are created, where the frame has no column `type`."""
    keys: Texts | None = None
    """Columns that are keys, in a frame with a column for each; by default all that do not name the entity."""


class WriteAttributeOptions(WriteOptions):
    """The table `attributes`, written."""

    scope: Annotated[Literal["SERVER_SCOPE", "SHARED_SCOPE"], BeforeValidator(lambda value: _scopes(value)[0])] = (
        "SERVER_SCOPE"
    )


Options = TypeVar("Options", bound=SourceOptions)


def parse_options(kind: type[Options], given: Mapping[str, str], what: str) -> Options:
    """The options of a table. Names count in any case, with or without underscores.

    Raises SettingsError; `what` names the table in it.
    """
    without_secrets(given)
    known = {name.replace("_", ""): name for name in kind.model_fields}
    values = {}
    for name, value in given.items():
        folded = name.lower().replace("_", "")
        if folded in _OF_SPARK:
            continue
        if folded not in known:
            hint = did_you_mean(name, kind.model_fields) or f"It has {', '.join(sorted(kind.model_fields))}."
            raise SettingsError(f"{name!r} is not an option of {what}.", hint=hint)
        values[known[folded]] = value
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise SettingsError(
            f"{what}: {'; '.join(_described(each) for each in error.errors(include_url=False))}.",
            hint="docs/spark.md lists every option.",
        ) from None


def _described(error: Any) -> str:
    name = next((str(part) for part in error["loc"] if isinstance(part, str)), "")
    message = error["msg"].removeprefix("Value error, ").replace("Input should be", "must be", 1)
    if error["type"] in ("literal_error", "enum") and isinstance(error["input"], str):
        choices = [choice.strip("' ") for choice in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
        suggestion = did_you_mean(error["input"], choices)
        message = f"{error['input']!r} is not possible: {message}"
        message += f" ({suggestion[0].lower()}{suggestion[1:]})" if suggestion else ""
    return f"{name}: {message}" if name else message
