"""How many of Spark's tasks functions may take at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class TaskSlots:
    """Half of what Spark works on at once, divided among the functions; the other half is for counting.

    Spark has no way to stop a task for another one: functions that take long would keep batches waiting.
    """

    def __init__(self, parallel: Callable[[], int], functions: int) -> None:
        """`parallel` says how many tasks Spark works on at once, which grows while a cluster's machines join."""
        self._parallel = parallel
        self._functions = functions
        self._used = 0
        self._changed = threading.Condition()
        self._turn = threading.Lock()
        """Held by who waits: others that need fewer tasks must not get ahead all the time."""

    @property
    def tasks(self) -> int:
        """How many tasks one function may have."""
        return max(1, self._limit() // max(1, self._functions))

    @contextmanager
    def taken(self, tasks: int) -> Iterator[None]:
        """Waits until this number of tasks may run, and runs what is within."""
        with self._turn, self._changed:
            limit = self._limit()
            self._changed.wait_for(lambda: self._used == 0 or self._used + tasks <= limit)
            self._used += tasks
        try:
            yield
        finally:
            with self._changed:
                self._used -= tasks
                self._changed.notify_all()

    def _limit(self) -> int:
        return max(1, self._parallel() // 2)
