"""Numbers and times as people read them; the page's script words them alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

BARS: Final = "▁▂▃▄▅▆▇█"


def age_text(seconds: float | None) -> str:
    """ "0.4 s ago", "3 min ago"; – when there is nothing."""
    if seconds is None:
        return "–"
    if seconds < 9.95:
        return f"{seconds:.1f} s ago"
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds / 86_400:.0f} days ago"


def value_text(value: float | str | None, digits: int = 2) -> str:
    """Numbers with a point have `digits` decimals; everything else is shown as it is."""
    if value is None:
        return "–"
    return f"{value:,.{digits}f}" if isinstance(value, float) else str(value)


def rate_text(rate: float | None) -> str:
    """ "9.9 /s", or ? when it is not known."""
    if rate is None:
        return "?"
    return f"{rate:,.0f} /s" if rate >= 100 else f"{rate:.1f} /s"


def clock_text(ts_ms: int) -> str:
    """The local time of day, "12:00:10"."""
    return datetime.fromtimestamp(ts_ms / 1000).astimezone().strftime("%H:%M:%S")


def sparkline(values: Sequence[float], width: int) -> str:
    """The newest `width` values as bars between their least and greatest; level when all are equal."""
    shown = values[-width:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    if high == low:
        return BARS[3] * len(shown)
    return "".join(BARS[round((value - low) / (high - low) * (len(BARS) - 1))] for value in shown)
