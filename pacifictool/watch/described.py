"""What a scenario calls what is watched: devices, keys, groups and results, with their units."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pacifictool.scenario import Analytics, Scenario
from pacifictool.scenario.names import capitalised, common_word


@dataclass(frozen=True, slots=True)
class DescribedKey:
    """A key of telemetry, of an attribute or of a result."""

    key: str
    title: str
    """With its unit: "temperature (°C)"."""
    unit: str | None = None

    def as_document(self) -> dict[str, Any]:
        return {"key": self.key, "title": self.title, "unit": self.unit}


@dataclass(frozen=True, slots=True)
class DescribedAnalytics:
    """An analytics of the scenario."""

    name: str
    window_ms: int
    slide_ms: int
    lateness_ms: int
    ts_is_start: bool
    """Whether the time of results is the start of their window."""
    entity_kind: str
    is_grouped: bool
    """Whether there may be more than one group."""
    group: str
    """What a person calls a group, such as "zone"; and several."""
    groups: str
    result: str
    """What a person calls a result, such as "mean"; and several."""
    results: str
    keys: tuple[DescribedKey, ...]
    """Of its results."""

    @property
    def title(self) -> str:
        """For a heading: "Zone means"."""
        return f"{capitalised(self.group)} {self.results}" if self.is_grouped else capitalised(self.results)

    @property
    def every(self) -> str:
        """How often there is a result: "one mean every 10 s", and of how much time if windows overlap."""
        over = "" if self.slide_ms == self.window_ms else f" over {_duration(self.window_ms)}"
        return f"one {self.result}{over} every {_duration(self.slide_ms)}"

    def end_ms(self, ts_ms: int) -> int:
        """The end of the window whose results have this time."""
        return ts_ms + self.window_ms if self.ts_is_start else ts_ms

    def as_document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "every": self.every,
            "window_ms": self.window_ms,
            "slide_ms": self.slide_ms,
            "entity_kind": self.entity_kind,
            "group": self.group,
            "groups_word": self.groups,
            "result": self.result,
            "results_word": self.results,
            "keys": [key.as_document() for key in self.keys],
        }


@dataclass(frozen=True, slots=True)
class Description:
    """The words of a scenario."""

    device: str
    """What a person calls a device, such as "turbine"; and several."""
    devices: str
    telemetry: tuple[DescribedKey, ...]
    """What devices send."""
    attributes: tuple[DescribedKey, ...]
    """Attributes of devices that are forwarded."""
    analytics: tuple[DescribedAnalytics, ...]
    has_alarms: bool = False
    """Whether the scenario declares alarms, or has functions, which may raise some."""

    @property
    def results(self) -> str:
        """What a person calls the results of all analytics."""
        return common_word((each.results for each in self.analytics), "results")

    @property
    def result(self) -> str:
        """One of them."""
        return common_word((each.result for each in self.analytics), "result")

    @property
    def groups(self) -> str:
        """What a person calls the groups of all analytics."""
        return common_word((each.groups for each in self.analytics), "groups")

    @property
    def entities(self) -> str:
        """What gets the results: assets, devices, or both."""
        kinds = {each.entity_kind for each in self.analytics} or {"asset"}
        return " and ".join(f"{kind}s" for kind in sorted(kinds))

    def find(self, name: str) -> DescribedAnalytics:
        """The analytics of that name, which must be one of the scenario's."""
        return next(each for each in self.analytics if each.name == name)


def describe(scenario: Scenario) -> Description:
    """The scenario's words."""
    return Description(
        device=scenario.device_word(),
        devices=scenario.device_word(2),
        telemetry=tuple(
            DescribedKey(key, scenario.title(key), scenario.units.get(key)) for key in scenario.forwarding.telemetry
        ),
        attributes=tuple(DescribedKey(key, scenario.title(key)) for key in scenario.forwarding.attribute_keys),
        analytics=tuple(_described(scenario, each) for each in scenario.analytics),
        has_alarms=bool(scenario.alarms) or any(each.function is not None for each in scenario.analytics),
    )


def _described(scenario: Scenario, analytics: Analytics) -> DescribedAnalytics:
    return DescribedAnalytics(
        name=analytics.name,
        window_ms=analytics.window_ms,
        slide_ms=analytics.slide_ms,
        lateness_ms=analytics.lateness_ms,
        ts_is_start=analytics.ts == "start",
        entity_kind=analytics.entity_kind,
        is_grouped=bool(analytics.group_by),
        group=scenario.group_word(analytics),
        groups=scenario.group_word(analytics, 2),
        result=scenario.result_word(analytics),
        results=scenario.result_word(analytics, 2),
        keys=described_keys(scenario, analytics, ()),
    )


def described_keys(scenario: Scenario, analytics: Analytics, found: Iterable[str]) -> tuple[DescribedKey, ...]:
    """The keys of its results; `found`: on the entities of its groups, as only those tell the keys of a function.

    Never empty: a function without results so far has the key "result".
    """
    keys = scenario.keys_of(analytics, found) or ("result",)
    return tuple(
        DescribedKey(key, scenario.result_title(analytics, key), scenario.result_unit(analytics, key)) for key in keys
    )


def _duration(milliseconds: int) -> str:
    for unit, size in (("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if milliseconds % size == 0:
            return f"{milliseconds // size} {unit}"
    return f"{milliseconds} ms"
