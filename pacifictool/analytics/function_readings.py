"""Readings from a CSV file as a function gets them, for `analytics test`: a data logger's file, or one of
`simulate --csv`."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pacifictool.analytics.engine.function_frames import readings_frame
from pacifictool.errors import RuntimeMissing, UsageError
from pacifictool.models.csv_file import CsvFormat, CsvTable
from pacifictool.scenario import Bounds, ForwardingConfig
from pacifictool.scenario.names import DEVICE_NAME, READING_TIME

if TYPE_CHECKING:
    import pandas as pd

TIME_COLUMNS: Final = (READING_TIME, "time", "timestamp", "datetime", "date")
"""Names of columns that are taken for the times of the readings, in any case of letters."""


@dataclass(frozen=True, slots=True)
class CsvReadings:
    """The readings of a file."""

    frame: pd.DataFrame
    """Sorted by time: `ts` (UTC), `deviceName`, texts, numbers (not a number where there is none)."""
    rows: int
    """Of the file."""
    invalid: Mapping[str, int]
    """By reason: what did not count."""


def require_pandas() -> None:
    """Raises RuntimeMissing when the package is not installed."""
    if importlib.util.find_spec("pandas") is None:
        raise RuntimeMissing(
            "Functions need pandas, which is not installed.", hint="pip install 'pacifictool[analytics]' brings it."
        )


def read_csv(
    file: Path,
    form: CsvFormat,
    *,
    group_by: Sequence[str],
    forwarding: ForwardingConfig | None = None,
) -> CsvReadings:
    """The readings of a file.

    `forwarding` says which columns are attributes and which are keys, and what is valid; without it all columns are
    taken, as numbers where the first value is one. A row without a value of `group_by` is invalid. A file without a
    column `deviceName` is of one device, which has the file's name. Raises UsageError with a sentence that names file
    and line, RuntimeMissing without pandas.
    """
    require_pandas()
    keys, texts, bounds = None, group_by, {}
    if forwarding is not None:
        keys, texts, bounds = forwarding.telemetry, (*group_by, *forwarding.attribute_keys), forwarding.valid
    try:
        table = CsvTable(file, dataclasses.replace(form, ordered=False))
        time_column = form.time_column or _time_column(table)
        if time_column is None:
            raise ValueError(
                f"{file} has no column of times, such as {READING_TIME!r}; it has {', '.join(map(repr, table.names))}"
            )
        table = CsvTable(file, dataclasses.replace(form, ordered=False, time_column=time_column))
        required = {*table.names, *group_by} - ({DEVICE_NAME} - {*table.names})
        wanted_texts = [name for name in dict.fromkeys((DEVICE_NAME, *texts)) if name in required]
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
        raise UsageError(
            _sentence(str(error)),
            hint="Options such as --time-column, --time-format, --decimal and --missing say how it is written.",
        ) from None
    columns: dict[str, Any] = {READING_TIME: table.times_ms, DEVICE_NAME: [file.stem] * len(table.times_ms)}
    columns |= {name: table.texts(name) for name in wanted_texts} | {name: table.column(name) for name in numbers}
    # As in the job, a function gets all keys and attributes of the forwarding, also those that nothing has.
    has_device = forwarding is None or forwarding.device
    all_texts = dict.fromkeys(((DEVICE_NAME,) if has_device else ()) + tuple(wanted_texts if keys is None else texts))
    frame = readings_frame(columns, texts=list(all_texts), numbers=numbers if keys is None else list(keys))
    return _valid(frame, numbers, group_by, bounds)


def _valid(
    frame: pd.DataFrame, numbers: Sequence[str], group_by: Sequence[str], bounds: Mapping[str, Bounds]
) -> CsvReadings:
    rows, invalid = len(frame), {}
    for key in numbers:
        bound = bounds.get(key, Bounds())
        outside = frame[key].notna() & ~frame[key].between(bound.min, bound.max)
        if outside.any():
            invalid[f"{key} is not within {bound.min:g} and {bound.max:g}"] = int(outside.sum())
            frame.loc[outside, key] = math.nan
    for name in group_by:
        missing = frame[name] == ""
        if missing.any():
            invalid[f"{name} is missing"] = int(missing.sum())
            frame = frame[~missing]
    empty = frame[list(numbers)].isna().all(axis=1)
    if empty.any():
        invalid["no valid number"] = int(empty.sum())
        frame = frame[~empty]
    return CsvReadings(frame.reset_index(drop=True), rows, invalid)


def _time_column(table: CsvTable) -> str | None:
    """The column of that name, or else the first one whose name begins like it: "Date and time", "timestamp_utc"."""
    by_folded = {name.casefold(): name for name in reversed(table.names)}
    similar = (name for folded, name in reversed(by_folded.items()) if folded.startswith(TIME_COLUMNS[1:]))
    return next((by_folded[name] for name in TIME_COLUMNS if name in by_folded), next(similar, None))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
