"""A start that waits: what a job has worked with before is down, not mistyped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from pacifictool.errors import KafkaUnreachable, PlatformUnreachable
from pacifictool.progress import Reporter
from pacifictool.tools.backoff import Backoff

LONGEST_WAIT_SECONDS = 30.0
_BACKOFF = Backoff(1.0, LONGEST_WAIT_SECONDS)

Found = TypeVar("Found")


def wait_until_reachable(
    attempt: Callable[[], Found],
    stop: threading.Event,
    reporter: Reporter,
    *,
    waits: bool,
    failed: Callable[[str | None], None] = lambda _failure: None,
) -> Found | None:
    """What `attempt` returns, as soon as Kafka and the platform respond; None when `stop` was set before.

    Without `waits`, for a first start, nothing is waited out: a mistyped address is reported at once. Nor are other
    errors, a refused login among them. `failed` gets why it waits, and None once it need not.
    """
    failures = 0
    while True:
        try:
            found = attempt()
            failed(None)
            return found
        except (KafkaUnreachable, PlatformUnreachable) as error:
            if not waits:
                raise
            failures += 1
            failed(error.message)
            seconds = _BACKOFF.seconds(failures)
            reporter.warning(f"{error.message} Trying again in {seconds:.0f} s.")
        if stop.wait(seconds):
            return None
