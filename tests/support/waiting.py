"""Waits for what happens in another thread or process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

SOON_SECONDS = 30.0
"""Upper limit of what happens at once, even on a busy machine. In a test that uses it, what would be wrong takes longer,
or forever."""

_INTERVAL_SECONDS = 0.02


def wait_until(condition: Callable[[], Found], what: str | Callable[[], object] = "", seconds: float = 60.0) -> Found:
    """The first result of `condition` that is true; AssertionError when there is none in time.

    `what` is waited for; a function is called when the time is up, and shows how things are then.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for: {what() if callable(what) else what}"
        time.sleep(_INTERVAL_SECONDS)
    return found
