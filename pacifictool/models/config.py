"""Models of simulated values as validated configuration: the `telemetry` of devices and fleets in a scenario.

`models.generators` produces the values of each model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator

from pacifictool.models import csv_file
from pacifictool.models.csv_file import CsvFormat, CsvTable, open_table

MAX_VALUE: Final = csv_file.MAX_VALUE
"""The job keeps sums exact up to this value; no model produces more."""

Number = Annotated[float, Field(ge=-MAX_VALUE, le=MAX_VALUE)]
Spread = Annotated[float, Field(ge=0, le=MAX_VALUE)]
MAX_DECIMALS = 4
"""Digits after the decimal point. With more, Python would write the smallest values as 1e-05, which not every JSON
reader accepts."""

Decimals = Annotated[int, Field(ge=0, le=MAX_DECIMALS)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Random(_Model):
    """A model with random numbers."""

    seed: Annotated[str, Field(min_length=1)] | None = None
    """Name of a stream of random numbers. Devices and keys whose models name the same one move together; None: each
    key of each device has a stream of its own."""


class _Bounded(_Random):
    """Values are kept within `min` and `max`, and rounded to `decimals`."""

    min: Number = -MAX_VALUE
    max: Number = MAX_VALUE
    decimals: Decimals = 2

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min ({self.min:g}) is greater than max ({self.max:g})")
        return self


class UniformModel(_Random):
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


class ReplayModel(_Random):
    """Values from a column of a CSV file with a header row, in order; after the last one the first one again. A reading
    lacks the key where the file has no value."""

    model: Literal["replay"]
    file: Path
    """Relative to the folder of the scenario."""
    column: Annotated[str, Field(min_length=1)] | None = None
    """None: the column that has the name of the key."""
    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """The character between cells; None: recognised."""
    decimal: Literal[".", ","] = "."
    comment: str = "#"
    """Lines that begin with it are skipped; empty: none."""
    skip: Annotated[int, Field(ge=0)] = 0
    """Lines before the header to skip."""
    encoding: Annotated[str, Field(min_length=1)] | None = None
    """None: by the byte order mark, otherwise UTF-8."""
    missing: tuple[float | str, ...] = ()
    """Cells that stand for no value, such as `[-999, "NaN"]`; an empty cell always does."""
    time_column: Annotated[str, Field(min_length=1)] | None = None
    """Column of the rows' times. Readings are then due as far apart as the rows, bear these times, and end with the
    file; the rate of the device does not matter."""
    time_format: Annotated[str, Field(min_length=1)] | None = None
    """`"iso"`, `"s"` or `"ms"` since 1970, or a pattern such as `"%d.%m.%Y %H:%M"`; None: one of the first three.
    Times without a zone are UTC."""
    speed: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    """With `time_column`: seconds of the file in one second."""
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
    def _consistent(self) -> Self:
        if self.time_column is None:
            if self.time_format is not None or self.speed != 1.0:
                raise ValueError("time_format and speed need time_column")
        elif self.row_seconds is not None or self.shift:
            raise ValueError("row_seconds and shift cannot be combined with time_column, which says when each row is")
        if self.separator is not None and self.separator in '"\r\n':
            raise ValueError("separator cannot be a quote or the end of a line")
        if self.separator == self.decimal:
            raise ValueError(f"separator and decimal are both {self.decimal!r}")
        self.table.load([] if self.column is None else [self.column])
        return self

    @property
    def table(self) -> CsvTable:
        """The file. Raises ValueError with a sentence for the user."""
        return open_table(
            self.file,
            CsvFormat(
                separator=self.separator,
                decimal=self.decimal,
                comment=self.comment,
                skip=self.skip,
                encoding=self.encoding,
                missing=self.missing,
                time_column=self.time_column,
                time_format=self.time_format,
            ),
        )

    def values(self, key: str) -> Sequence[float]:
        """The values of a key, one for each row; not a number where the file has none. Raises ValueError."""
        return self.table.column(self.column or key)


def read_replays(telemetry: Mapping[str, object]) -> None:
    """Reads the columns that the keys of one device replay, each file once. Raises ValueError for the user."""
    columns: dict[CsvTable, list[str]] = {}
    for key, model in _replays(telemetry):
        columns.setdefault(model.table, []).append(model.column or key)
    for table, names in columns.items():
        table.load(names)
    replay_clock(telemetry)


def replay_clock(telemetry: Mapping[str, object]) -> tuple[Sequence[int], float] | None:
    """The times of a device's readings in milliseconds since 1970, and the speed at which they pass; None when its rate
    says when readings are due. Raises ValueError when two keys disagree."""
    timed = [model for _key, model in _replays(telemetry) if model.time_column is not None]
    if not timed:
        return None
    if len({(model.table, model.speed) for model in timed}) > 1:
        raise ValueError("keys of one device with a time_column must take it from one file, with one speed and format")
    return timed[0].table.times_ms, timed[0].speed


def _replays(telemetry: Mapping[str, object]) -> Iterable[tuple[str, ReplayModel]]:
    return ((key, model) for key, model in telemetry.items() if isinstance(model, ReplayModel))


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
