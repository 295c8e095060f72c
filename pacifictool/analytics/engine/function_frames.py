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
    missing in all readings. Missing texts and numbers are NaN. Readings of one time keep their order.
    """
    import pandas as pd

    frame = pd.DataFrame({"ts": _times(columns["ts"])})
    for key in texts:
        frame[key] = _texts(columns[key]) if key in columns else pd.Series(index=frame.index, dtype="object")
    for key in numbers:
        frame[key] = pd.to_numeric(columns[key]).astype("float64") if key in columns else float("nan")
    return frame.sort_values("ts", kind="stable", ignore_index=True)


def history_frame(windows: Iterable[tuple[int, Mapping[str, float]]]) -> pd.DataFrame:
    """Results of earlier windows in the form in which functions get them: `ts`, the end of the window in UTC, and a
    column for each key of a result, NaN where a window has none."""
    import pandas as pd

    rows = list(windows)
    frame = pd.DataFrame({"ts": _times([end_ms for end_ms, _ in rows])})
    for key in dict.fromkeys(key for _, values in rows for key in values):
        frame[key] = pd.Series([values.get(key) for _, values in rows], dtype="float64")
    return frame


def _times(values: Any) -> Any:
    import pandas as pd

    return pd.Series(pd.to_datetime(values, unit="ms", utc=True)).dt.as_unit("ms")


def _texts(values: Any) -> Any:
    import pandas as pd

    series = pd.Series(values)
    return series.astype("str").where(series.notna()) if pd.api.types.is_numeric_dtype(series) else series
