"""Readings from a CSV file as a function gets them, for `analytics test`: a data logger's file, or one of
`simulate --csv`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pacifictool.errors import RuntimeMissing, UsageError
from pacifictool.models.csv_file import CsvFormat, CsvTable
from pacifictool.scenario import Bounds
from pacifictool.scenario.names import DEVICE_NAME, READING_TIME

if TYPE_CHECKING:
    import pandas as pd

TIME_COLUMNS: Final = (READING_TIME, "time", "timestamp", "datetime", "date")
"""Columns that are taken for the times of the readings, in any case of letters."""


@dataclass(frozen=True, slots=True)
class CsvReadings:
    """The readings of a file."""

    frame: pd.DataFrame
    """Sorted by time: `ts` (UTC), `deviceName`, texts, numbers (not a number where there is none)."""
    rows: int
    """Of the file."""
    invalid: Mapping[str, int]
    """By reason: what did not count."""


def import_pandas() -> Any:
    """The package. Raises RuntimeMissing when it is not installed."""
    try:
        import pandas as pd
    except ImportError:
        raise RuntimeMissing(
            "Functions need pandas, which is not installed.", hint="pip install 'pacifictool[analytics]' brings it."
        ) from None
    return pd


def read_csv(
    file: Path,
    form: CsvFormat,
    *,
    texts: Sequence[str],
    keys: Sequence[str] | None = None,
    bounds: Mapping[str, Bounds] | None = None,
) -> CsvReadings:
    """The readings of a file.

    `texts`: the columns that hold attributes. `keys`: those that hold numbers; None: all whose first value is one.
    Numbers outside their `bounds` are invalid. A file without a column `deviceName` is of one device, which has the
    file's name. Raises UsageError with a sentence that names file and line, RuntimeMissing without pandas.
    """
    pd = import_pandas()
    try:
        table = CsvTable(file, dataclasses.replace(form, ordered=False))
        time_column = form.time_column or _time_column(table)
        if time_column is None:
            raise ValueError(
                f"{file} has no column of times, such as {READING_TIME!r}; it has {', '.join(map(repr, table.names))}"
            )
        table = CsvTable(file, dataclasses.replace(form, ordered=False, time_column=time_column))
        wanted_texts = [name for name in dict.fromkeys((DEVICE_NAME, *texts)) if _is_needed(name, table)]
        if keys is None:
            others = {time_column, *wanted_texts}
            numbers = [name for name in table.numeric_columns() if name not in others]
            is_used = {*numbers, *others}
            wanted_texts += [name for name in table.names if name and name not in is_used]
        else:
            numbers = [key for key in keys if key in table.names]
        if not numbers:
            raise ValueError(f"{file} has no numbers{'' if keys is None else ' of ' + ', '.join(map(repr, keys))}")
        table.load(numbers, wanted_texts)
    except ValueError as error:
        raise UsageError(f"{_sentence(str(error))}", hint="docs/your-analytics.md shows a file.") from None
    frame = pd.DataFrame({READING_TIME: pd.to_datetime(pd.Series(table.times_ms, dtype="int64"), unit="ms", utc=True)})
    frame[DEVICE_NAME] = file.stem
    for name in wanted_texts:
        frame[name] = pd.Series(table.texts(name), dtype=object)
    for name in numbers:
        frame[name] = pd.Series(table.column(name), dtype="float64")
    return _valid(frame, numbers, texts, bounds or {})


def _valid(
    frame: pd.DataFrame, numbers: Sequence[str], texts: Sequence[str], bounds: Mapping[str, Bounds]
) -> CsvReadings:
    rows, invalid = len(frame), {}
    for key in numbers:
        bound = bounds.get(key, Bounds())
        outside = frame[key].notna() & ~frame[key].between(bound.min, bound.max)
        if outside.any():
            invalid[f"{key} is not within {bound.min:g} and {bound.max:g}"] = int(outside.sum())
            frame.loc[outside, key] = math.nan
    for name in texts:
        missing = frame[name] == ""
        if missing.any():
            invalid[f"{name} is missing"] = int(missing.sum())
            frame = frame[~missing]
    empty = frame[list(numbers)].isna().all(axis=1)
    if empty.any():
        invalid["no valid number"] = int(empty.sum())
        frame = frame[~empty]
    return CsvReadings(frame.sort_values(READING_TIME, kind="stable", ignore_index=True), rows, invalid)


def _time_column(table: CsvTable) -> str | None:
    by_folded = {name.casefold(): name for name in reversed(table.names)}
    return next((by_folded[name] for name in TIME_COLUMNS if name in by_folded), None)


def _is_needed(name: str, table: CsvTable) -> bool:
    """Whether the column is to be read; a file of one device need not name it."""
    return name in table.names or name != DEVICE_NAME


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
