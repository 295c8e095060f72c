"""Numbers as people read them; the page's script (resources/page/words.js) writes them in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

BARS: Final = "▁▂▃▄▅▆▇█"


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


def sparkline(values: Sequence[float], width: int) -> str:
    """The newest `width` values as bars between their least and greatest; level when all are equal."""
    shown = values[-width:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    if high == low:
        return BARS[3] * len(shown)
    return "".join(BARS[round((value - low) / (high - low) * (len(BARS) - 1))] for value in shown)
