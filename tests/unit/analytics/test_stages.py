"""Stages end after those before them, hold up nobody, and hand on what waiting does not fix."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pacifictool.analytics.event_time import Completeness, EventClock
from pacifictool.analytics.stages import Stage, Stages
from tests.support.waiting import wait_until


class Due(Completeness):
    """Windows are due up to a time that the test sets."""

    until: int | None = None

    def due_until(self, now: float) -> int | None:
        return self.until


@contextmanager
def running(*stages: Stage) -> Iterator[tuple[Stages, Due, list[BaseException]]]:
    due, halt, failures = Due(EventClock(), 1.0, 0.0), threading.Event(), list[BaseException]()
    found = Stages(stages, due, halt, failures.append)
    threads = found.threads()
    for thread in threads:
        thread.start()
    yield found, due, failures
    halt.set()
    found.announce()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_a_stage_works_on_what_is_due_and_ends_with_all_of_it() -> None:
    counted, calls = threading.Event(), list[int | None]()
    stage = Stage("one", lambda until, _stop: calls.append(until), [counted])
    with running(stage) as (stages, due, _):
        assert calls == []
        due.until = 5
        stages.announce()
        wait_until(lambda: 5 in calls)
        assert not stages.are_done
        counted.set()
        wait_until(lambda: stages.are_done)
    assert calls[-1] is None


def test_a_stage_that_takes_long_holds_up_no_other_but_those_after_it() -> None:
    counted, release, calls = threading.Event(), threading.Event(), list[str]()
    counted.set()
    slow = Stage("slow", lambda _until, _stop: release.wait(60), [counted])
    other = Stage("other", lambda _until, _stop: calls.append("other"), [counted])
    last = Stage("last", lambda until, _stop: calls.append(f"last {until}"), [counted, slow.done])
    with running(slow, other, last) as (stages, due, _):
        due.until = 7
        wait_until(other.done.is_set)
        wait_until(lambda: "last 7" in calls)
        assert not last.done.is_set()
        release.set()
        wait_until(lambda: stages.are_done)
    assert calls[-1] == "last None"


def test_what_a_stage_did_is_news_to_the_others() -> None:
    done, woken = threading.Event(), threading.Event()

    def work(_until: int | None, _stop: threading.Event) -> bool:
        first = not done.is_set()
        done.set()
        return first

    def follow(_until: int | None, _stop: threading.Event) -> None:
        if done.is_set():
            woken.set()

    with running(Stage("work", work, [threading.Event()]), Stage("follow", follow, [threading.Event()])) as (_, due, _):
        due.until = 1
        wait_until(woken.is_set)


def test_a_failure_is_handed_on() -> None:
    def fail(_until: int | None, _stop: threading.Event) -> None:
        raise ValueError("no")

    counted = threading.Event()
    counted.set()
    with running(Stage("one", fail, [counted])) as (stages, _, failures):
        wait_until(lambda: failures)
        assert not stages.are_done
    assert isinstance(failures[0], ValueError)
