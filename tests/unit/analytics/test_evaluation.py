"""Functions are called for due windows, again for corrections, and what they do wrong costs their own windows only."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from py4j.protocol import Py4JError

from pacifictool.analytics import evaluation
from pacifictool.analytics.delivery import Delivery
from pacifictool.analytics.engine.functions import FunctionCall
from pacifictool.analytics.evaluation import FunctionEvaluator
from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.analytics.state.store import BatchOutcome, StateStore
from pacifictool.analytics.windows import PartialAggregate
from pacifictool.errors import AggregationError, CheckpointMismatch, KafkaUnreachable
from pacifictool.functions import Alarm, Result
from pacifictool.tools.backoff import Backoff
from tests.support.functions import InProcessRunner, ListedTopic, SumFunction
from tests.support.recorders import RecordingReporter
from tests.support.scenarios import rules_of

W1, W2, W3 = 10_000, 20_000, 30_000
SUMS = {"name": "sums", "group_by": ["site"], "telemetry": {"total": "sum(temperature)"}}
SCORES = {"name": "scores", "group_by": ["site"], "function": "scoring:score", "lateness": 20}


class Rig:
    """A store, a topic and the function of the analytics "scores"."""

    def __init__(self, folder: Path, function: SumFunction, **scores: Any) -> None:
        self.rules = rules_of(SUMS, {**SCORES, **scores})
        self.topic = ListedTopic(self.rules)
        self.folder = folder
        self.reporter = RecordingReporter()
        self.runner = InProcessRunner(self.topic, {"scores": function})
        self.open()

    def open(self) -> None:
        self.store = StateStore(self.folder / "state.sqlite", self.rules)
        self.store.begin()
        self.evaluator = FunctionEvaluator(
            self.store,
            self.runner,
            self.rules.analytics[1],
            translated=lambda error: KafkaUnreachable(str(error)),
            reporter=self.reporter,
        )

    def count(self, *records: tuple[str, int, float], **more: Any) -> None:
        start = len(self.topic.records)
        self.topic.add(*records)
        self.store.apply(self.topic.batch(start, self.store.closed_until_ms(), **more))

    def close_windows(self, until_ms: int) -> None:
        names = [each.name for each in self.rules.analytics]
        self.store.apply(BatchOutcome((), (), 0, closed_until_ms=dict.fromkeys(names, until_ms)))

    def evaluate(self, until_ms: int | None = None) -> None:
        self.evaluator.evaluate_due(until_ms, threading.Event())

    def deliver(self, until_ms: int | None = None) -> list[tuple[str, int, dict[str, float]]]:
        """What the sink got: entity, window end and values."""
        callback: list[Any] = []

        class RecordingSink:
            target = "here"

            def deliver(self, results: Sequence[Any], to: Any) -> None:
                callback.extend(results)
                to.accepted(results)

        Delivery(self.store, RecordingSink(), self.rules.analytics, reporter=self.reporter).deliver_due(  # type: ignore[arg-type]
            until_ms, threading.Event()
        )
        return [(each.entity, each.window_end_ms, dict(each.values)) for each in callback]


def total(values: Sequence[float], _call: FunctionCall) -> dict[str, float]:
    return {"score": sum(values)}


def called(rig: Rig) -> list[list[tuple[str, int, int]]]:
    return [[(call.group, call.window_end_ms, call.count) for call in run] for run in rig.runner.runs]


def test_a_function_is_called_for_due_windows_once_and_its_results_are_delivered(tmp_path: Path) -> None:
    rig = Rig(tmp_path, total)
    rig.count(("A", 1, 2.0), ("B", 2, 3.0), ("A", 9_999, 4.0), ("A", 10_000, 7.0))
    rig.evaluate(W1)
    rig.evaluate(W1)

    assert called(rig) == [[("A", W1, 2), ("B", W1, 1)]]
    assert rig.deliver(W1) == [
        ("A", W1, {"score": 6.0}), ("B", W1, {"score": 3.0}), ("A", W1, {"total": 6.0}), ("B", W1, {"total": 3.0})
    ]  # fmt: skip
    rig.evaluate()
    assert rig.deliver() == [("A", W2, {"score": 7.0}), ("A", W2, {"total": 7.0})]
    assert rig.store.due_windows() == 0


def test_windows_wait_for_their_function_and_others_do_not(tmp_path: Path) -> None:
    rig = Rig(tmp_path, total)
    rig.count(("A", 1, 2.0))

    assert rig.deliver() == [("A", W1, {"total": 2.0})]
    assert rig.store.due_windows() == 1
    assert rig.store.due(None, 9) == []
    rig.evaluate()
    assert rig.deliver() == [("A", W1, {"score": 2.0})]


def test_a_correction_calls_the_function_again_and_overwrites(tmp_path: Path) -> None:
    rig = Rig(tmp_path, total)
    rig.count(("A", 1, 2.0), ("A", 10_001, 1.0))
    rig.evaluate()
    rig.deliver()
    rig.count(("A", 3, 5.0))
    assert rig.store.due_windows() == 2
    rig.evaluate()

    assert called(rig)[1:] == [[("A", W1, 2)]]
    # The newest results of the entity come last, so that they stay the latest.
    assert rig.deliver() == [
        ("A", W1, {"score": 7.0}), ("A", W1, {"total": 7.0}), ("A", W2, {"score": 1.0}), ("A", W2, {"total": 1.0})
    ]  # fmt: skip
    assert rig.store.counters()["corrections"] == 2


def test_records_that_come_during_a_call_make_the_window_due_again(tmp_path: Path) -> None:
    def meanwhile(values: Sequence[float], call: FunctionCall) -> dict[str, float]:
        if call.count == 1:
            rig.count(("A", 5, 10.0))
        return {"score": sum(values)}

    rig = Rig(tmp_path, meanwhile)
    rig.count(("A", 1, 2.0))
    rig.evaluate()

    assert called(rig) == [[("A", W1, 1)], [("A", W1, 2)]]
    assert ("A", W1, {"score": 12.0}) in rig.deliver()


def test_a_window_has_several_results_none_or_an_alarm(tmp_path: Path) -> None:
    def several(values: Sequence[float], call: FunctionCall) -> list[Any]:
        if call.group == "B":
            return [Alarm("Too high", "MINOR")]
        return [
            Result("A", {"score": 1.0}),
            Result("Sensor 1", {"score": 2.0}, "device"),
            Result("A", {"other": 3.0}),
            Result("Sensor 2", {}, "device"),
        ]

    rig = Rig(tmp_path, several)
    rig.count(("A", 1, 2.0), ("B", 1, 2.0))
    rig.evaluate()

    assert rig.deliver()[:2] == [("A", W1, {"score": 1.0, "other": 3.0}), ("Sensor 1", W1, {"score": 2.0})]
    outcome = rig.store.outcome("scores", "B", W1)
    assert outcome is not None
    assert outcome.alarms == (Alarm("Too high", "MINOR", {}, "B", "asset"),)
    assert rig.store.due_windows() == 0
    # A's and both sums.
    assert rig.store.counters()["posted"] == 3


def test_a_function_that_raises_costs_its_own_window(tmp_path: Path) -> None:
    def fails(values: Sequence[float], call: FunctionCall) -> dict[str, float]:
        if call.group == "A" and call.count == 1:
            raise ValueError(f"only {len(values)} reading")
        return {"score": sum(values)}

    rig = Rig(tmp_path, fails)
    rig.count(("A", 1, 2.0), ("B", 1, 3.0), ("A", 10_001, 2.0))
    rig.evaluate()

    assert [each for each in rig.deliver() if "score" in each[2]] == [("B", W1, {"score": 3.0})]
    assert rig.store.due_windows() == 0
    assert rig.store.counters()["function_failures"] == 2
    failures = rig.store.function_failures(newest=9)
    assert [(each.group, each.window_end_ms, each.failure) for each in failures] == [
        ("A", W2, "scoring:score raised ValueError: only 1 reading"),
        ("A", W1, "scoring:score raised ValueError: only 1 reading"),
    ]
    assert "in fails" in (failures[0].traceback or "")
    # One warning of this kind.
    assert len(rig.reporter.warnings) == 1
    assert "scores: no results of 'A' for the window that ended at 1970-01-01T00:00:10Z" in rig.reporter.warnings[0]
    # More records call it again.
    rig.count(("A", 2, 4.0))
    rig.evaluate()
    assert ("A", W1, {"score": 6.0}) in rig.deliver()


def test_the_windows_of_a_group_get_the_results_before_them_in_order(tmp_path: Path) -> None:
    def with_history(values: Sequence[float], call: FunctionCall) -> dict[str, float]:
        return {"score": sum(values), "before": float(len(call.history))}

    rig = Rig(tmp_path, with_history, history=2)
    rig.count(*(("A", number * 10_000, float(number)) for number in range(5)), ("B", 15_000, 9.0))
    rig.evaluate(W3)
    rig.evaluate()

    assert [[call[:2] for call in run] for run in called(rig)] == [
        [("A", W1), ("B", W2)], [("A", W2)], [("A", W3)], [("A", 40_000)], [("A", 50_000)]
    ]  # fmt: skip
    last = rig.runner.runs[-1][0]
    assert [(end, values["score"]) for end, values in last.history] == [(W3, 2.0), (40_000, 3.0)]


def test_calls_are_made_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "MOST_RECORDS", 3)
    rig = Rig(tmp_path, total)
    rig.count(*((group, 1, 1.0) for group in "AABBCDEF"))
    rig.evaluate()

    assert [[call[0] for call in run] for run in called(rig)] == [["A"], ["B", "C"], ["D", "E", "F"]]
    monkeypatch.setattr(evaluation, "MOST_CALLS", 2)
    rig.count(*((group, 10_001, 1.0) for group in "ABC"))
    rig.evaluate()
    assert [[call[0] for call in run] for run in called(rig)[3:]] == [["A", "B"], ["C"]]


def test_fewer_calls_are_made_at_once_when_they_take_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("pacifictool.analytics.evaluation.time.monotonic", lambda: clock[0])

    def slow(values: Sequence[float], _call: FunctionCall) -> dict[str, float]:
        clock[0] += evaluation.LONGEST_SECONDS / 2
        return {"score": sum(values)}

    rig = Rig(tmp_path, slow)
    rig.count(*((group, 1, 1.0) for group in "ABCDEF"))
    rig.evaluate()
    rig.count(*((group, 10_001, 1.0) for group in "ABCDEF"))
    rig.evaluate()

    assert [len(run) for run in called(rig)] == [6, 2, 2, 2]


def test_an_outage_is_waited_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "_BACKOFF", Backoff(0.01, 0.01))
    rig = Rig(tmp_path, total)
    rig.count(("A", 1, 2.0))
    rig.runner.errors = [Py4JError("timeout"), KafkaUnreachable("down")]
    rig.evaluate()

    assert len(rig.runner.runs) == 3
    assert ("A", W1, {"score": 2.0}) in rig.deliver()


def test_what_waiting_does_not_fix_ends_the_job(tmp_path: Path) -> None:
    rig = Rig(tmp_path, total)
    rig.count(("A", 1, 2.0))
    rig.runner.errors = [AggregationError("Spark failed.")]

    with pytest.raises(AggregationError):
        rig.evaluate()
    assert rig.store.due_windows() == 2


def test_windows_whose_records_are_gone_have_no_results_and_others_do(tmp_path: Path) -> None:
    rig = Rig(tmp_path, total)
    rig.count(("A", 1, 2.0), ("A", 10_001, 3.0))
    rig.runner.errors = [CheckpointMismatch("gone"), CheckpointMismatch("gone")]
    rig.evaluate()

    assert [each for each in rig.deliver() if "score" in each[2]] == [("A", W2, {"score": 3.0})]
    assert "no longer holds the records" in rig.store.function_failures(newest=1)[0].failure
    assert rig.store.due_windows() == 0


def test_results_that_cannot_be_kept_are_a_failure(tmp_path: Path) -> None:
    rig = Rig(tmp_path, lambda _values, _call: [Alarm("Too high", details={"at": object()})])
    rig.count(("A", 1, 2.0))
    rig.evaluate()

    assert "cannot be kept" in rig.store.function_failures(newest=1)[0].failure


def test_after_a_stop_nothing_more_is_called(tmp_path: Path) -> None:
    stop = threading.Event()

    def stopping(values: Sequence[float], call: FunctionCall) -> dict[str, float]:
        stop.set()
        return {"score": sum(values)}

    rig = Rig(tmp_path, stopping, history=1)
    rig.count(("A", 1, 2.0), ("A", 10_001, 2.0))
    rig.evaluator.evaluate_due(None, stop)

    assert len(rig.runner.runs) == 1


# --- what is kept ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("history", "kept"), [(0, []), (2, [40_000, 50_000])])
def test_outcomes_are_forgotten_with_their_windows_except_the_last_ones(
    tmp_path: Path, history: int, kept: list[int]
) -> None:
    rig = Rig(tmp_path, total, history=history)
    rig.count(*(("A", number * 10_000, 1.0) for number in range(5)))
    rig.evaluate()
    rig.close_windows(50_000)
    assert rig.store._query("SELECT count(*) FROM outcomes") == [(5,)]
    # Alarms are derived from them, too, before they are forgotten.
    rig.deliver()
    rig.store._query("UPDATE windows SET alarmed = evaluated")
    rig.store.forget_closed()

    assert [end for (end,) in rig.store._query("SELECT window_end FROM outcomes ORDER BY window_end")] == kept
    assert rig.store._query("SELECT count(*) FROM windows") == [(0,)]
    assert rig.store._query("SELECT count(*) FROM window_offsets") == [(0,)]


def test_outcomes_survive_a_restart_and_are_delivered_then(tmp_path: Path) -> None:
    rig = Rig(tmp_path, total)
    rig.count(("A", 1, 2.5))
    rig.evaluate()
    rig.store.close()
    rig.open()
    rig.evaluate()

    assert len(rig.runner.runs) == 1
    assert ("A", W1, {"score": 2.5}) in rig.deliver()
    assert rig.store.function_keys("scores") == ["score"]


def test_a_store_whose_windows_no_function_was_called_for_calls_it(tmp_path: Path) -> None:
    rig = Rig(tmp_path, total)
    rig.count(("A", 1, 2.5))
    # As an earlier version left it, which took a window without results for delivered.
    rig.store._query(
        "UPDATE windows SET evaluated = NULL, alarmed = NULL, delivered = count WHERE analytics = 'scores'"
    )
    rig.store.close()
    rig.open()
    rig.evaluate()

    assert ("A", W1, {"score": 2.5}) in rig.deliver()


def test_only_the_newest_failures_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pacifictool.analytics.state.outcome_store.KEPT_FAILURES", 2)
    rig = Rig(tmp_path, lambda _values, call: 1 / 0)
    rig.count(*((group, 1, 1.0) for group in "ABCD"))
    rig.evaluate()

    assert [each.group for each in rig.store.function_failures(newest=9)] == ["D", "C"]
    assert rig.store.counters()["function_failures"] == 4


# --- several entities in one window ----------------------------------------------------------------------------------


def test_after_a_correction_the_newest_values_of_each_entity_and_key_come_last(tmp_path: Path) -> None:
    """Sensor 1 has results in the windows 1 and 2, Sensor 2 in 1 and 3; of Sensor 1 the window 2 has one key less."""

    def by_device(values: Sequence[float], call: FunctionCall) -> list[Any]:
        found = {
            W1: [Result("Sensor 1", {"a": 1.0, "b": 1.0}, "device"), Result("Sensor 2", {"a": 1.0}, "device")],
            W2: [Result("Sensor 1", {"a": 2.0}, "device")],
            W3: [Result("Sensor 2", {"a": 3.0}, "device")],
        }
        return found[call.window_end_ms]

    rig = Rig(tmp_path, by_device)
    rig.count(("A", 1, 1.0), ("A", 10_001, 1.0), ("A", 20_001, 1.0))
    rig.evaluate()
    rig.deliver()
    rig.count(("A", 2, 1.0))
    rig.evaluate()

    assert [each for each in rig.deliver() if each[0] != "A"] == [
        ("Sensor 1", W1, {"a": 1.0, "b": 1.0}),
        ("Sensor 2", W1, {"a": 1.0}),
        ("Sensor 1", W2, {"a": 2.0}),
        ("Sensor 2", W3, {"a": 3.0}),
    ]


def test_a_window_is_delivered_when_all_of_its_results_are_accepted_or_refused(tmp_path: Path) -> None:
    rig = Rig(tmp_path, lambda _values, _call: [Result("A", {"score": 1.0}), Result("x" * 300, {"score": 2.0})])
    rig.count(("A", 1, 2.0))
    rig.evaluate()
    from pacifictool.analytics.delivered import DueWindow, StoreCallback

    (window,) = [each for each in rig.store.due(None, 9) if each.analytics == "scores"]
    delivery = Delivery(rig.store, None, rig.rules.analytics, reporter=rig.reporter)  # type: ignore[arg-type]
    results = delivery._results(window)
    callback = StoreCallback(rig.store, [DueWindow(window, results)], [])
    callback.accepted(results[:1])
    assert callback.open == 1
    assert [each.analytics for each in rig.store.due(None, 9)] == ["scores", "sums"]
    callback.refused(results[1:], "too long")

    assert callback.open == 0
    assert [each.analytics for each in rig.store.due(None, 9)] == ["sums"]
    assert rig.store.refusal("scores", "A", W1) == f"{'x' * 300}: too long"
    assert rig.store.counters()["refused"] == 1


def test_windows_without_offsets_have_no_results(tmp_path: Path) -> None:
    rig = Rig(tmp_path, total)
    rig.store.apply(BatchOutcome((OffsetRange(0, 0, 1),), [PartialAggregate("scores", "A", W1, 1, b"")], 1))
    rig.evaluate()

    assert rig.runner.runs == []
    assert rig.store.counters()["function_failures"] == 1
