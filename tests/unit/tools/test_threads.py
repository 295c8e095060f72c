from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from pacifictool.errors import Interrupted
from pacifictool.tools.threads import run_all, run_bounded, run_within


def test_every_item_is_processed_once() -> None:
    assert sorted(run_bounded(lambda number: number * 2, range(500), workers=7)) == [2 * n for n in range(500)]


def test_no_items_yield_no_results() -> None:
    assert list(run_bounded(str, [], workers=4)) == []


def test_at_most_the_given_number_run_at_once() -> None:
    lock = threading.Lock()
    running = most = 0

    def work(_number: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.002)
        with lock:
            running -= 1

    for _ in run_bounded(work, range(60), workers=3):
        pass
    assert most == 3


def test_items_are_taken_as_results_are_wanted() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(100_000):
            taken += 1
            yield number

    results = run_bounded(str, items(), workers=2)
    next(results)
    assert taken < 100
    results.close()  # type: ignore[attr-defined]


def test_the_first_failure_ends_everything_and_running_calls_are_waited_for() -> None:
    finished: list[int] = []

    def work(number: int) -> None:
        if number == 1:
            raise LookupError("no")
        time.sleep(0.05)
        finished.append(number)

    with pytest.raises(LookupError):
        list(run_bounded(work, range(1000), workers=4))
    done = list(finished)
    assert 0 in done
    assert len(done) < 100
    time.sleep(0.1)
    assert finished == done


def test_a_stop_raises_interrupted() -> None:
    stop = threading.Event()
    done: list[int] = []

    def work(number: int) -> None:
        done.append(number)
        stop.set()

    with pytest.raises(Interrupted):
        list(run_bounded(work, range(10_000), workers=2, stop=stop))
    assert 0 < len(done) < 50


def test_with_a_stop_set_beforehand_no_call_begins() -> None:
    stop = threading.Event()
    stop.set()
    begun: list[int] = []
    with pytest.raises(Interrupted):
        list(run_bounded(begun.append, range(10), workers=4, stop=stop))
    assert begun == []


def test_all_results_come_in_the_order_of_the_calls() -> None:
    def call(number: int) -> int:
        time.sleep(0.02 / (number + 1))
        return number

    assert run_all([lambda number=number: call(number) for number in range(20)], workers=8) == list(range(20))  # type: ignore[misc]


def test_a_single_call_runs_in_the_calling_thread() -> None:
    assert run_all([threading.current_thread], workers=8) == [threading.current_thread()]
    assert run_all([], workers=8) == []


def test_all_raises_the_first_exception() -> None:
    def fail() -> int:
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        run_all([fail, lambda: 1, fail], workers=2)


def test_what_takes_longer_than_the_time_limit_is_missing() -> None:
    def work(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    assert run_within(0.5, work, [0.0, 0.1, 30.0]) == {0.0: 0.0, 0.1: 0.1}


def test_an_exception_within_the_time_limit_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        run_within(5, lambda number: 1 / number, [1, 0])


def test_threads_are_daemons_with_a_name() -> None:
    threads = set(run_bounded(lambda _: threading.current_thread(), range(100), workers=3, name="fetch"))
    assert all(thread.daemon for thread in threads)
    assert {thread.name for thread in threads} <= {"fetch-0", "fetch-1", "fetch-2"}
