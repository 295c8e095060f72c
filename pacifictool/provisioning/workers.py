"""Runs many small pieces of work at once, but never more than a fixed number, and stops at the first failure."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from pacifictool.errors import Interrupted

Item = TypeVar("Item")
Result = TypeVar("Result")

DEFAULT_WORKERS = 16
"""Requests that are open at once. A 1.x server on two cores is saturated by about ten (platform-1x, section 8)."""

_LOOK_AHEAD = 4


def run_bounded(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int = DEFAULT_WORKERS,
    stop: threading.Event | None = None,
) -> Iterator[Result]:
    """Yields the results of `work` as they come, in any order.

    At most `workers` calls run at once, and at most a few more are prepared, so that a hundred thousand items need no
    more memory than a hundred. The first exception ends everything: what has not begun is not begun, what runs is
    waited for, then the exception is raised. When `stop` is set, the same happens with Interrupted.
    """
    iterator = iter(items)
    pending: set[Future[Result]] = set()
    with ThreadPoolExecutor(workers, thread_name_prefix="provisioning") as pool:
        try:
            exhausted = False
            while True:
                if stop is not None and stop.is_set():
                    raise Interrupted
                while not exhausted and len(pending) < workers * _LOOK_AHEAD:
                    try:
                        pending.add(pool.submit(work, next(iterator)))
                    except StopIteration:
                        exhausted = True
                if not pending:
                    return
                done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            for future in pending:
                future.cancel()
