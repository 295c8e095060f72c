"""`[[devices]]` and `[fleet]`: what is simulated, with a model for each key of telemetry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from pacifictool.models.config import Model, Number, read_replays
from pacifictool.scenario.names import Attribute, Key, Name, Seconds, suggestion
from pacifictool.scenario.payload import PayloadTemplate
from pacifictool.scenario.tables import Table

_FORMAT: Final = r"(?::0?[1-9]d)?\}"
_NUMBER = re.compile(r"\{number" + _FORMAT)
_PLACEHOLDER = re.compile(r"\{(?:number|group)" + _FORMAT)

Rate = Annotated[float, Field(gt=0, le=100_000)]


def _attribute_text(text: Any) -> Any:
    return str(Attribute.parse(text))


def _each_once(attributes: Any) -> Any:
    if isinstance(attributes, dict):
        texts = [_attribute_text(text) for text in attributes]
        if twice := next((text for text in texts if texts.count(text) > 1), None):
            raise ValueError(f"{twice!r} is there twice, once as {'client:' + twice!r}")
    return attributes


AttributeText = Annotated[str, BeforeValidator(_attribute_text)]


def _as_list(models: Any) -> Any:
    return models if isinstance(models, list | tuple) else (models,)


class _Episode(Table):
    """A span of a device's time, which begins with its first reading."""

    after: Annotated[Seconds, Field(ge=0)]
    """When it begins, counted from the device's first reading."""

    lasts: Annotated[Seconds, Field(gt=0)]
    """How long it lasts; its end is no longer part of it."""

    every: Annotated[Seconds, Field(gt=0)] | None = None
    """From one beginning to the next; none: it happens once."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.every is not None and self.every < self.lasts:
            raise ValueError("every must not be shorter than lasts")
        return self

    def occurrence(self, elapsed_seconds: float) -> int | None:
        """Which occurrence a reading belongs to, from 0; None: to none."""
        since = elapsed_seconds - self.after + 1e-9  # makes up for the rounding of number / rate
        if since < 0:
            return None
        occurrence, into = (0, since) if self.every is None else divmod(since, self.every)
        return int(occurrence) if into < self.lasts else None


class Dropout(_Episode):
    """A span in which a device sends nothing, or nothing of one key."""

    key: Key | None = None
    """The key that is missing; none: the device sends nothing."""


class Anomaly(_Episode):
    """A span in which the values of a key are changed: one of `add`, `factor` and `set`."""

    key: Key
    """The key whose values are changed."""

    add: Number | None = None
    """What is added to each value."""

    factor: Number | None = None
    """What each value is multiplied by."""

    set: Number | None = None
    """What each value is replaced with."""

    @model_validator(mode="after")
    def _one_change(self) -> Self:
        if sum(change is not None for change in (self.add, self.factor, self.set)) != 1:
            raise ValueError("an anomaly has exactly one of add, factor and set")
        return self

    def changed(self, value: float) -> float:
        """The value that is sent instead of this one."""
        if self.add is not None:
            return value + self.add
        return value * self.factor if self.factor is not None else self.set or 0.0

    @property
    def change(self) -> str:
        """For a person: "+12", "× 0.5", "= 99"."""
        if self.add is not None:
            return f"{self.add:+g}"
        return f"× {self.factor:g}" if self.factor is not None else f"= {self.set:g}"


class DeviceSpec(Table):
    """`[[devices]]`: one simulated device."""

    name: Name
    """Name of the device; unique, at most 255 characters."""

    attributes: Annotated[dict[AttributeText, Name], BeforeValidator(_each_once)] = Field(default={})
    """Its attributes, of those that are forwarded: `{ site = "North", "server:tier" = "gold" }`."""

    telemetry: Annotated[dict[Key, Model], Field(min_length=1)]
    """A model for each key: `{ temperature = { min = 2, max = 8 } }`. See [Models](#models)."""

    rate: Rate = 10.0
    """Readings per second."""

    payload: str | None = None
    """Template of the messages, such as `{"ts": {ts}, "values": {"temp": {temperature}}}`; by default values are texts,
    as the tutorial's are. docs/fleets.md says what it may hold."""

    anomalies: tuple[Anomaly, ...] = ()
    """Spans in which the values of a key are changed:
    `{ key = "temperature", after = "60s", lasts = "30s", add = 12 }`, or with `factor` or `set`; `every` repeats
    them."""

    dropouts: tuple[Dropout, ...] = ()
    """Spans in which nothing is sent: `{ after = "60s", lasts = "30s" }`; with `key`, only that key is missing."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        read_replays(self.telemetry)
        _check_simulation(self.telemetry, self.payload, (*self.anomalies, *self.dropouts))
        return self


class FleetSpec(Table):
    """`[fleet]`: the devices of `--fleet N`, which replace the scenario's own."""

    name: Name = "Device {number:05d}"
    """Pattern of the names that `--fleet N` gives its devices; `{number}` counts from 1."""

    groups: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    """Number of groups. Devices are assigned to them in turn."""

    attributes: Annotated[
        dict[AttributeText, Name | Annotated[tuple[Name, ...], Field(min_length=1)]], BeforeValidator(_each_once)
    ] = Field(default={})
    """Attributes of each device: a pattern such as `"Zone {group}"`, where `{group}` counts from 1 and `{number}` is
    the device's own; or a list of values, assigned to the groups in turn."""

    telemetry: Annotated[
        dict[
            Key,
            Annotated[tuple[Model, ...], Field(min_length=1), BeforeValidator(_as_list)],
        ],
        Field(min_length=1),
    ]
    """A model for each key; a list of models is assigned to the groups in turn."""

    rate: Rate = 1.0
    """Readings per second of each device."""

    payload: str | None = None
    """Template of the messages, such as `{"ts": {ts}, "values": {"temp": {temperature}}}`; by default values are texts,
    as the tutorial's are. docs/fleets.md says what it may hold."""

    anomalies: tuple[Anomaly, ...] = ()
    """Spans in which the values of a key are changed:
    `{ key = "temperature", after = "60s", lasts = "30s", add = 12 }`, or with `factor` or `set`; `every` repeats
    them."""

    dropouts: tuple[Dropout, ...] = ()
    """Spans in which nothing is sent: `{ after = "60s", lasts = "30s" }`; with `key`, only that key is missing."""

    @field_validator("name")
    @classmethod
    def _name(cls, pattern: str) -> str:
        if len(_NUMBER.findall(pattern)) != 1 or set("{}") & set(_NUMBER.sub("", pattern)):
            raise ValueError(f"{pattern!r} must hold {{number}} or, with leading zeros, {{number:05d}} exactly once")
        return pattern

    @field_validator("attributes")
    @classmethod
    def _patterns(cls, attributes: dict[str, Any]) -> dict[str, Any]:
        for pattern in attributes.values():
            if isinstance(pattern, str) and set("{}") & set(_PLACEHOLDER.sub("", pattern)):
                raise ValueError(f"{pattern!r} may hold {{group}} and {{number}}, and no other braces")
        return attributes

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for group in range(max(map(len, self.telemetry.values()))):
            read_replays(self._models(group))
        _check_simulation(self.telemetry, self.payload, (*self.anomalies, *self.dropouts))
        return self

    def _models(self, group: int) -> dict[str, Model]:
        return {key: models[group % len(models)] for key, models in self.telemetry.items()}

    def devices(self, count: int) -> tuple[DeviceSpec, ...]:
        """Devices 1 to `count`. A smaller fleet is always the first part of a larger one."""
        return tuple(self._device(index) for index in range(count))

    def _device(self, index: int) -> DeviceSpec:
        group = index % self.groups

        def value(pattern: str | tuple[str, ...]) -> str:
            if isinstance(pattern, str):
                return pattern.format(number=index + 1, group=group + 1)
            return pattern[group % len(pattern)]

        # Built from validated parts; validating each of 100,000 devices again would take seconds.
        return DeviceSpec.model_construct(
            name=self.name.format(number=index + 1),
            attributes={key: value(pattern) for key, pattern in self.attributes.items()},
            telemetry=self._models(group),
            rate=self.rate,
            payload=self.payload,
            anomalies=self.anomalies,
            dropouts=self.dropouts,
        )


def _check_simulation(keys: Mapping[str, object], payload: str | None, episodes: Iterable[Anomaly | Dropout]) -> None:
    if payload is not None:
        PayloadTemplate(payload, keys)
    for episode in episodes:
        if episode.key is not None and episode.key not in keys:
            kind = "anomalies" if isinstance(episode, Anomaly) else "dropouts"
            raise ValueError(f"{kind}: {episode.key!r} is not in telemetry, which has {', '.join(map(repr, keys))}")


def resolve_models(document: Any) -> Any:
    """The document of a scenario with models in the place of their names. Raises ValueError for an unknown name."""
    if not isinstance(document, dict) or not isinstance(models := document.get("models", {}), dict):
        return document

    def one(model: Any, place: str) -> Any:
        if not isinstance(model, str):
            return model
        if model not in models:
            found = suggestion(model, models) or f": a table [models.{model}] would describe it"
            raise ValueError(f"{place}: there is no model {model!r}{found}")
        return models[model]

    def resolved(table: Any, place: str) -> Any:
        if not isinstance(table, dict) or not isinstance(telemetry := table.get("telemetry"), dict):
            return table
        return {
            **table,
            "telemetry": {
                key: [one(item, f"{place}.telemetry.{key}") for item in model]
                if isinstance(model, list)
                else one(model, f"{place}.telemetry.{key}")
                for key, model in telemetry.items()
            },
        }

    changed = dict(document)
    if isinstance(devices := document.get("devices"), list):
        changed["devices"] = [resolved(device, f"devices[{number}]") for number, device in enumerate(devices, start=1)]
    if "fleet" in document:
        changed["fleet"] = resolved(document["fleet"], "fleet")
    return changed
