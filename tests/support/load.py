"""How much slower the machine is now than without its other programs."""

from __future__ import annotations

import time

_SPIN_SECONDS = 0.1


def slowdown() -> float:
    """How many times longer a computation takes than on an idle machine: 1 there, and more when others compute.

    For limits in seconds on what a user waits for, which hold on an idle machine only.
    """
    began, used = time.perf_counter(), time.process_time()
    while time.process_time() - used < _SPIN_SECONDS:
        pass
    return max(1.0, (time.perf_counter() - began) / _SPIN_SECONDS)
