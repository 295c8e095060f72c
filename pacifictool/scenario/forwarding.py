"""`[forwarding]`: what the platform copies from a message into a record of the Kafka topic."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from pacifictool.models.config import MAX_VALUE
from pacifictool.scenario.names import (
    MAX_NAME_LENGTH,
    RESERVED,
    Attribute,
    Key,
    Name,
    Seconds,
    check_topic,
)
from pacifictool.scenario.tables import Switch, Table, duplicated


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


class ForwardingConfig(Table):
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

    valid: dict[Key, Bounds] = Field(default={})
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
