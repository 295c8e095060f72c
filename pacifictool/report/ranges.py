"""The range of the values that a model gives."""

from __future__ import annotations

from pacifictool.models.config import (
    MAX_VALUE,
    ConstantModel,
    Model,
    NormalModel,
    ReplayModel,
    SineModel,
    UniformModel,
    WalkModel,
    read_column,
)

_DEVIATIONS = 3
"""How many standard deviations of noise a band includes."""


def range_of(model: Model) -> tuple[float, float] | None:
    """The lowest and highest value, both included; of unlimited noise, three standard deviations.

    None for a model without a range that says something.
    """
    if isinstance(model, UniformModel):
        return model.min, model.max
    if isinstance(model, ConstantModel):
        return model.value, model.value
    if isinstance(model, ReplayModel):
        values = read_column(model.file, model.column)
        return min(values), max(values)
    if isinstance(model, WalkModel):
        return model.min, model.max
    if isinstance(model, NormalModel):
        spread = _DEVIATIONS * model.deviation
    elif isinstance(model, SineModel):
        spread = model.amplitude + _DEVIATIONS * model.noise
    else:
        return None
    low, high = max(model.min, -MAX_VALUE), min(model.max, MAX_VALUE)
    return max(low, min(high, model.mean - spread)), max(low, min(high, model.mean + spread))
