"""The keys of results. Those of a function are not in the scenario: they are learned from its groups' entities."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pacifictool.rest import EntityId, Platform
from pacifictool.scenario import Scenario
from pacifictool.watch.described import DescribedAnalytics, described_keys

MOST_KEYS: Final = 24
"""Keys of a function that are watched, at most: each is a chart."""
_EVERY_SECONDS: Final = 10.0
"""How often an entity of a function is asked for keys."""


class ResultKeys:
    """Which keys the results of each analytics have. For the thread of the platform's poller and its workers."""

    def __init__(self, platform: Platform, scenario: Scenario) -> None:
        self._platform = platform
        self._scenario = scenario
        self._functions = {each.name: each for each in scenario.analytics if each.function is not None}
        self._learned: dict[str, dict[str, None]] = {name: {} for name in self._functions}
        self._asked_at = dict.fromkeys(self._functions, -_EVERY_SECONDS)

    def describe(self, described: DescribedAnalytics) -> DescribedAnalytics:
        """The same with the keys that are known by now."""
        analytics = self._functions.get(described.name)
        learned = self._learned.get(described.name)
        if analytics is None or not learned:
            return described
        return replace(described, keys=described_keys(self._scenario, analytics, list(learned)[:MOST_KEYS]))

    def keys_at(self, described: DescribedAnalytics, entity: EntityId, at: float) -> list[str]:
        """What to read from the entity of a group, at this monotonic second. Raises PlatformError."""
        analytics = self._functions.get(described.name)
        if analytics is None:
            return [key.key for key in described.keys]
        learned = self._learned[described.name]
        if at - self._asked_at[described.name] >= _EVERY_SECONDS:
            self._asked_at[described.name] = at
            found = sorted(self._platform.telemetry.keys(entity))
            learned |= dict.fromkeys(self._scenario.keys_of(analytics, found))
        return list(learned)[:MOST_KEYS]
