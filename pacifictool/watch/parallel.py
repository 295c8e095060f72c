"""Many short calls at once, in threads that nobody has to wait for when the program ends."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

Result = TypeVar("Result")


def run_all(calls: Sequence[Callable[[], Result]], workers: int) -> list[Result]:
    """The results, in order. Raises the first exception that came up, once all threads are through.

    Daemon threads: an executor's would be joined at exit, and a server that hangs would keep the program alive.
    """
    if len(calls) <= 1:
        return [call() for call in calls]
    results: dict[int, Result] = {}
    failures: list[BaseException] = []
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(calls)):
        waiting.put(number)

    def work() -> None:
        while not failures:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                results[number] = calls[number]()
            except BaseException as failure:  # noqa: BLE001 - raised below, in the thread that asked
                failures.append(failure)

    threads = [threading.Thread(target=work, name="watch-call", daemon=True) for _ in range(min(workers, len(calls)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [results[number] for number in range(len(calls))]
