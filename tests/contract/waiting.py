"""Waits for what a server does after its response, without adding up to minutes where it never does it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

EVENTUALLY_SECONDS: Final = 20.0
BUDGET_SECONDS: Final = 60.0
"""How long a run waits in vain, all waits together. After that each wait is short: what is left to see on such a server
is which facts it does not share, and a server that is only slow has been waited for."""
SHORT_SECONDS: Final = 2.0

Found = TypeVar("Found")


class WaitBudget:
    """The time that a run has waited in vain."""

    def __init__(self, budget_seconds: float = BUDGET_SECONDS) -> None:
        self._left = budget_seconds

    def allowed(self, seconds: float) -> float:
        """How long to wait for something that may take `seconds`."""
        return seconds if self._left > 0 else min(seconds, SHORT_SECONDS)

    def spend(self, seconds: float) -> None:
        """Notes a wait in vain."""
        self._left -= seconds


RUN: Final = WaitBudget()
"""That of this run."""


def eventually(
    read: Callable[[], Found],
    wanted: Callable[[Found], bool],
    seconds: float = EVENTUALLY_SECONDS,
    budget: WaitBudget = RUN,
) -> Found:
    """Reads until the result is the wanted one or the time is up, and returns the last result."""
    began = time.monotonic()
    deadline = began + budget.allowed(seconds)
    while True:
        found = read()
        if wanted(found):
            return found
        if time.monotonic() > deadline:
            budget.spend(time.monotonic() - began)
            return found
        time.sleep(0.05)
