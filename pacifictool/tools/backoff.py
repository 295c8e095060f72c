"""Exponential back-off: how long to wait before the next attempt."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

_MAX_DOUBLINGS = 32
"""Keeps the power finite, however often an attempt fails."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that double with every failure in a row: `first_seconds`, twice that, … up to `longest_seconds`.

    `jitter` is the share of a delay that is left to chance, so that many clients do not retry at the same moment:
    0 none, 0.5 between half the delay and all of it, 1 anything up to the delay ("full jitter").
    """

    first_seconds: float
    longest_seconds: float
    jitter: float = 0.0

    def seconds(self, failures: int, *, at_least: float = 0.0, chance: Callable[[], float] = random.random) -> float:
        """The delay after `failures` failures in a row (1, 2, …).

        A delay below `at_least` is raised to it before the jitter is taken off. `chance` returns values in [0, 1).
        """
        delay = min(self.longest_seconds, self.first_seconds * 2.0 ** min(failures - 1, _MAX_DOUBLINGS))
        return max(delay, at_least) * (1 - self.jitter * chance())
