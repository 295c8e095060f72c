"""Durations and timestamps as text, and durations from text.

Timestamps are milliseconds since the epoch, durations are seconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_DURATION: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|h|d)?")
_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_LAST_MS: Final = 253_402_300_799_000


def parse_duration(value: str | float) -> float:
    """Turns "10s", "500ms", "1.5m", "2h" or a plain number of seconds into seconds.

    Raises ValueError with a sentence for the user.
    """
    if isinstance(value, bool):  # TOML's true is an int for Python
        raise ValueError("a duration is a number of seconds or a text such as '10s'")  # noqa: TRY004 - pydantic reads ValueError
    if isinstance(value, int | float):
        return float(value)
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"{value!r} is not a duration; write for example '10s', '500ms', '5m' or '1h'")
    return float(match["number"]) * _UNIT_SECONDS[match["unit"] or "s"]


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` turns back into `seconds` (to the millisecond): "10s", "500ms"."""
    milliseconds = round(seconds * 1000)
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def duration_text(seconds: float) -> str:
    """For a person, to the second or the minute: "5 s", "1 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def age_text(seconds: float | None) -> str:
    """How long ago something was, in one unit: "0.4 s ago", "3 min ago"; – for None."""
    if seconds is None:
        return "–"
    if seconds < 9.95:
        return f"{seconds:.1f} s ago"
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds / 86_400:.0f} days ago"


def utc_time(ts_ms: int) -> datetime:
    """A timestamp as a time in UTC; the end of the year 9999 for later ones, such as nanoseconds by mistake."""
    return datetime.fromtimestamp(min(ts_ms, _LAST_MS) / 1000, tz=UTC)


def utc_clock(ts_ms: int) -> str:
    """The time of day in UTC: "12:00:10", or "12:00:10.500" where there is a fraction of a second."""
    return f"{utc_time(ts_ms):%H:%M:%S}" + (f".{ts_ms % 1000:03d}" if ts_ms % 1000 else "")


def local_clock(ts_ms: int) -> str:
    """The time of day in this machine's time zone, to the second: "12:00:10"."""
    return f"{datetime.fromtimestamp(ts_ms / 1000).astimezone():%H:%M:%S}"


def utc_text(ts_ms: int) -> str:
    """Date and time in UTC, to the second: "2026-11-24 03:15:00Z"."""
    return f"{utc_time(ts_ms):%Y-%m-%d %H:%M:%SZ}"


def utc_iso(ts_ms: int) -> str:
    """Date and time in UTC as ISO 8601: "2026-11-24T03:15:00Z", with milliseconds where there are any."""
    unit = "milliseconds" if ts_ms % 1000 else "seconds"
    return utc_time(ts_ms).isoformat(timespec=unit).replace("+00:00", "Z")
