"""`[[analytics]]`: what is computed for each group and window, and where the results go."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, field_validator, model_validator

from pacifictool.scenario.aggregates import Aggregate
from pacifictool.scenario.function import FunctionConfig
from pacifictool.scenario.names import (
    Key,
    Name,
    Seconds,
    check_analytics_name,
)
from pacifictool.scenario.tables import Table, duplicated

MAX_WINDOWS = 1_000
"""How many sliding windows a record may count in."""

_FIELD = re.compile(r"\{([^{}]*)\}")


AggregateText = Annotated[Aggregate, BeforeValidator(Aggregate.parse), PlainSerializer(str, return_type=str)]


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

    telemetry: dict[
        Key, Annotated[Aggregate, BeforeValidator(Aggregate.parse), PlainSerializer(str, return_type=str)]
    ] = Field(default={})
    """Results by key, each a function of a key: `{ temperature_max = "max(temperature)", readings = "count()" }`."""

    function: FunctionConfig | None = None
    """A Python function of your own instead of `telemetry`: `"anomaly:score"` is `score` of the file `anomaly.py` next
    to the scenario, `"lib/anomaly.py:score"` one in a folder. docs/your-analytics.md shows how to write one."""

    history: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Of how many windows before its own a function gets the results of its group."""

    timeout: Annotated[Seconds, Field(ge=0.1, le=3600)] = 10.0
    """How long one call of the function may take."""

    memory: Annotated[int, Field(ge=64, le=65_536)] = 1024
    """Mebibytes that the function may use, on top of what Python and pandas take."""

    files: tuple[str, ...] = ()
    """Further files that the function needs, such as models and modules of its own, relative to its own file."""

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
        if self.function is None and not self.telemetry:
            raise ValueError('telemetry or function must say what is computed: telemetry = { readings = "count()" }')
        if self.function is not None and self.telemetry:
            raise ValueError("telemetry and function exclude each other; use two analytics")
        for name in ("history", "timeout", "memory", "files"):
            if self.function is None and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is only for a function")
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
        return _entity_format(self.entity, self.group_by).format(*group)

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


@lru_cache(maxsize=256)
def _entity_format(entity: str | None, group_by: tuple[str, ...]) -> str:
    """A format string that gives the entity's name from the values of a group."""
    if entity is None:
        return " / ".join(["{}"] * len(group_by))
    return _FIELD.sub(lambda field: f"{{{group_by.index(field[1])}}}", entity)


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
