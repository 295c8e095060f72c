from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from pacifictool.errors import Interrupted
from pacifictool.provisioning.workers import run_bounded


def test_every_item_is_worked_on_once() -> None:
    assert sorted(run_bounded(lambda number: number * 2, range(500), workers=7)) == [2 * n for n in range(500)]


def test_nothing_to_do_yields_nothing() -> None:
    assert list(run_bounded(str, [])) == []


def test_no_more_than_the_given_number_run_at_once() -> None:
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


def test_items_are_taken_as_they_are_needed() -> None:
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


def test_the_first_failure_ends_everything_and_what_runs_is_waited_for() -> None:
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


def test_a_stop_ends_the_iteration_with_an_interruption() -> None:
    stop = threading.Event()
    done: list[int] = []

    def work(number: int) -> None:
        done.append(number)
        stop.set()

    with pytest.raises(Interrupted):
        list(run_bounded(work, range(10_000), workers=2, stop=stop))
    assert 0 < len(done) < 50


def test_a_stop_beforehand_lets_nothing_begin() -> None:
    stop = threading.Event()
    stop.set()
    begun: list[int] = []
    with pytest.raises(Interrupted):
        list(run_bounded(begun.append, range(10), stop=stop))
    assert begun == []
