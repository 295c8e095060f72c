"""Waits for what happens in another thread or process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

SOON_SECONDS = 30.0
"""Upper limit of what happens at once, even on a busy machine. In a test that uses it, what would be wrong takes longer,
or forever."""

_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.02, 0.5
_PAUSE_PER_LOOK = 5
"""A look that costs the platform a sign-in and a query comes as often as a sixth of the time allows: without a pause of its
own length, a test that waits for a minute keeps both processors busy, and what it waits for waits for them.
"""


def wait_until(condition: Callable[[], Found], what: str | Callable[[], object] = "", seconds: float = 60.0) -> Found:
    """The first result of `condition` that is true; AssertionError when there is none in time.

    `what` is waited for; a function is called when the time is up, and shows how things are then.
    """
    deadline = time.monotonic() + seconds
    looked = time.monotonic()
    while not (found := condition()):
        now = time.monotonic()
        assert now < deadline, f"waited {seconds} s for: {what() if callable(what) else what}"
        time.sleep(min(max(_SHORTEST_SECONDS, _PAUSE_PER_LOOK * (now - looked)), _LONGEST_SECONDS))
        looked = time.monotonic()
    return found
