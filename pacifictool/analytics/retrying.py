"""Waits between attempts to deliver something, and reports the outage; gives up after a time, if there is one."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final

from pacifictool.analytics.waiting import LONGEST_WAIT_SECONDS
from pacifictool.errors import DeliveryAbandoned, PacificToolError
from pacifictool.progress import Reporter
from pacifictool.tools.backoff import Backoff

_BACKOFF: Final = Backoff(0.5, LONGEST_WAIT_SECONDS, jitter=0.5)


class Retries:
    """The failures of one kind of delivery, used by one thread; others may read."""

    def __init__(
        self,
        what: str,
        *,
        reporter: Reporter,
        give_up_after: float | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`what` is delivered, such as "results". `give_up_after`: seconds without a single success after which
        DeliveryAbandoned is raised; None: never."""
        self._what = what
        self._reporter = reporter
        self._give_up_after = give_up_after
        self._jitter = jitter
        self._failures = 0
        self._since: float | None = None
        self.failure: str | None = None
        """Why nothing can be delivered at the moment."""
        self.failed_attempts = 0
        """Since the start."""

    def succeeded(self, target: str) -> None:
        """Nothing fails any more."""
        if self.failure is not None:
            self._reporter.info(f"{self._what.capitalize()} are delivered again ({target}).")
        self._failures, self._since, self.failure = 0, None, None

    def wait(self, failure: PacificToolError, *, progress: bool, waiting: int, stop: threading.Event) -> None:
        """Waits before the next attempt, unless `stop` is set. `progress`: whether something was delivered; `waiting`:
        how much is left. Raises DeliveryAbandoned."""
        now = time.monotonic()
        if self._since is None or progress:
            self._since, self._failures = now, 0
        self._failures += 1
        self.failed_attempts += 1
        self.failure = failure.message
        if self._give_up_after is not None and now - self._since >= self._give_up_after:
            raise DeliveryAbandoned(
                f"{self._what.capitalize()} could not be delivered for {now - self._since:.0f} s: {failure.message}",
                hint="Nothing is lost: start the job again with the same checkpoint when the platform is back.",
                cause=failure.kind,
            ) from failure
        seconds = _BACKOFF.seconds(self._failures, chance=self._jitter)
        # A platform that names a time is asked no sooner, within reason.
        seconds = max(seconds, min(float(failure.details.get("retry_after", 0.0)), 2 * LONGEST_WAIT_SECONDS))
        if self._give_up_after is not None:
            seconds = min(seconds, max(0.0, self._since + self._give_up_after - now))
        self._reporter.warning(f"{failure.message} {waiting} {self._what} wait; trying again in {seconds:.1f} s.")
        stop.wait(seconds)
