"""The devices to simulate, from the scenario and the names that the user typed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pacifictool.errors import ScenarioError, UsageError
from pacifictool.scenario import Scenario, Turbine
from pacifictool.settings import Secret

_SUGGESTIONS: Final = 3


@dataclass(frozen=True, slots=True)
class SimulatedDevice:
    """A device to simulate."""

    name: str
    token: Secret
    wind: object
    """The wind model of the scenario, or any other configuration that `models.generators.generator_for` accepts."""
    rate: float
    """Readings per second."""
    value_key: str = "windSpeed"


def choose_turbines(scenario: Scenario, names: Sequence[str] = ()) -> tuple[Turbine, ...]:
    """The turbines with these names, in the order of the names and once each; without names, all turbines.

    Raises UsageError with similar names for an unknown one, ScenarioError for a scenario without turbines.
    """
    if not scenario.turbines:
        raise ScenarioError(
            "The scenario has no turbines.", hint="Add [[turbines]] tables; docs/scenario.md shows how."
        )
    if not names:
        return scenario.turbines
    by_name = {turbine.name: turbine for turbine in scenario.turbines}
    for name in names:
        if name not in by_name:
            raise UsageError(f"The scenario has no turbine {name!r}.", hint=_suggest(name, list(by_name)))
    return tuple(by_name[name] for name in dict.fromkeys(names))


def _suggest(name: str, known: Sequence[str]) -> str:
    folded = {other.casefold(): other for other in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=_SUGGESTIONS, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(repr(folded[other]) for other in near)}?"
    shown = ", ".join(repr(other) for other in known[:_SUGGESTIONS])
    return f"It has {shown}{' and others' if len(known) > _SUGGESTIONS else ''}."


def plan_devices(
    scenario: Scenario,
    turbines: Sequence[Turbine],
    token_of: Callable[[str], Secret],
    *,
    rate: float | None = None,
) -> list[SimulatedDevice]:
    """The devices that simulate these turbines.

    `token_of` gives the access token for a device name (the caller looks it up on the platform). `rate` (readings per
    second) replaces the rates of the scenario.
    """
    if rate is not None and not rate > 0:
        raise UsageError(f"The rate must be greater than 0, not {rate:g}.")
    return [
        SimulatedDevice(
            name=turbine.name,
            token=token_of(turbine.name),
            wind=turbine.wind_speed,
            rate=turbine.rate if rate is None else rate,
            value_key=scenario.aggregation.value_key,
        )
        for turbine in turbines
    ]
