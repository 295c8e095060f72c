from __future__ import annotations

import random
import struct
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pacifictool.analytics.delivery import Delivery
from pacifictool.analytics.sinks.base import DeliveryCallback, Sink
from pacifictool.analytics.state.store import BatchOutcome, StateStore
from pacifictool.analytics.windows import UNITS, PartialAggregate, WindowResult
from pacifictool.errors import DeliveryAbandoned, PlatformUnreachable, RateLimited, ServerFault
from pacifictool.progress import SILENT
from pacifictool.tools.backoff import Backoff
from tests.support.recorders import RecordingReporter
from tests.support.scenarios import mean_rules, partial, rules_of, window_result
from tests.support.waiting import SOON_SECONDS, wait_until

W1, W2, W3 = 10_000, 20_000, 30_000
RULES = mean_rules()

Behaviour = Callable[[Sequence[WindowResult], DeliveryCallback], None]


class RecordingSink(Sink):
    name = "recording"
    target = "recording"

    def __init__(self, *behaviours: Behaviour) -> None:
        self.behaviours = list(behaviours)
        self.calls: list[list[WindowResult]] = []

    def deliver(self, results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        self.calls.append(list(results))
        if self.behaviours:
            self.behaviours.pop(0)(results, callback)
        else:
            callback.accepted(results)

    def sequence(self) -> list[tuple[str, int, int]]:
        return [(result.entity, result.window_end_ms, result.count) for call in self.calls for result in call]


def down(results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
    raise PlatformUnreachable("The platform does not respond.")


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    return StateStore(tmp_path / "state.sqlite", RULES)


def fill(store: StateStore, *windows: tuple[str, int, int]) -> None:
    parts = [partial(zone, end, count, count * 3 * UNITS) for zone, end, count in windows]
    store.apply(BatchOutcome((), parts, valid=sum(part.count for part in parts)))


def delivery(store: StateStore, sink: Sink, *, give_up_after: float | None = None) -> Delivery:
    return Delivery(
        store, sink, RULES.analytics, reporter=SILENT, give_up_after=give_up_after, jitter=lambda: 0.0
    )  # fmt: skip


def test_closed_windows_are_delivered_in_time_order_and_once(store: StateStore) -> None:
    fill(store, ("A", W2, 2), ("A", W1, 4), ("B", W1, 1), ("A", W3, 1))
    sink = RecordingSink()
    work = delivery(store, sink)

    assert work.deliver_due(W2, threading.Event()) == 3
    assert work.deliver_due(W2, threading.Event()) == 0
    assert sink.sequence() == [("A", W1, 4), ("B", W1, 1), ("A", W2, 2)]
    assert sink.calls[0][0] == window_result("A", W1, 3.0)


def test_after_a_correction_the_newest_window_is_posted_again_last(store: StateStore) -> None:
    fill(store, ("A", W1, 2), ("A", W2, 2), ("B", W1, 1))
    sink = RecordingSink()
    work = delivery(store, sink)
    work.deliver_due(W2, threading.Event())
    sink.calls.clear()
    fill(store, ("A", W1, 1))

    assert work.deliver_due(W2, threading.Event()) == 1
    assert sink.sequence() == [("A", W1, 3), ("A", W2, 2)]
    assert store.counters()["corrections"] == 1


def test_a_correction_is_done_only_with_the_newest_window_behind_it(store: StateStore) -> None:
    def interrupted(results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        callback.accepted(results[:1])
        raise PlatformUnreachable("The session ended.")

    fill(store, ("A", W1, 2), ("A", W2, 2))
    sink = RecordingSink()
    work = delivery(store, sink)
    work.deliver_due(W2, threading.Event())
    sink.calls.clear()
    sink.behaviours.append(interrupted)
    fill(store, ("A", W1, 1))

    assert work.deliver_due(W2, threading.Event()) == 1
    assert sink.sequence() == [("A", W1, 3), ("A", W2, 2)] * 2


def test_a_late_record_for_a_window_that_was_never_posted_also_keeps_the_latest_latest(store: StateStore) -> None:
    fill(store, ("A", W3, 2))
    sink = RecordingSink()
    work = delivery(store, sink)
    work.deliver_due(None, threading.Event())
    sink.calls.clear()
    fill(store, ("A", W1, 1))
    work.deliver_due(None, threading.Event())

    assert sink.sequence() == [("A", W1, 1), ("A", W3, 2)]


def test_after_an_outage_only_what_was_not_acknowledged_is_delivered_again(store: StateStore) -> None:
    def half(results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        callback.accepted(results[:1])
        raise PlatformUnreachable("The platform does not respond.")

    fill(store, ("A", W1, 1), ("B", W1, 1), ("C", W1, 1))
    sink = RecordingSink(half, down)
    work = delivery(store, sink)

    assert work.deliver_due(None, threading.Event()) == 3
    assert [[result.entity for result in call] for call in sink.calls] == [["A", "B", "C"], ["B", "C"], ["B", "C"]]
    assert work.failure is None


def test_records_counted_during_a_delivery_make_the_window_due_again(store: StateStore) -> None:
    def meanwhile(results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        fill(store, ("A", W1, 5))
        callback.accepted(results)

    fill(store, ("A", W1, 1))
    sink = RecordingSink(meanwhile)
    delivery(store, sink).deliver_due(None, threading.Event())

    assert sink.sequence() == [("A", W1, 1), ("A", W1, 6)]


def test_a_result_without_a_response_is_delivered_again(store: StateStore) -> None:
    fill(store, ("A", W1, 1), ("B", W1, 1))
    sink = RecordingSink(lambda results, callback: callback.accepted(results[:1]))
    delivery(store, sink).deliver_due(None, threading.Event())

    assert sink.sequence() == [("A", W1, 1), ("B", W1, 1), ("B", W1, 1)]


def test_a_refused_result_holds_up_nobody_and_is_reported(store: StateStore) -> None:
    def refuse_a(results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        callback.refused(results[:1], "bad name")
        callback.accepted(results[1:])

    fill(store, ("A", W1, 1), ("B", W1, 1))
    reporter = RecordingReporter()
    work = Delivery(store, RecordingSink(refuse_a), RULES.analytics, reporter=reporter)

    assert work.deliver_due(None, threading.Event()) == 1
    assert store.due(None, 10) == []
    assert "bad name" in reporter.warnings[0]


def test_a_zone_that_always_fails_does_not_keep_the_others_waiting(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moody(results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        callback.accepted([result for result in results if result.entity != "A"])
        if any(result.entity == "A" for result in results):
            raise ServerFault("Zone A makes the platform stumble.")

    monkeypatch.setattr("pacifictool.analytics.delivery.CHUNK", 2)
    fill(store, ("A", W1, 1), ("A", W2, 1), ("A", W3, 1), ("B", W3, 1))
    work = delivery(store, RecordingSink(*[moody] * 50), give_up_after=0.3)

    with pytest.raises(DeliveryAbandoned):
        work.deliver_due(None, threading.Event())
    assert {window.group for window in store.due(None, 10)} == {"A"}


def test_a_platform_that_names_a_time_is_asked_no_sooner(store: StateStore) -> None:
    def busy(results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        raise RateLimited("Too many requests.", retry_after=1.0)

    fill(store, ("A", W1, 1))
    started = time.monotonic()
    delivery(store, RecordingSink(busy)).deliver_due(None, threading.Event())

    assert 1.0 <= time.monotonic() - started < SOON_SECONDS


def test_giving_up_keeps_the_results_for_the_next_start(store: StateStore) -> None:
    fill(store, ("A", W1, 1))
    work = delivery(store, RecordingSink(*[down] * 50), give_up_after=0.6)
    started = time.monotonic()

    with pytest.raises(DeliveryAbandoned, match="The platform does not respond"):
        work.deliver_due(None, threading.Event())
    assert 0.5 < time.monotonic() - started < SOON_SECONDS
    assert len(store.due(None, 10)) == 1


def test_a_stop_ends_the_waiting(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacifictool.analytics.retrying._BACKOFF", Backoff(1000.0, 1000.0))
    fill(store, ("A", W1, 1))
    work = delivery(store, RecordingSink(*[down] * 50))
    stop = threading.Event()
    thread = threading.Thread(target=work.deliver_due, args=(None, stop))
    thread.start()
    wait_until(lambda: work.failure)
    stop.set()
    thread.join(SOON_SECONDS)

    assert not thread.is_alive()
    assert work.failure == "The platform does not respond."


# --- results that the records do not define --------------------------------------------------------------------------

METERS = rules_of({"group_by": ["site"], "telemetry": {"use": "rate(temperature)", "highest": "max(temperature)"}})
RATES = rules_of({"group_by": ["site"], "telemetry": {"use": "rate(temperature)"}})


def metered(store: StateStore, *windows: tuple[int, int], highest: bool = False) -> None:
    """Readings of 3, 6, 9, … at 0 s, 1 s, 2 s of windows given by their ends and numbers of readings."""
    parts = []
    for end, count in windows:
        first = (end - 10_000, 0, 0, 3 * UNITS)
        last = (end - 10_000 + 1000 * (count - 1), 0, count, 3 * count * UNITS)
        state = struct.pack(">8q", *first, *last)
        if highest:
            state += struct.pack(">2q", 3 * UNITS, 3 * count * UNITS)
        parts.append(PartialAggregate("a1", "North", end, count, state))
    store.apply(BatchOutcome((), parts, valid=sum(part.count for part in parts)))


@pytest.fixture
def rates(tmp_path: Path) -> StateStore:
    return StateStore(tmp_path / "rates.sqlite", RATES)


def test_a_window_without_any_result_is_done_and_not_posted(rates: StateStore) -> None:
    metered(rates, (W1, 1), (W2, 3))
    sink = RecordingSink()
    work = Delivery(rates, sink, RATES.analytics, reporter=SILENT)
    work.deliver_due(None, threading.Event())

    assert sink.sequence() == [("North", W2, 3)]
    assert sink.calls[0][0].values == {"use": 3.0}
    assert rates.due_windows() == 0
    assert (work.posted, rates.counters()["posted"], len(work.last_posted)) == (1, 1, 1)


def test_windows_that_are_done_without_being_posted_are_forgotten_like_others(rates: StateStore) -> None:
    metered(rates, (W1, 1))
    rates.apply(BatchOutcome((), (), 0, closed_until_ms={"a1": W1}))
    Delivery(rates, RecordingSink(), RATES.analytics, reporter=SILENT).deliver_due(None, threading.Event())
    assert rates.window("a1", "North", W1) is None

    metered(rates, (W2, 2))
    rates.apply(BatchOutcome((), (), 0, closed_until_ms={"a1": W2}))
    refusing = RecordingSink(lambda results, callback: callback.refused(results, "bad name"))
    Delivery(rates, refusing, RATES.analytics, reporter=SILENT).deliver_due(None, threading.Event())
    assert rates.window("a1", "North", W2) is None
    assert rates.refusal("a1", "North", W2) == "bad name"


def test_a_correction_does_not_wait_for_a_newest_window_that_has_no_result(rates: StateStore) -> None:
    metered(rates, (W1, 2), (W2, 2), (W3, 1))
    sink = RecordingSink()
    work = Delivery(rates, sink, RATES.analytics, reporter=SILENT, give_up_after=0.1)
    work.deliver_due(None, threading.Event())
    sink.calls.clear()
    metered(rates, (W1, 3))
    work.deliver_due(None, threading.Event())

    # The newest window that has a value is what the platform is to show as latest.
    assert sink.sequence() == [("North", W1, 5), ("North", W2, 2)]


def test_after_a_correction_the_newest_value_of_each_key_is_posted_again(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "meters.sqlite", METERS)
    metered(store, (W1, 2), (W2, 2), (W3, 1), highest=True)
    sink = RecordingSink()
    work = Delivery(store, sink, METERS.analytics, reporter=SILENT, give_up_after=0.1)
    work.deliver_due(None, threading.Event())
    assert [set(result.values) for result in sink.calls[0]] == [{"use", "highest"}, {"use", "highest"}, {"highest"}]
    sink.calls.clear()
    metered(store, (W1, 3), highest=True)
    work.deliver_due(None, threading.Event())

    assert sink.sequence() == [("North", W1, 5), ("North", W2, 2), ("North", W3, 1)]


def test_the_newest_value_of_each_key_is_written_last_whatever_else_is_due(tmp_path: Path) -> None:
    """The window 3 has no rate, so that the one of the window 2 is the newest although 3 is posted, too."""
    store = StateStore(tmp_path / "meters.sqlite", METERS)
    metered(store, (W1, 2), (W2, 2), highest=True)
    sink = RecordingSink()
    work = Delivery(store, sink, METERS.analytics, reporter=SILENT, give_up_after=0.1)
    work.deliver_due(None, threading.Event())
    sink.calls.clear()
    metered(store, (W1, 3), (W3, 1), highest=True)
    work.deliver_due(None, threading.Event())

    assert sink.sequence() == [("North", W1, 5), ("North", W2, 2), ("North", W3, 1)]


@pytest.mark.parametrize("seed", range(30))
def test_the_value_that_was_written_last_is_the_newest_of_its_key(tmp_path: Path, seed: int) -> None:
    """Windows come in any order, some without a rate; what a platform calls latest is right after every delivery."""
    random_ = random.Random(seed)
    store = StateStore(tmp_path / "meters.sqlite", METERS)
    sink = RecordingSink()
    work = Delivery(store, sink, METERS.analytics, reporter=SILENT, give_up_after=0.1)
    latest: dict[str, int] = {}
    newest: dict[str, int] = {}
    for _ in range(12):
        for _ in range(random_.randint(1, 3)):
            metered(store, (random_.randint(1, 8) * 10_000, random_.choice([1, 1, 2])), highest=True)
        work.deliver_due(None, threading.Event())
        for result in (result for call in sink.calls for result in call):
            latest |= dict.fromkeys(result.values, result.window_end_ms)
            for key in result.values:
                newest[key] = max(newest.get(key, 0), result.window_end_ms)
        sink.calls.clear()
        assert latest == newest
