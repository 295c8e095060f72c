"""Runs many small pieces of work at once, but never more than a fixed number, and stops at the first failure."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from pacifictool.errors import Interrupted

Item = TypeVar("Item")
Result = TypeVar("Result")

DEFAULT_WORKERS = 16
"""Requests that are open at once."""

_LOOK_AHEAD = 64
_LOOK_SECONDS = 0.02
"""How often results are handed over. One by one, as they come, each would wake the caller, at the expense of the
workers: a tenth of the processor time of setting up a fleet."""


def run_bounded(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int = DEFAULT_WORKERS,
    stop: threading.Event | None = None,
) -> Iterator[Result]:
    """Yields the results of `work` soon after they come, in any order.

    At most `workers` calls run at once, and at most 64 results wait for whoever asked for them, so that a hundred
    thousand items need no more memory than a hundred. The first exception, of `work` or of `items`, ends everything:
    what has not begun is not begun, what runs is waited for, then the exception is raised. When `stop` is set, the same
    happens with Interrupted.
    """
    iterator = iter(items)
    taking = threading.Lock()
    over = threading.Event()
    stop = stop or threading.Event()
    results: queue.Queue[Result] = queue.Queue(_LOOK_AHEAD)

    def take_turns() -> None:
        while not over.is_set() and not stop.is_set():
            with taking:
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            try:
                result = work(item)
            except BaseException:
                over.set()
                raise
            results.put(result)

    with ThreadPoolExecutor(workers, thread_name_prefix="provisioning") as pool:
        running: set[Future[None]] = {pool.submit(take_turns) for _ in range(workers)}
        try:
            while running:
                ended, running = wait(running, timeout=_LOOK_SECONDS, return_when=FIRST_EXCEPTION)
                yield from _waiting_in(results)
                for future in ended:
                    future.result()
            if stop.is_set():
                raise Interrupted
        finally:
            over.set()
            while running:  # some may wait for room
                for _ in _waiting_in(results):
                    pass
                _, running = wait(running, timeout=_LOOK_SECONDS)


def _waiting_in(results: queue.Queue[Result]) -> Iterator[Result]:
    with contextlib.suppress(queue.Empty):
        while True:
            yield results.get_nowait()
