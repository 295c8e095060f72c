"""How many of Spark's tasks functions may take at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property


class TaskSlots:
    """Half of what Spark works on at once, divided among the functions; the other half is for counting.

    Spark has no way to stop a task for another one: functions that take long would keep batches waiting.
    """

    def __init__(self, parallel: Callable[[], int], functions: int) -> None:
        """`parallel` says how many tasks Spark works on at once, when it has started."""
        self._parallel = parallel
        self._functions = functions
        self._turn = threading.Lock()
        """Held by who waits for slots: so that nobody gets some of them and waits for the rest of others."""

    @cached_property
    def _free(self) -> threading.Semaphore:
        return threading.Semaphore(max(1, self._parallel() // 2))

    @cached_property
    def tasks(self) -> int:
        """How many tasks one function may have."""
        return max(1, self._parallel() // 2 // max(1, self._functions))

    @contextmanager
    def taken(self, tasks: int) -> Iterator[None]:
        """Waits until this number of tasks may run, at most `self.tasks`, and runs what is within."""
        with self._turn:
            for _ in range(tasks):
                self._free.acquire()
        try:
            yield
        finally:
            for _ in range(tasks):
                self._free.release()
