"""How often and how patiently a call is repeated: exponential back-off with full jitter, cut short by a stop signal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from pacifictool.errors import PlatformError, PlatformUnreachable, RateLimited, ServerFault
from pacifictool.reporting import Reporter

Result = TypeVar("Result")

_GATEWAY_TROUBLE = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to give up. The waits before attempt n+1 are random between 0 and first * 2^(n-1), at most longest."""

    attempts: int = 5
    first_wait_seconds: float = 0.3
    longest_wait_seconds: float = 10.0
    longest_retry_after_seconds: float = 60.0
    """A server that asks for more patience (Retry-After) than this is believed, and given up on."""


DEFAULT_RETRY = RetryPolicy()
NO_RETRY = RetryPolicy(attempts=1)


def never_executed(error: PlatformError) -> bool:
    """Whether the server certainly did nothing, so that repeating any call is safe: no connection, or 429."""
    if isinstance(error, PlatformUnreachable):
        return error.details.get("sent") is False and not error.details.get("tls")
    return isinstance(error, RateLimited)


def outcome_unknown(error: PlatformError) -> bool:
    """Whether the server may or may not have done what was asked: the connection broke, or 502-504."""
    if isinstance(error, PlatformUnreachable):
        return error.details.get("sent") is True
    return isinstance(error, ServerFault) and error.status in _GATEWAY_TROUBLE


def passing(error: PlatformError) -> bool:
    """Whether the failure may pass by itself; for calls that may be repeated whatever became of them."""
    return never_executed(error) or outcome_unknown(error)


class Retrier:
    """Repeats calls by a policy. `stop`, once set, ends waits and further attempts."""

    def __init__(self, policy: RetryPolicy, stop: threading.Event | None, reporter: Reporter) -> None:
        self.policy = policy
        self._stop = stop or threading.Event()
        self._reporter = reporter

    def run(self, call: Callable[[int], Result], repeat_on: Callable[[PlatformError], bool]) -> Result:
        """Calls `call(attempt)`, attempt counting from 1, until it succeeds.

        `repeat_on` says which failures may pass by themselves and do no harm when repeated. The last failure is raised
        as it is, also when the stop signal cuts a wait short.
        """

        def worth_repeating(error: BaseException) -> bool:
            return (
                isinstance(error, PlatformError)
                and not self._stop.is_set()
                and error.details.get("retry_after", 0) <= self.policy.longest_retry_after_seconds
                and repeat_on(error)
            )

        try:
            # Nearly every call succeeds at once; with tenacity around it, each would take a tenth more processor time.
            return call(1)
        except PlatformError as error:
            first = error

        retrying = Retrying(
            stop=stop_after_attempt(self.policy.attempts),
            wait=self._wait_seconds,
            retry=retry_if_exception(worth_repeating),
            sleep=_already_slept,
            before_sleep=self._sleep,
            reraise=True,
        )
        for attempt in retrying:
            with attempt:
                number = attempt.retry_state.attempt_number
                if number == 1:
                    raise first
                return call(number)
        raise AssertionError("unreachable: the last failure was raised")

    def _wait_seconds(self, state: RetryCallState) -> float:
        jittered = wait_random_exponential(
            multiplier=self.policy.first_wait_seconds, max=self.policy.longest_wait_seconds
        )(state)
        return max(jittered, float(_failure_of(state).details.get("retry_after", 0.0)))

    def _sleep(self, state: RetryCallState) -> None:
        error = _failure_of(state)
        seconds = state.upcoming_sleep
        self._reporter.detail(f"{error.message} Trying again in {seconds:.1f} s (attempt {state.attempt_number + 1}).")
        if self._stop.wait(seconds):
            raise error


def _already_slept(_seconds: float) -> None:
    """Waiting happens before, where the failure that is waited out is at hand."""


def _failure_of(state: RetryCallState) -> PlatformError:
    error = state.outcome.exception() if state.outcome is not None else None
    assert isinstance(error, PlatformError)
    return error
