"""Keeps rule deletions below the rate at which a 1.4 server stops processing messages.

The 4th deletion within a minute stops a tenant's messages until the server is restarted
(docs/servers/1.x.md#deleting-rules, row 1). A journal file makes the limit hold over several runs of a program, too.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pacifictool.errors import Interrupted
from pacifictool.progress import Reporter

DELETIONS = 3
WINDOW_SECONDS = 61.0
"""A little more than the server's minute."""


class DeletionLimiter:
    """Lets `deletions` through in any `window_seconds`; shared by all that delete rules at one server.

    With `journal`, a file that need not exist, all programs on this machine that name the same one share the limit.
    `clock` is the time of day in seconds, since a journal outlives a process.
    """

    def __init__(
        self,
        *,
        stop: threading.Event,
        reporter: Reporter,
        journal: Path | None = None,
        deletions: int = DELETIONS,
        window_seconds: float = WINDOW_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._stop = stop
        self._reporter = reporter
        self._journal = journal
        self._deletions = deletions
        self._window_seconds = window_seconds
        self._clock = clock
        self._past: list[float] = []
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Returns when one more deletion is safe. Raises Interrupted when the stop signal comes first."""
        with self._lock, self._shared() as past:
            if len(past) >= self._deletions:
                seconds = past[-self._deletions] + self._window_seconds - self._clock()
                if seconds > 0:
                    self._reporter.info(
                        f"Waiting {seconds:.0f} s before the next rule is deleted: a 1.x server stops working when"
                        f" more than {self._deletions} are deleted within a minute."
                    )
                    if self._stop.wait(seconds):
                        raise Interrupted
            past.append(self._clock())

    @contextmanager
    def _shared(self) -> Iterator[list[float]]:
        """The times of deletions that still count, oldest first; what is added is kept."""
        if self._journal is None:
            self._past = self._counting(self._past)
            yield self._past
            return
        # Imported here: it takes 26 ms that programs without a journal need not spend.
        from filelock import lock_descriptor

        self._journal.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._journal.open("a+", encoding="utf-8") as file:
            lock_descriptor(file.fileno())
            file.seek(0)
            past = self._counting(_times(file.read()))
            yield past
            file.seek(0)
            file.truncate()
            file.write(json.dumps(past))

    def _counting(self, past: list[float]) -> list[float]:
        # A time in the future was written before the clock was set back; it says nothing.
        now = self._clock()
        return sorted(at for at in past if now - self._window_seconds < at <= now)


def _times(text: str) -> list[float]:
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return []
    return [float(at) for at in found if isinstance(at, int | float)] if isinstance(found, list) else []
