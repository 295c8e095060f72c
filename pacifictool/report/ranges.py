"""The range that a turbine's wind lies in, whatever its model."""

from __future__ import annotations

from collections.abc import Iterable

from pacifictool.models.config import ConstantWind, DailyWind, NormalWind, ReplayedWind, Wind, WindRange, read_column
from pacifictool.report.facts import Band
from pacifictool.scenario import Turbine

_DEVIATIONS = 3
"""How many standard deviations of noise are drawn as possible."""


def bands_of(turbines: Iterable[Turbine]) -> tuple[Band, ...]:
    """One band a turbine. Turbines of one range are drawn as one, named after the first."""
    names: dict[tuple[float, float], list[str]] = {}
    for turbine in turbines:
        names.setdefault(range_of(turbine.wind_speed), []).append(turbine.name)
    return tuple(
        Band(some[0] if len(some) == 1 else f"{some[0]} and {len(some) - 1} more", low, high)
        for (low, high), some in names.items()
    )


def range_of(wind: Wind) -> tuple[float, float]:
    """The lowest and highest value, both included; of unlimited noise, three standard deviations."""
    if isinstance(wind, WindRange):
        return wind.min, wind.max
    if isinstance(wind, ConstantWind):
        return wind.value, wind.value
    if isinstance(wind, ReplayedWind):
        values = read_column(wind.file, wind.column)
        return min(values), max(values)
    low, high = wind.min, wind.max
    if isinstance(wind, NormalWind):
        spread = _DEVIATIONS * wind.deviation
    elif isinstance(wind, DailyWind):
        spread = wind.amplitude + _DEVIATIONS * wind.noise
    else:
        return low, high
    return max(low, min(high, wind.mean - spread)), max(low, min(high, wind.mean + spread))
