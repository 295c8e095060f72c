from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pacifictool.doctor.checks import (
    CheckContext,
    CheckResult,
    CheckStatus,
    DoctorCheck,
    failed,
    ok,
    run_checks,
    skipped,
    warning,
)
from pacifictool.errors import Interrupted, KafkaError, MqttError
from tests.support.waiting import SOON_SECONDS


@pytest.fixture
def context(make_context: Callable[..., CheckContext]) -> CheckContext:
    return make_context()


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """An event on which a check hangs; set at the end, so that no thread outlives the test."""
    event = threading.Event()
    yield event
    event.set()


def check(
    name: str, run: Callable[[], list[CheckResult]], needs: tuple[str, ...] = (), seconds: float = 5.0
) -> DoctorCheck:
    return DoctorCheck(name, "group", name.capitalize(), lambda _context: run(), needs, seconds=seconds)


def hang(never: threading.Event) -> list[CheckResult]:
    never.wait(120)
    return [ok("too late")]


def slowly() -> list[CheckResult]:
    time.sleep(0.1)
    return [ok("done")]


def test_results_come_in_the_given_order_with_their_text(context: CheckContext) -> None:
    results = run_checks(
        [
            check("slow", slowly),
            check("fast", lambda: [warning("c1", "hm", "do this"), ok("fine", name="fast-2", title="Second")]),
        ],
        context,
    )
    assert [(result.name, result.title, result.status, result.text, result.fix) for result in results] == [
        ("slow", "Slow", CheckStatus.OK, "done", None),
        ("fast", "Fast", CheckStatus.WARNING, "hm", "do this"),
        ("fast-2", "Second", CheckStatus.OK, "fine", None),
    ]
    assert results[0].seconds >= 0.1


@pytest.mark.parametrize("broken", [failed("c2", "no", "fix it"), skipped("unknown")])
def test_what_depends_on_a_failure_is_skipped_and_so_on(context: CheckContext, broken: CheckResult) -> None:
    results = run_checks(
        [
            check("third", lambda: [ok("?")], ("second",)),
            check("second", lambda: [ok("?")], ("first",)),
            check("first", lambda: [broken]),
            check("fourth", lambda: [ok("seen")]),
        ],
        context,
    )
    assert [result.status for result in results] == [
        CheckStatus.SKIPPED,
        CheckStatus.SKIPPED,
        broken.status,
        CheckStatus.OK,
    ]
    assert results[0].text == "Not checked, since this needs: Second."
    assert results[1].text == "Not checked, since this needs: First."


def test_a_warning_does_not_skip_others(context: CheckContext) -> None:
    results = run_checks(
        [check("first", lambda: [warning("c1", "hm", "do this")]), check("second", lambda: [ok("seen")], ("first",))],
        context,
    )
    assert results[1].status is CheckStatus.OK


def test_a_check_can_wait_for_another_whatever_its_outcome(context: CheckContext) -> None:
    order: list[str] = []

    def slow_failure() -> list[CheckResult]:
        time.sleep(0.1)
        order.append("first")
        return [failed("c2", "no", "fix it")]

    def after(_context: CheckContext) -> list[CheckResult]:
        order.append("second")
        return [ok("seen")]

    results = run_checks(
        [DoctorCheck("second", "group", "Second", after, after=("first",)), check("first", slow_failure)],
        context,
    )
    assert order == ["first", "second"]
    assert results[0].status is CheckStatus.OK


def test_independent_checks_run_at_the_same_time(context: CheckContext) -> None:
    together = threading.Barrier(8)

    def meet() -> list[CheckResult]:
        together.wait(60)
        return [ok("met")]

    results = run_checks([check(f"c{number}", meet) for number in range(8)], context)
    assert {result.status for result in results} == {CheckStatus.OK}


def test_a_check_that_hangs_fails_at_its_deadline_and_delays_no_other(
    context: CheckContext, never: threading.Event
) -> None:
    began = time.monotonic()
    results = run_checks(
        [check("hangs", lambda: hang(never), seconds=0.4), check("other", lambda: [ok("seen")])], context
    )
    assert time.monotonic() - began < SOON_SECONDS
    assert results[0].status is CheckStatus.FAILED
    assert results[0].text == "No response within 0 s."
    assert results[0].code == "no-answer"
    assert results[0].fix
    assert results[1].status is CheckStatus.OK


def test_the_whole_run_has_a_bound_whatever_hangs(context: CheckContext, never: threading.Event) -> None:
    began = time.monotonic()
    chain = [check("c0", lambda: hang(never))]
    chain += [check(f"c{n}", lambda: [ok("?")], (f"c{n - 1}",)) for n in range(1, 4)]
    more = [check(f"d{n}", lambda: hang(never)) for n in range(10)]
    results = run_checks([*chain, *more], context, total_seconds=0.6)
    assert time.monotonic() - began < SOON_SECONDS
    assert [result.status for result in results[:4]] == [
        CheckStatus.FAILED,
        CheckStatus.SKIPPED,
        CheckStatus.SKIPPED,
        CheckStatus.SKIPPED,
    ]
    assert {result.status for result in results[4:]} == {CheckStatus.FAILED}


def test_errors_are_failures_with_their_message_and_always_with_a_fix(context: CheckContext) -> None:
    def refuse(error: Exception) -> list[CheckResult]:
        raise error

    results = run_checks(
        [
            check("hinted", lambda: refuse(KafkaError("It broke.", hint="Glue it."))),
            check("bare", lambda: refuse(MqttError("It broke, too."))),
            check("bug", lambda: refuse(KeyError("x"))),
        ],
        context,
    )
    assert {result.status for result in results} == {CheckStatus.FAILED}
    assert [result.code for result in results] == ["kafka-error", "mqtt-error", "pacific-tool-error"]
    assert (results[0].text, results[0].fix) == ("It broke.", "Glue it.")
    assert results[1].text == "It broke, too."
    assert "KeyError" in results[2].text
    assert all(result.fix for result in results)


def test_a_stop_ends_it_at_once(context: CheckContext, never: threading.Event) -> None:
    threading.Timer(0.2, context.stop.set).start()
    began = time.monotonic()
    with pytest.raises(Interrupted):
        run_checks([check("hangs", lambda: hang(never))], context)
    assert time.monotonic() - began < SOON_SECONDS


def test_a_result_as_a_document_has_the_fix_under_both_names(context: CheckContext) -> None:
    [result] = run_checks([check("one", lambda: [failed("c2", "no", "fix it")])], context)
    document = result.as_document()
    assert document.pop("seconds") >= 0
    assert document == {
        "name": "one",
        "group": "group",
        "title": "One",
        "status": "failed",
        "seen": "no",
        "fix": "fix it",
        "mend": "fix it",
        "cause": "c2",
    }
    assert type(document["status"]) is str
