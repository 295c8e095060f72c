"""The range of the values that a model gives."""

from __future__ import annotations

import math

from pacifictool.models.config import (
    ConstantModel,
    Model,
    NormalModel,
    ReplayModel,
    UniformModel,
    WalkModel,
)

_DEVIATIONS = 3
"""How many standard deviations of noise a band includes."""


def range_of(model: Model, key: str) -> tuple[float, float] | None:
    """The lowest and highest value of a key, both included; of unlimited noise, three standard deviations.

    None when the model gives no value of it.
    """
    if isinstance(model, UniformModel):
        return model.min, model.max
    if isinstance(model, ConstantModel):
        return model.value, model.value
    if isinstance(model, ReplayModel):
        values = [value for value in model.values(key) if not math.isnan(value)]
        return (min(values), max(values)) if values else None
    if isinstance(model, WalkModel):
        return model.min, model.max
    if isinstance(model, NormalModel):
        spread = _DEVIATIONS * model.deviation
    else:
        spread = model.amplitude + _DEVIATIONS * model.noise
    low, high = model.min, model.max
    return max(low, min(high, model.mean - spread)), max(low, min(high, model.mean + spread))
