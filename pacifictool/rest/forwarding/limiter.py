"""Keeps rule deletions below the rate that kills a 1.4 server's message processing.

The 4th deletion within a minute stops a tenant's messages until the server is restarted (platform-1x, section 2).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from pacifictool.reporting import Reporter

DELETIONS = 3
WINDOW_SECONDS = 61.0
"""A little more than the server's minute."""


class DeletionLimiter:
    """Lets `deletions` through in any `window_seconds`; shared by all that delete rules at one server."""

    def __init__(
        self,
        *,
        stop: threading.Event,
        reporter: Reporter,
        deletions: int = DELETIONS,
        window_seconds: float = WINDOW_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stop = stop
        self._reporter = reporter
        self._deletions = deletions
        self._window_seconds = window_seconds
        self._clock = clock
        self._past: deque[float] = deque(maxlen=deletions)
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Returns when one more deletion does no harm. Raises KeyboardInterrupt when the stop signal comes first."""
        with self._lock:
            if len(self._past) == self._deletions:
                seconds = self._past[0] + self._window_seconds - self._clock()
                if seconds > 0:
                    self._reporter.info(
                        f"Waiting {seconds:.0f} s before the next rule is deleted: a 1.x server stops working when"
                        f" more than {self._deletions} are deleted within a minute."
                    )
                    if self._stop.wait(seconds):
                        raise KeyboardInterrupt
            self._past.append(self._clock())
