"""What a function gets: its window, readings and history, made of plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from pacifictool.functions import Window

if TYPE_CHECKING:
    import pandas as pd

    from pacifictool.scenario.analytics import Analytics

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def window_of(analytics: Analytics, group: Sequence[str], end_ms: int) -> Window:
    """The window of a group that ends at `end_ms`; `group` has its values in the order of `group_by`."""
    return Window(
        analytics=analytics.name,
        group=dict(zip(analytics.group_by, group, strict=True)),
        entity=analytics.entity_name(group),
        start=_EPOCH + timedelta(milliseconds=end_ms - analytics.window_ms),
        end=_EPOCH + timedelta(milliseconds=end_ms),
    )


def readings_frame(columns: Mapping[str, Any], *, texts: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """Readings in the form in which functions get them, sorted by time: `ts` in UTC, then `texts` (deviceName and
    attributes), then `numbers` (telemetry) as float64.

    `columns` has at least `ts`, as milliseconds since the epoch or as times with a time zone; a key that it lacks is
    missing in all readings. Missing texts are None, missing numbers NaN. Readings of one time keep their order.
    """
    import numpy as np
    import pandas as pd

    times = (
        pd.DatetimeIndex(pd.to_datetime(columns["ts"], unit="ms", utc=True)).to_numpy("datetime64[ms]").view("int64")
    )
    order = np.argsort(times, kind="stable")
    frame = {
        **{key: _texts(columns[key]) if key in columns else np.full(len(times), None) for key in texts},
        **{
            key: np.asarray(pd.to_numeric(columns[key]), dtype="float64")
            if key in columns
            else np.full(len(times), np.nan)
            for key in numbers
        },
    }
    return frame_of(times[order], {key: values[order] for key, values in frame.items()})


def frame_of(times_ms: Any, columns: Mapping[str, Any]) -> pd.DataFrame:
    """A table of copies of these arrays: the times, milliseconds since the epoch, as `ts`, and the others."""
    import pandas as pd

    return pd.DataFrame({"ts": pd.DatetimeIndex(times_ms.view("datetime64[ms]"), tz="UTC"), **columns})


def history_frame(windows: Iterable[tuple[int, Mapping[str, float]]]) -> pd.DataFrame:
    """Results of earlier windows in the form in which functions get them: `ts`, the end of the window in UTC, and a
    column for each key of a result, NaN where a window has none."""
    import numpy as np

    rows = list(windows)
    keys = dict.fromkeys(key for _, values in rows for key in values)
    return frame_of(
        np.array([end_ms for end_ms, _ in rows], dtype="int64"),
        {key: np.array([values.get(key, np.nan) for _, values in rows], dtype="float64") for key in keys},
    )


def _texts(values: Any) -> Any:
    """An array of texts and None."""
    import numpy as np
    import pandas as pd

    found = np.full(len(values), None)
    for place, value in enumerate(values):
        if not pd.isna(value):
            found[place] = str(value)
    return found
