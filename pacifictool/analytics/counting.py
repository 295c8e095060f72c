"""The loop that counts: one batch after the other, at the right moments, through outages of Kafka."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from py4j.protocol import Py4JError

from pacifictool.analytics.batches import BatchProcessor, BatchStopped
from pacifictool.analytics.event_time import EventClock
from pacifictool.analytics.waiting import LONGEST_WAIT_SECONDS
from pacifictool.errors import KafkaUnreachable
from pacifictool.progress import Reporter
from pacifictool.tools.backoff import Backoff

_BACKOFF: Final = Backoff(2.0, LONGEST_WAIT_SECONDS)
AFTER_WINDOW_SECONDS: Final = 0.03
"""A plan this long after a window's end finds the window's last records, which take a moment to be readable."""


class CountingLoop:
    """Looks at the topic every few seconds, and once a window has ended.

    Its times are monotonic: setting this machine's clock moves none of them.
    """

    def __init__(
        self,
        processor: BatchProcessor,
        clock: EventClock,
        *,
        slides_ms: Sequence[int],
        trigger_ms: int,
        available_now: bool,
        halt: threading.Event,
        translated: Callable[[Exception], BaseException],
        looked: Callable[[Mapping[int, int] | None, str | None], None],
        reporter: Reporter,
    ) -> None:
        """`translated` turns an error of Spark into one of this package's. `looked` gets the topic's ends by partition
        after each look at it, or None and the reason when Kafka does not respond."""
        self._processor = processor
        self._clock = clock
        self._slides_ms = slides_ms
        self._trigger_seconds = trigger_ms / 1000
        self._available_now = available_now
        self._halt = halt
        self._translated = translated
        self._looked = looked
        self._reporter = reporter
        self._failures = 0

    def run(self) -> None:
        """Counts until `halt` is set or, with `available_now`, the topic is read. Raises what waiting does not fix."""
        while not self._halt.is_set():
            began = time.monotonic()
            more = self._step()
            if more is None:
                continue
            if not more and self._available_now:
                return
            if not more:
                self._halt.wait(self._seconds_to_next(began, time.monotonic()))

    def _step(self) -> bool | None:
        """Whether the topic holds more than was counted; None after a wait for Kafka, which was out of reach."""
        try:
            plan, more = self._processor.process()
        except KafkaUnreachable as error:
            self._wait_out(error)
            return None
        except BatchStopped:
            return None
        except (Py4JError, OSError) as error:
            if self._halt.is_set():
                return None
            failure = self._translated(error)
            if not isinstance(failure, KafkaUnreachable):
                raise failure from error
            self._wait_out(failure)
            return None
        self._failures = 0
        self._looked(plan.ends, None)
        return more

    def _wait_out(self, error: KafkaUnreachable) -> None:
        self._failures += 1
        seconds = _BACKOFF.seconds(self._failures)
        self._looked(None, error.message)
        self._reporter.detail(f"{error.message} Trying again in {seconds:.0f} s.")
        self._halt.wait(seconds)

    def _seconds_to_next(self, began: float, now: float) -> float:
        """Until the next look at the topic is due."""
        due = began + self._trigger_seconds
        event_ms = self._clock.at(now)
        if event_ms is not None:
            to_window_end = min(slide - event_ms % slide for slide in self._slides_ms) / 1000
            due = min(due, now + to_window_end + AFTER_WINDOW_SECONDS)
        return max(0.0, due - now)
