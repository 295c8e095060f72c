"""Which records count: the columns of a record, and the reasons why one is invalid, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from pacifictool.scenario import (
    DEVICE_NAME,
    MAX_NAME_LENGTH,
    READING_TIME,
    AlarmSpec,
    Analytics,
    ForwardingConfig,
    Scenario,
)

AHEAD_OF_ARRIVAL: Final = "ahead of its arrival"
"""How the reason ends of records whose time cannot be trusted."""
TOO_LATE: Final = "too late"
"""How the reason begins of records whose window takes no more."""
UNREADABLE: Final = ("no value (a tombstone)", "empty", "not UTF-8", "not one valid JSON value", "not a JSON object")
"""Reasons of records of which nothing can be read."""
_COLUMN_BIT: Final = 8


@dataclass(frozen=True, slots=True)
class RecordRules:
    """What counts and what is made of it. docs/operations.md says what a valid record is."""

    forwarding: ForwardingConfig
    analytics: tuple[Analytics, ...]
    alarms: tuple[AlarmSpec, ...] = ()

    @classmethod
    def of_scenario(cls, scenario: Scenario) -> Self:
        return cls(scenario.forwarding, scenario.analytics, scenario.alarms)

    @property
    def functions(self) -> tuple[Analytics, ...]:
        """Those whose results a function of the user's computes."""
        return tuple(each for each in self.analytics if each.function is not None)

    def alarms_of(self, analytics: Analytics) -> tuple[AlarmSpec, ...]:
        """Those that are declared for the results of this one; its function may raise others."""
        return tuple(each for each in self.alarms if each.analytics == analytics.name)

    def may_raise(self, analytics: Analytics) -> bool:
        """Whether its windows may raise an alarm."""
        return analytics.function is not None or bool(self.alarms_of(analytics))

    @property
    def texts(self) -> tuple[str, ...]:
        """Keys of the columns of texts."""
        return (*self.forwarding.attribute_keys, *((DEVICE_NAME,) if self.forwarding.device else ()))

    @property
    def numbers(self) -> tuple[str, ...]:
        """Keys of the columns of numbers."""
        return self.forwarding.telemetry

    @property
    def time(self) -> str | None:
        """Key of the reading's own time, where windows go by it."""
        return READING_TIME if self.forwarding.event_time == "reading" else None

    def column(self, key: str) -> int:
        """The column of a key: numbers come first, then texts."""
        return (*self.numbers, *self.texts).index(key)

    @property
    def ahead_of_arrival(self) -> str:
        """The reason of records that come from the future, or whose arrival this machine's clock dates too early."""
        return f"timestamp more than {self.forwarding.max_skew_ms / 1000:g} s {AHEAD_OF_ARRIVAL}"

    def reason(self, code: int) -> str:
        """Why a record does not count, from a number of RecordParser.java or PartitionReader.java."""
        column = code >> _COLUMN_BIT
        return _REASONS[code & ((1 << _COLUMN_BIT) - 1)](self, column)

    def late(self, column: int) -> str:
        """The reason of a record whose window was closed for good, of the analytics in this place."""
        owner = f" of {self.analytics[column].name}" if len(self.analytics) > 1 else ""
        return f"{TOO_LATE}: its window{owner} was closed for good"

    def out_of_range(self, column: int) -> str:
        """The reason of a value that is not within the bounds of its key."""
        key = self.numbers[column]
        bounds = self.forwarding.bounds(key)
        return f"{key} is not within {bounds.min:.15g} and {bounds.max:.15g}"


def none_of(keys: Sequence[str]) -> str:
    """The reason of a record without a number."""
    return f"no {keys[0]}" if len(keys) == 1 else f"none of {', '.join(keys)}"


def time_faults(key: str | None) -> tuple[str, str]:
    """The reasons of a record without a time of its own under this key, and with one that is none."""
    return f"no {key}", f"{key} is not a time in milliseconds"


def _always(reason: str) -> Callable[[RecordRules, int], str]:
    return lambda _rules, _column: reason


_REASONS: Final[tuple[Callable[[RecordRules, int], str], ...]] = (
    *map(_always, UNREADABLE),
    lambda rules, column: f"no {rules.texts[column]}",
    lambda rules, column: f"{rules.texts[column]} is not a text",
    lambda rules, column: f"{rules.texts[column]} holds control characters",
    lambda rules, column: f"{rules.texts[column]} is blank",
    lambda rules, column: f"{rules.texts[column]} is longer than {MAX_NAME_LENGTH} characters",
    lambda rules, _column: none_of(rules.numbers),
    lambda rules, column: f"{rules.numbers[column]} is not a number",
    lambda rules, column: rules.out_of_range(column),
    lambda rules, _column: rules.ahead_of_arrival,
    lambda rules, column: rules.late(column),
    lambda rules, _column: time_faults(rules.time)[0],
    lambda rules, _column: time_faults(rules.time)[1],
)
