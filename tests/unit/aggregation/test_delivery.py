from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pacifictool.aggregation.delivery import Delivery
from pacifictool.aggregation.ledger import BatchOutcome, Ledger
from pacifictool.aggregation.sinks.base import Receipt, Sink
from pacifictool.aggregation.windows import UNITS, PartialSum, WindowMean
from pacifictool.errors import DeliveryAbandoned, PlatformUnreachable, RateLimited, ServerFault
from pacifictool.reporting import SILENT, SilentReporter

W1, W2, W3 = 10_000, 20_000, 30_000

Behaviour = Callable[[Sequence[WindowMean], Receipt], None]


class RecordingSink(Sink):
    name = "recording"
    target = "recording"

    def __init__(self, *behaviours: Behaviour) -> None:
        self.behaviours = list(behaviours)
        self.calls: list[list[WindowMean]] = []

    def deliver(self, results: Sequence[WindowMean], receipt: Receipt) -> None:
        self.calls.append(list(results))
        if self.behaviours:
            self.behaviours.pop(0)(results, receipt)
        else:
            receipt.accepted(results)

    def sequence(self) -> list[tuple[str, int, int]]:
        return [(result.zone, result.window_end_ms, result.count) for call in self.calls for result in call]


class Warnings(SilentReporter):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def warning(self, message: str) -> None:
        self.messages.append(message)


def down(results: Sequence[WindowMean], receipt: Receipt) -> None:
    raise PlatformUnreachable("The platform does not answer.")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


def fill(ledger: Ledger, batch_id: int, *windows: tuple[str, int, int]) -> None:
    parts = [PartialSum(zone, end, count, count * 3 * UNITS) for zone, end, count in windows]
    ledger.apply(BatchOutcome(batch_id, parts), lateness_ms=0)


def delivery(ledger: Ledger, sink: Sink, *, give_up_after: float | None = None) -> Delivery:
    return Delivery(
        ledger, sink, window_ms=10_000, reporter=SILENT, give_up_after=give_up_after, jitter=lambda: 0.0
    )  # fmt: skip


def test_closed_windows_are_delivered_in_time_order_and_once(ledger: Ledger) -> None:
    fill(ledger, 0, ("A", W2, 2), ("A", W1, 4), ("B", W1, 1), ("A", W3, 1))
    sink = RecordingSink()
    work = delivery(ledger, sink)

    assert work.deliver_due(W2, threading.Event()) == 3
    assert work.deliver_due(W2, threading.Event()) == 0
    assert sink.sequence() == [("A", W1, 4), ("B", W1, 1), ("A", W2, 2)]
    assert sink.calls[0][0] == WindowMean("A", 0, W1, 4, 3.0)


def test_after_a_correction_the_newest_window_is_posted_again_last(ledger: Ledger) -> None:
    fill(ledger, 0, ("A", W1, 2), ("A", W2, 2), ("B", W1, 1))
    sink = RecordingSink()
    work = delivery(ledger, sink)
    work.deliver_due(W2, threading.Event())
    sink.calls.clear()
    fill(ledger, 1, ("A", W1, 1))

    assert work.deliver_due(W2, threading.Event()) == 1
    assert sink.sequence() == [("A", W1, 3), ("A", W2, 2)]
    assert ledger.counters()["corrections"] == 1


def test_a_correction_is_done_only_with_the_newest_window_behind_it(ledger: Ledger) -> None:
    def interrupted(results: Sequence[WindowMean], receipt: Receipt) -> None:
        receipt.accepted(results[:1])
        raise PlatformUnreachable("The session ended.")

    fill(ledger, 0, ("A", W1, 2), ("A", W2, 2))
    sink = RecordingSink()
    work = delivery(ledger, sink)
    work.deliver_due(W2, threading.Event())
    sink.calls.clear()
    sink.behaviours.append(interrupted)
    fill(ledger, 1, ("A", W1, 1))

    assert work.deliver_due(W2, threading.Event()) == 1
    assert sink.sequence() == [("A", W1, 3), ("A", W2, 2)] * 2


def test_a_straggler_for_a_window_that_was_never_posted_also_keeps_the_latest_latest(ledger: Ledger) -> None:
    fill(ledger, 0, ("A", W3, 2))
    sink = RecordingSink()
    work = delivery(ledger, sink)
    work.deliver_due(None, threading.Event())
    sink.calls.clear()
    fill(ledger, 1, ("A", W1, 1))
    work.deliver_due(None, threading.Event())

    assert sink.sequence() == [("A", W1, 1), ("A", W3, 2)]


def test_after_an_outage_only_what_was_not_acknowledged_is_delivered_again(ledger: Ledger) -> None:
    def half(results: Sequence[WindowMean], receipt: Receipt) -> None:
        receipt.accepted(results[:1])
        raise PlatformUnreachable("The platform does not answer.")

    fill(ledger, 0, ("A", W1, 1), ("B", W1, 1), ("C", W1, 1))
    sink = RecordingSink(half, down)
    work = delivery(ledger, sink)

    assert work.deliver_due(None, threading.Event()) == 3
    assert [[result.zone for result in call] for call in sink.calls] == [["A", "B", "C"], ["B", "C"], ["B", "C"]]
    assert work.state.failure is None


def test_records_counted_during_a_delivery_make_the_window_due_again(ledger: Ledger) -> None:
    def meanwhile(results: Sequence[WindowMean], receipt: Receipt) -> None:
        fill(ledger, 1, ("A", W1, 5))
        receipt.accepted(results)

    fill(ledger, 0, ("A", W1, 1))
    sink = RecordingSink(meanwhile)
    delivery(ledger, sink).deliver_due(None, threading.Event())

    assert sink.sequence() == [("A", W1, 1), ("A", W1, 6)]


def test_a_result_without_an_answer_is_delivered_again(ledger: Ledger) -> None:
    fill(ledger, 0, ("A", W1, 1), ("B", W1, 1))
    sink = RecordingSink(lambda results, receipt: receipt.accepted(results[:1]))
    delivery(ledger, sink).deliver_due(None, threading.Event())

    assert sink.sequence() == [("A", W1, 1), ("B", W1, 1), ("B", W1, 1)]


def test_a_refused_result_holds_up_nobody_and_is_told(ledger: Ledger) -> None:
    def refuse_a(results: Sequence[WindowMean], receipt: Receipt) -> None:
        receipt.refused(results[:1], "bad name")
        receipt.accepted(results[1:])

    fill(ledger, 0, ("A", W1, 1), ("B", W1, 1))
    reporter = Warnings()
    work = Delivery(ledger, RecordingSink(refuse_a), window_ms=10_000, reporter=reporter)

    assert work.deliver_due(None, threading.Event()) == 1
    assert ledger.due(None, 10) == []
    assert "bad name" in reporter.messages[0]


def test_a_zone_that_always_fails_does_not_keep_the_others_waiting(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moody(results: Sequence[WindowMean], receipt: Receipt) -> None:
        receipt.accepted([result for result in results if result.zone != "A"])
        if any(result.zone == "A" for result in results):
            raise ServerFault("Zone A makes the platform stumble.")

    monkeypatch.setattr("pacifictool.aggregation.delivery.CHUNK", 2)
    fill(ledger, 0, ("A", W1, 1), ("A", W2, 1), ("A", W3, 1), ("B", W3, 1))
    work = delivery(ledger, RecordingSink(*[moody] * 50), give_up_after=0.3)

    with pytest.raises(DeliveryAbandoned):
        work.deliver_due(None, threading.Event())
    assert {window.zone for window in ledger.due(None, 10)} == {"A"}


def test_a_platform_that_names_a_time_is_asked_no_sooner(ledger: Ledger) -> None:
    def busy(results: Sequence[WindowMean], receipt: Receipt) -> None:
        raise RateLimited("Too many requests.", retry_after=1.0)

    fill(ledger, 0, ("A", W1, 1))
    started = time.monotonic()
    delivery(ledger, RecordingSink(busy)).deliver_due(None, threading.Event())

    assert 1.0 <= time.monotonic() - started < 3


def test_giving_up_keeps_the_results_for_the_next_start(ledger: Ledger) -> None:
    fill(ledger, 0, ("A", W1, 1))
    work = delivery(ledger, RecordingSink(*[down] * 50), give_up_after=0.6)
    started = time.monotonic()

    with pytest.raises(DeliveryAbandoned, match="The platform does not answer"):
        work.deliver_due(None, threading.Event())
    assert 0.5 < time.monotonic() - started < 3
    assert len(ledger.due(None, 10)) == 1


def test_a_stop_ends_the_waiting_within_half_a_second(ledger: Ledger) -> None:
    fill(ledger, 0, ("A", W1, 1))
    work = delivery(ledger, RecordingSink(*[down] * 50))
    stop = threading.Event()
    thread = threading.Thread(target=work.deliver_due, args=(None, stop))
    thread.start()
    time.sleep(1.2)
    asked = time.monotonic()
    stop.set()
    thread.join(5)

    assert time.monotonic() - asked < 0.5
    assert work.state.failure == "The platform does not answer."
