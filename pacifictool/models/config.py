"""Models of simulated values as validated configuration: the `telemetry` of devices and fleets in a scenario.

`models.generators` produces the values of each model.
"""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator

MAX_VALUE = 1e9
"""The job keeps sums exact up to this value; no model produces more."""

Number = Annotated[float, Field(ge=-MAX_VALUE, le=MAX_VALUE)]
Spread = Annotated[float, Field(ge=0, le=MAX_VALUE)]
MAX_DECIMALS = 4
"""Digits after the decimal point. With more, Python would write the smallest values as 1e-05, which not every JSON
reader accepts."""

Decimals = Annotated[int, Field(ge=0, le=MAX_DECIMALS)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Bounded(_Model):
    """Values are kept within `min` and `max`, and rounded to `decimals`."""

    min: Number = -MAX_VALUE
    max: Number = MAX_VALUE
    decimals: Decimals = 2

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min ({self.min:g}) is greater than max ({self.max:g})")
        return self


class UniformModel(_Model):
    """Uniform integers, both ends included, as the tutorial's `random.randrange(30, 36)`."""

    model: Literal["uniform"] = "uniform"
    min: int
    max: int

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is greater than max ({self.max})")
        return self


class ConstantModel(_Model):
    """Always the same value: the mean of every window is known beforehand."""

    model: Literal["constant"]
    value: Number


class NormalModel(_Bounded):
    """Independent values around a mean; values outside the bounds are set to the bound."""

    model: Literal["normal"]
    mean: Number
    deviation: Spread
    """Standard deviation."""


class WalkModel(_Bounded):
    """A random walk: each value is near the previous one. It is reflected at the bounds."""

    model: Literal["walk"]
    min: Number
    max: Number
    start: Number | None = None
    """The first value; None: halfway between the bounds."""
    step: Spread = 0.5
    """Standard deviation of the change from one reading to the next."""

    @model_validator(mode="after")
    def _within(self) -> Self:
        if self.start is not None and not self.min <= self.start <= self.max:
            raise ValueError(f"start ({self.start:g}) is not within {self.min:g} and {self.max:g}")
        if self.min == self.max:
            raise ValueError("min and max are equal, which leaves no room to walk; use the model constant")
        return self


class SineModel(_Bounded):
    """A sine over the day, with noise added."""

    model: Literal["sine"]
    mean: Number
    amplitude: Spread
    period_hours: Annotated[float, Field(gt=0, le=100_000)] = 24.0
    start_hour: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """The hour of the day at which the run starts."""
    peak_hour: Annotated[float, Field(ge=0, le=100_000)] = 15.0
    """The hour of the greatest value."""
    noise: Spread = 0.0
    """Standard deviation of the noise."""


class ReplayModel(_Model):
    """Values from a column of a CSV file with a header row, in order; after the last one the first one again."""

    model: Literal["replay"]
    file: Path
    """Relative to the folder of the scenario."""
    column: Annotated[str, Field(min_length=1)] = "windSpeed"
    row_seconds: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """How long a row lasts; None: each reading takes the next row."""
    shift: bool = False
    """Whether every device starts at another row, so that the devices of a fleet do not move in step."""

    @field_validator("file")
    @classmethod
    def _absolute(cls, file: Path, info: ValidationInfo) -> Path:
        context = info.context or {}
        folder, within = context.get("folder"), context.get("within")
        place: Path = file if folder is None else folder / file
        if within is not None and not place.resolve().is_relative_to(within.resolve()):
            raise ValueError(f"{file} is outside of {within}, whose pacifictool.toml names this scenario")
        return place

    @model_validator(mode="after")
    def _readable(self) -> Self:
        read_column(self.file, self.column)
        return self


@lru_cache(maxsize=32)
def read_column(file: Path, column: str) -> Sequence[float]:
    """The numbers of one column of a CSV file with a header row, without empty cells. A file is read once per run.

    Raises ValueError with a sentence for the user.
    """
    values = array("d")
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if column not in (reader.fieldnames or ()):
                known = ", ".join(repr(name) for name in reader.fieldnames or ()) or "no columns"
                raise ValueError(f"the file {file} has no column {column!r}; it has {known}")
            for row in reader:
                text = (row[column] or "").strip()
                if text:
                    values.append(_number(text, f"line {reader.line_num} of {file}"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"the file {file} cannot be read: {reason}") from None
    if not values:
        raise ValueError(f"the column {column!r} of {file} holds no numbers")
    return values


def _number(text: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not -MAX_VALUE <= value <= MAX_VALUE:  # also not a number
        raise ValueError(f"{text!r} in {place} is not a number within -1e9 and 1e9")
    return value


def _model_name(value: Any) -> str:
    if isinstance(value, dict):
        name = value.get("model", "uniform")
        return name if isinstance(name, str) else ""
    return str(getattr(value, "model", "uniform"))


MODELS: dict[str, type[_Model]] = {
    "uniform": UniformModel,
    "constant": ConstantModel,
    "normal": NormalModel,
    "walk": WalkModel,
    "sine": SineModel,
    "replay": ReplayModel,
}

Model = Annotated[
    Annotated[UniformModel, Tag("uniform")]
    | Annotated[ConstantModel, Tag("constant")]
    | Annotated[NormalModel, Tag("normal")]
    | Annotated[WalkModel, Tag("walk")]
    | Annotated[SineModel, Tag("sine")]
    | Annotated[ReplayModel, Tag("replay")],
    Discriminator(
        _model_name,
        custom_error_type="unknown_model",
        custom_error_message=f"the models are {', '.join(MODELS)}",
    ),
]
"""Any of the models; a table without the key `model` is a range, as the tutorial's `{ min = 30, max = 35 }`."""
