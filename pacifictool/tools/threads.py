"""Runs calls on threads: many of them with a bounded number of threads, or a few of them within a time limit.

All threads are daemons. A call that waits for a server that never responds must not keep the process alive.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from functools import partial
from typing import Final, TypeVar

from pacifictool.errors import Interrupted

Item = TypeVar("Item")
Result = TypeVar("Result")

_QUEUED_RESULTS: Final = 64
_HAND_OVER_SECONDS: Final = 0.02
"""How often results are handed over. One by one, as they come, each would wake the caller, at the expense of the
workers: a tenth of the processor time of setting up ten thousand devices."""


def start_thread(call: Callable[[], Result], name: str) -> Future[Result]:
    """Runs `call` on a daemon thread; the future gets its result or its exception."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - raised by `future.result()`, in the thread that wants it
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def run_bounded(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    stop: threading.Event | None = None,
    name: str = "worker",
) -> Iterator[Result]:
    """Yields the results of `work` soon after they come, in any order.

    At most `workers` calls run at once, on threads called `name`, and at most 64 results wait for the caller: a
    hundred thousand items need no more memory than a hundred. The first exception, of `work` or of `items`, ends
    everything: no further call begins, those that run are waited for, then the exception is raised. When `stop` is
    set, the same happens with Interrupted. Leaving the iteration early also waits for the calls that run.
    """
    iterator = iter(items)
    taking = threading.Lock()
    over = threading.Event()
    stop = stop or threading.Event()
    results: queue.Queue[Result] = queue.Queue(_QUEUED_RESULTS)

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

    running: set[Future[None]] = {start_thread(take_turns, f"{name}-{number}") for number in range(workers)}
    try:
        while running:
            ended, running = wait(running, timeout=_HAND_OVER_SECONDS, return_when=FIRST_EXCEPTION)
            yield from _queued(results)
            for future in ended:
                future.result()
        if stop.is_set():
            raise Interrupted
    finally:
        over.set()
        while running:  # some may wait for room in the queue
            for _ in _queued(results):
                pass
            _, running = wait(running, timeout=_HAND_OVER_SECONDS)


def _queued(results: queue.Queue[Result]) -> Iterator[Result]:
    with contextlib.suppress(queue.Empty):
        while True:
            yield results.get_nowait()


def run_all(calls: Sequence[Callable[[], Result]], *, workers: int, name: str = "worker") -> list[Result]:
    """The results of all calls, in their order; at most `workers` of them run at once.

    A single call runs in the calling thread. The first exception ends everything, as with `run_bounded`.
    """
    if len(calls) <= 1:
        return [call() for call in calls]

    def numbered(number: int) -> tuple[int, Result]:
        return number, calls[number]()

    workers = min(workers, len(calls))
    results = dict(run_bounded(numbered, range(len(calls)), workers=workers, name=name))
    return [results[number] for number in range(len(calls))]


def run_within(
    seconds: float, work: Callable[[Item], Result], items: Iterable[Item], *, name: str = "worker"
) -> dict[Item, Result]:
    """`work` on each item, all at once; items whose call takes longer than `seconds` are missing from the results.

    Calls that take longer go on, and their outcome is ignored. Raises the first exception in the order of the items.
    """
    futures = {item: start_thread(partial(work, item), name) for item in items}
    done, _ = wait(futures.values(), timeout=seconds)
    return {item: future.result() for item, future in futures.items() if future in done}
