"""How often something is shown that takes longer the more there is to look at."""

from __future__ import annotations

import time
from typing import Final

_SHARE: Final = 0.02
"""Part of the time that showing may take."""


def next_show(began: float, seconds: float) -> float:
    """When to show again what has been shown since `began`: after `seconds`, or later when it took long. Monotonic."""
    return began + max(seconds, (time.monotonic() - began) / _SHARE)
