"""The one retry loop: exponential back-off with full jitter, ended early by a stop signal."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pacifictool.errors import PlatformError
from pacifictool.progress import Reporter
from pacifictool.tools.backoff import Backoff

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to give up. The wait after attempt n is random between 0 and first * 2^(n-1), at most longest."""

    attempts: int = 5
    first_wait_seconds: float = 0.3
    longest_wait_seconds: float = 10.0
    longest_retry_after_seconds: float = 60.0
    """When a server asks for a longer wait (Retry-After), the failure is raised at once."""


DEFAULT_RETRY = RetryPolicy()
NO_RETRY = RetryPolicy(attempts=1)


class RetryLoop:
    """Repeats calls by a policy. Usable from many threads; `stop`, once set, ends waits and further attempts."""

    def __init__(self, policy: RetryPolicy, stop: threading.Event, reporter: Reporter) -> None:
        self._policy = policy
        self._backoff = Backoff(policy.first_wait_seconds, policy.longest_wait_seconds, jitter=1.0)
        self._stop = stop
        self._reporter = reporter

    def run(
        self,
        call: Callable[[bool], Result],
        *,
        repeatable: bool,
        find_result: Callable[[], Result | None] | None = None,
    ) -> Result:
        """Calls `call(may_be_done)` until it succeeds or repeating it makes no sense; `may_be_done` says whether an
        earlier attempt had an unknown outcome.

        A failure is waited out when it is `retriable`; one with an unknown outcome only when the call is `repeatable`
        or when there is `find_result`, which looks before each further attempt whether an earlier one had succeeded.
        Raises the last failure, also when the stop signal ends a wait, and whatever `find_result` raises.
        """
        may_be_done = False
        for attempt in itertools.count(1):
            try:
                return call(may_be_done)
            except PlatformError as error:
                may_be_done |= error.outcome_unknown
                may_repeat = repeatable or find_result is not None or not error.outcome_unknown
                if not (may_repeat and self._wait(error, attempt)):
                    raise
            if may_be_done and find_result is not None and (found := find_result()) is not None:
                return found
        raise AssertionError("unreachable: the loop ends with a result or a failure")

    def _wait(self, error: PlatformError, attempt: int) -> bool:
        """Waits before the next attempt; False when there must be none."""
        policy, retry_after = self._policy, error.retry_after_seconds
        if not error.retriable or attempt >= policy.attempts or retry_after > policy.longest_retry_after_seconds:
            return False
        seconds = max(self._backoff.seconds(attempt), retry_after)
        if self._stop.is_set():
            return False
        self._reporter.detail(f"{error.message} Retrying in {seconds:.1f} s (attempt {attempt + 1}).")
        return not self._stop.wait(seconds)
