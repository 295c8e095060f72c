from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pacifictool.diagnosis.checks import Check, Finding, Status, failed, ok, run_checks, skipped, warning
from pacifictool.errors import Interrupted, KafkaError, MqttError


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """What a check waits for that hangs; set at the end, so that no thread outlives the test."""
    event = threading.Event()
    yield event
    event.set()


def check(name: str, run: Callable[[], list[Finding]], needs: tuple[str, ...] = (), seconds: float = 5.0) -> Check:
    return Check(name, "group", name.capitalize(), run, needs, seconds=seconds)


def hang(never: threading.Event) -> list[Finding]:
    never.wait(30)
    return [ok("too late")]


def slowly() -> list[Finding]:
    time.sleep(0.1)
    return [ok("done")]


def test_lines_come_in_the_given_order_with_what_was_seen() -> None:
    lines = run_checks(
        [
            check("slow", slowly),
            check("fast", lambda: [warning("c1", "hm", "do this"), ok("fine", name="fast-2", title="Second")]),
        ]
    )
    assert [(line.name, line.title, line.status, line.seen, line.mend) for line in lines] == [
        ("slow", "Slow", Status.OK, "done", None),
        ("fast", "Fast", Status.WARNING, "hm", "do this"),
        ("fast-2", "Second", Status.OK, "fine", None),
    ]
    assert lines[0].seconds >= 0.1 > lines[1].seconds


@pytest.mark.parametrize("broken", [failed("c2", "no", "mend it"), skipped("unknown")])
def test_what_depends_on_a_failure_is_skipped_and_so_on(broken: Finding) -> None:
    lines = run_checks(
        [
            check("third", lambda: [ok("?")], ("second",)),
            check("second", lambda: [ok("?")], ("first",)),
            check("first", lambda: [broken]),
            check("fourth", lambda: [ok("seen")]),
        ]
    )
    assert [line.status for line in lines] == [Status.SKIPPED, Status.SKIPPED, broken.status, Status.OK]
    assert lines[0].seen == "Not looked at, since this needs: Second."
    assert lines[1].seen == "Not looked at, since this needs: First."


def test_a_warning_lets_others_go_on() -> None:
    lines = run_checks(
        [check("first", lambda: [warning("c1", "hm", "do this")]), check("second", lambda: [ok("seen")], ("first",))]
    )
    assert lines[1].status is Status.OK


def test_a_check_can_wait_for_another_however_that_ends() -> None:
    order: list[str] = []

    def slow_failure() -> list[Finding]:
        time.sleep(0.1)
        order.append("first")
        return [failed("c2", "no", "mend it")]

    def after() -> list[Finding]:
        order.append("second")
        return [ok("seen")]

    lines = run_checks(
        [Check("second", "group", "Second", after, after=("first",)), check("first", slow_failure)],
    )
    assert order == ["first", "second"]
    assert lines[0].status is Status.OK


def test_independent_checks_run_at_the_same_time() -> None:
    together = threading.Barrier(8)

    def meet() -> list[Finding]:
        together.wait(5)
        return [ok("met")]

    lines = run_checks([check(f"c{number}", meet) for number in range(8)])
    assert {line.status for line in lines} == {Status.OK}


def test_a_check_that_hangs_fails_at_its_deadline_and_holds_nobody_up(never: threading.Event) -> None:
    began = time.monotonic()
    lines = run_checks([check("hangs", lambda: hang(never), seconds=0.4), check("other", lambda: [ok("seen")])])
    assert time.monotonic() - began < 2
    assert lines[0].status is Status.FAILED
    assert lines[0].seen == "No answer within 0 s."
    assert lines[0].cause == "no-answer"
    assert lines[0].mend
    assert lines[1].status is Status.OK


def test_the_whole_run_has_a_bound_whatever_hangs(never: threading.Event) -> None:
    began = time.monotonic()
    chain = [check("c0", lambda: hang(never))]
    chain += [check(f"c{n}", lambda: [ok("?")], (f"c{n - 1}",)) for n in range(1, 4)]
    more = [check(f"d{n}", lambda: hang(never)) for n in range(10)]
    lines = run_checks([*chain, *more], total_seconds=0.6)
    assert time.monotonic() - began < 2
    assert [line.status for line in lines[:4]] == [Status.FAILED, Status.SKIPPED, Status.SKIPPED, Status.SKIPPED]
    assert {line.status for line in lines[4:]} == {Status.FAILED}


def test_errors_of_ours_are_failures_in_their_own_words_and_always_with_a_mend() -> None:
    def refuse(error: Exception) -> list[Finding]:
        raise error

    lines = run_checks(
        [
            check("hinted", lambda: refuse(KafkaError("It broke.", hint="Glue it."))),
            check("bare", lambda: refuse(MqttError("It broke, too."))),
            check("bug", lambda: refuse(KeyError("x"))),
        ]
    )
    assert {line.status for line in lines} == {Status.FAILED}
    assert [line.cause for line in lines] == ["kafka-error", "mqtt-error", "pacific-tool-error"]
    assert (lines[0].seen, lines[0].mend) == ("It broke.", "Glue it.")
    assert lines[1].seen == "It broke, too."
    assert "KeyError" in lines[2].seen
    assert all(line.mend for line in lines)


def test_a_stop_ends_it_at_once(never: threading.Event) -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Interrupted):
        run_checks([check("hangs", lambda: hang(never))], stop=stop)
    assert time.monotonic() - began < 2


def test_a_line_as_a_document_is_plain() -> None:
    [line] = run_checks([check("one", lambda: [failed("c2", "no", "mend it")])])
    document = line.as_document()
    assert document.pop("seconds") >= 0
    assert document == {
        "name": "one",
        "group": "group",
        "title": "One",
        "status": "failed",
        "seen": "no",
        "mend": "mend it",
        "cause": "c2",
    }
    assert type(document["status"]) is str
