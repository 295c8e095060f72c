"""Alarms follow the windows of their groups: raised, changed and cleared once, whatever happens in between."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pacifictool.analytics.alarm_delivery import AlarmDelivery
from pacifictool.analytics.engine.functions import FunctionCall
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.evaluation import FunctionEvaluator
from pacifictool.analytics.state.store import BatchOutcome, StateStore
from pacifictool.errors import DeliveryAbandoned, InvalidRequest, PlatformUnreachable, ServerFault
from pacifictool.functions import Alarm
from tests.support.alarm_platform import AlarmPlatform
from tests.support.functions import InProcessRunner, ListedTopic, SumFunction
from tests.support.recorders import RecordingReporter
from tests.support.scenarios import rules_of

W1, W2, W3, W4, W5 = 10_000, 20_000, 30_000, 40_000, 50_000
SITES = {"name": "sites", "group_by": ["site"], "telemetry": {"total": "sum(temperature)", "n": "count(temperature)"}}
SCORES = {"name": "scores", "group_by": ["site"], "function": "scoring:score"}
HIGH = {"type": "High", "analytics": "sites", "when": "total > 10", "severity": "MAJOR"}


class Rig:
    """A store, and a platform that remembers alarms."""

    def __init__(
        self, folder: Path, *alarms: dict[str, Any], function: SumFunction | None = None, **sites: Any
    ) -> None:
        self.folder = folder
        self.platform = AlarmPlatform()
        self.reporter = RecordingReporter()
        self.function = function
        self.sites = sites
        self.open(*alarms)
        self.topic = ListedTopic(self.rules)

    def rules_for(self, alarms: Sequence[dict[str, Any]]) -> RecordRules:
        analytics = [{**SITES, **self.sites}] + ([SCORES] if self.function is not None else [])
        return rules_of(*analytics, alarms=alarms)

    def open(self, *alarms: dict[str, Any], **options: Any) -> None:
        self.rules = self.rules_for(alarms)
        self.store = StateStore(self.folder / "state.sqlite", self.rules)
        self.store.begin()
        self.work = AlarmDelivery(
            self.store, self.platform, self.rules, reporter=self.reporter, jitter=lambda: 1.0, **options
        )

    def restart(self, *alarms: dict[str, Any], **options: Any) -> None:
        self.store.close()
        self.open(*alarms, **options)

    def count(self, *records: tuple[str, int, float], **more: Any) -> None:
        start = len(self.topic.records)
        self.topic.add(*records)
        self.store.apply(self.topic.batch(start, self.store.closed_until_ms(), **more))

    def evaluate(self) -> None:
        assert self.function is not None
        runner = InProcessRunner(self.topic, {"scores": self.function})
        FunctionEvaluator(
            self.store, runner, self.rules.analytics[1], translated=lambda error: error, reporter=self.reporter
        ).evaluate_due(None, threading.Event())

    def deliver(self, until_ms: int | None = None) -> dict[tuple[str, str], str]:
        """Severity of the active alarms by entity and type."""
        self.work.deliver_due(until_ms, threading.Event())
        return {(entity, name): severity for (_, entity, name), severity in self.platform.active.items()}

    def close_windows(self, until_ms: int) -> None:
        names = [each.name for each in self.rules.analytics]
        self.store.apply(BatchOutcome((), (), 0, closed_until_ms=dict.fromkeys(names, until_ms)))


def test_an_alarm_is_raised_once_and_cleared_when_the_condition_has_ended(tmp_path: Path) -> None:
    rig = Rig(tmp_path, HIGH)
    rig.count(("A", 1, 11.0), ("B", 1, 9.0), ("A", 10_001, 12.0), ("A", 20_001, 1.0))

    assert rig.deliver(W1) == {("A", "High"): "MAJOR"}
    (alarm,) = rig.platform.alarms
    assert (alarm.start_ms, alarm.end_ms) == (W1, W1)
    assert alarm.details == {
        "analytics": "sites",
        "condition": "total > 10",
        "windowStart": "1970-01-01T00:00:00Z",
        "windowEnd": "1970-01-01T00:00:10Z",
        "values": {"total": 11.0, "n": 1},
    }
    assert rig.deliver(W2) == {("A", "High"): "MAJOR"}
    assert rig.deliver(W3) == {}
    assert [what for what, _ in rig.platform.calls] == ["raise", "clear"]
    counters = rig.store.counters()
    assert (counters["alarms_raised"], counters["alarms_cleared"]) == (1, 1)
    # Nothing is left of it.
    assert rig.store._query("SELECT * FROM alarms") == []


def test_only_complete_windows_count(tmp_path: Path) -> None:
    rig = Rig(tmp_path, HIGH)
    rig.count(("A", 1, 11.0))

    assert rig.deliver(W1 - 1) == {}
    assert rig.deliver(W1) == {("A", "High"): "MAJOR"}


def test_a_group_that_falls_silent_keeps_its_alarm(tmp_path: Path) -> None:
    rig = Rig(tmp_path, HIGH)
    rig.count(("A", 1, 11.0))
    rig.deliver()
    rig.count(("B", 40_001, 1.0))
    rig.close_windows(W5)
    assert rig.deliver() == {("A", "High"): "MAJOR"}
    rig.restart(HIGH)
    assert rig.deliver() == {("A", "High"): "MAJOR"}

    # The same run goes on, however long the silence was.
    rig.count(("A", 90_001, 15.0))
    rig.deliver()
    assert [what for what, _ in rig.platform.calls] == ["raise"]
    rig.count(("A", 100_001, 1.0))
    assert rig.deliver() == {}


def test_a_condition_must_hold_in_a_share_of_the_last_windows(tmp_path: Path) -> None:
    rig = Rig(tmp_path, {**HIGH, "holds": {"windows": 4, "share": 0.75}})
    seen = []
    for number, value in enumerate([11, 11, 1, 11, 1, 11, 11, 11]):
        rig.count(("A", number * 10_000, float(value)))
        seen.append(bool(rig.deliver()))
    # 11 11 1 11 are three of four; then two, two, three and three.
    assert seen == [False, False, False, True, False, False, True, True]
    starts = [each.start_ms for each in rig.platform.alarms]
    assert starts == [W4, 70_000]


def test_a_window_without_records_is_one_in_which_the_condition_is_not_true(tmp_path: Path) -> None:
    rig = Rig(tmp_path, {**HIGH, "holds": {"windows": 3}})
    rig.count(("A", 1, 11.0), ("A", 10_001, 11.0), ("A", 30_001, 11.0))
    assert rig.deliver() == {}
    rig.count(("A", 40_001, 11.0), ("A", 50_001, 11.0))
    assert rig.deliver() == {("A", "High"): "MAJOR"}


def test_several_of_one_type_are_one_alarm_of_the_most_urgent(tmp_path: Path) -> None:
    rig = Rig(tmp_path, HIGH, {**HIGH, "when": "total > 100", "severity": "CRITICAL"})
    rig.count(("A", 1, 11.0))
    assert rig.deliver() == {("A", "High"): "MAJOR"}
    rig.count(("A", 10_001, 111.0))
    assert rig.deliver() == {("A", "High"): "CRITICAL"}
    assert rig.platform.alarms[0].details["condition"] == "total > 100"
    rig.count(("A", 20_001, 11.0))
    assert rig.deliver() == {("A", "High"): "MAJOR"}
    # One alarm all along, of one run.
    assert len(rig.platform.alarms) == 1
    assert rig.platform.alarms[0].start_ms == W1
    assert rig.store.counters()["alarms_raised"] == 1


def test_late_records_raise_and_clear(tmp_path: Path) -> None:
    rig = Rig(tmp_path, {**HIGH, "holds": {"windows": 2}}, {**HIGH, "type": "Low", "when": "total < 5"})
    rig.count(("A", 1, 11.0), ("A", 10_001, 2.0), ("A", 20_001, 12.0))
    assert rig.deliver() == {}
    rig.count(("A", 10_002, 9.0))
    assert rig.deliver() == {("A", "High"): "MAJOR"}
    assert rig.platform.alarms[0].start_ms == W2
    rig.count(("A", 20_002, -9.0))
    assert rig.deliver() == {("A", "Low"): "MAJOR"}


def test_an_older_window_that_comes_late_decides_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path, HIGH)
    rig.count(("A", 10_001, 1.0))
    rig.deliver()
    rig.count(("A", 1, 11.0))
    assert rig.deliver() == {}
    assert rig.platform.calls == []


def test_windows_without_results_decide_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path, {**HIGH, "when": "use < 5"}, telemetry={"use": "rate(temperature)"})
    # The state of a rate holds first and last.
    import struct

    from pacifictool.analytics.windows import UNITS, PartialAggregate

    def state(*values: int) -> bytes:
        return struct.pack(">8q", 0, 0, 0, values[0] * UNITS, 1000 * (len(values) - 1), 0, 1, values[-1] * UNITS)

    def add(end: int, *values: int) -> None:
        part = PartialAggregate("sites", "A", end, len(values), state(*values))
        rig.store.apply(BatchOutcome((), [part], len(values)))

    add(W1, 1, 2)
    assert rig.deliver() == {("A", "High"): "MAJOR"}
    add(W2, 7)
    assert rig.deliver() == {("A", "High"): "MAJOR"}
    add(W3, 1, 9)
    assert rig.deliver() == {}


# --- functions -------------------------------------------------------------------------------------------------------


def scoring(values: Sequence[float], call: FunctionCall) -> Any:
    """Raises, fails or gives a score, as the sum of the values says."""
    score = sum(values)
    if score == 13:
        raise ValueError("unlucky")
    if score > 100:
        return [Alarm("Odd", "CRITICAL", {"score": score}), Alarm("Odd", "MINOR")]
    if score > 10:
        return [Alarm("Odd", details={"score": score}), Alarm("Odd", entity="Sensor 1", kind="device")]
    return {"score": score} if score else {}


def test_a_functions_alarms_are_active_while_its_newest_outcome_has_them(tmp_path: Path) -> None:
    rig = Rig(tmp_path, function=scoring)
    for end, (value, wanted) in enumerate(
        [
            (11, {("A", "Odd"): "MAJOR", ("Sensor 1", "Odd"): "MAJOR"}),
            (111, {("A", "Odd"): "CRITICAL"}),
            (13, {("A", "Odd"): "CRITICAL"}),  # a failure decides nothing
            (1, {}),
            (12, {("A", "Odd"): "MAJOR", ("Sensor 1", "Odd"): "MAJOR"}),
            (0, {}),  # nothing at all is an outcome, too
        ]
    ):
        rig.count(("A", end * 10_000, float(value)))
        rig.evaluate()
        assert rig.deliver() == wanted, value
    assert rig.platform.alarms[0].details["score"] == 111
    assert rig.platform.alarms[0].details["analytics"] == "scores"
    assert {each.place[0] for each in rig.platform.alarms} == {"asset", "device"}


def test_a_correction_that_fails_gives_the_decision_back_to_the_window_before(tmp_path: Path) -> None:
    rig = Rig(tmp_path, function=scoring)
    rig.count(("A", 1, 1.0), ("A", 10_001, 11.0))
    rig.evaluate()
    assert set(rig.deliver()) == {("A", "Odd"), ("Sensor 1", "Odd")}
    rig.count(("A", 10_002, 2.0))
    rig.evaluate()
    assert rig.deliver() == {}


def test_conditions_on_what_a_function_gives(tmp_path: Path) -> None:
    rig = Rig(tmp_path, {**HIGH, "analytics": "scores", "when": "score > 5"}, function=scoring)
    for number, (value, active) in enumerate([(6, True), (13, True), (0, True), (2, False)]):
        rig.count(("A", number * 10_000, float(value)))
        rig.evaluate()
        # Neither a failure nor an outcome without results decides about a condition on results.
        assert bool(rig.deliver()) is active, value


def test_two_that_raise_one_type_on_one_entity_are_one_alarm(tmp_path: Path) -> None:
    rig = Rig(tmp_path, {**HIGH, "type": "Odd", "when": "total == 11.0", "severity": "WARNING"}, function=scoring)
    rig.count(("A", 1, 11.0))
    rig.evaluate()
    assert rig.deliver()[("A", "Odd")] == "MAJOR"
    assert len([each for each in rig.platform.alarms if each.place[1] == "A"]) == 1
    rig.count(("A", 10_001, 111.0))
    rig.evaluate()
    assert rig.deliver() == {("A", "Odd"): "CRITICAL"}
    rig.count(("A", 20_001, 1.0))
    rig.evaluate()
    assert rig.deliver() == {}


def test_with_a_gateway_alarms_are_of_devices(tmp_path: Path) -> None:
    rig = Rig(tmp_path, HIGH, function=scoring)
    rig.restart(HIGH, devices_only=True)
    rig.count(("A", 1, 11.0))
    rig.evaluate()
    rig.deliver()
    assert {each.place for each in rig.platform.alarms} == {
        ("device", "A", "High"), ("device", "A", "Odd"), ("device", "Sensor 1", "Odd")
    }  # fmt: skip


# --- what changes between two runs -----------------------------------------------------------------------------------


def test_another_threshold_holds_from_the_next_start_on(tmp_path: Path) -> None:
    rig = Rig(tmp_path, {**HIGH, "holds": {"windows": 2}})
    rig.count(("A", 1, 11.0), ("A", 10_001, 11.0))
    assert rig.deliver() == {("A", "High"): "MAJOR"}
    rig.restart({**HIGH, "holds": {"windows": 2}, "when": "total > 20"})
    assert rig.deliver() == {}
    rig.restart({**HIGH, "holds": {"windows": 2}, "when": "total > 5", "severity": "MINOR"})
    assert rig.deliver() == {("A", "High"): "MINOR"}


def test_an_alarm_that_is_no_longer_in_the_scenario_is_cleared(tmp_path: Path) -> None:
    rig = Rig(tmp_path, HIGH)
    rig.count(("A", 1, 11.0))
    rig.deliver()
    rig.restart()
    assert rig.deliver() == {}
    rig.count(("A", 10_001, 11.0))
    assert rig.deliver() == {}
    rig.restart(HIGH)
    # The windows that take more records are known still.
    assert rig.deliver() == {("A", "High"): "MAJOR"}


def test_what_is_not_computed_in_this_run_stays_as_it_is(tmp_path: Path) -> None:
    rig = Rig(tmp_path, HIGH, function=scoring)
    rig.count(("A", 1, 11.0))
    rig.evaluate()
    active = rig.deliver()
    rig.store.close()
    rig.rules = RecordRules(rig.rules.forwarding, rig.rules.analytics[1:], ())
    rig.store = StateStore(rig.folder / "state.sqlite", rig.rules)
    rig.store.begin()
    rig.work = AlarmDelivery(rig.store, rig.platform, rig.rules, reporter=rig.reporter)
    assert rig.deliver() == active


# --- growth ----------------------------------------------------------------------------------------------------------


def test_windows_are_kept_as_long_as_alarms_depend_on_them(tmp_path: Path) -> None:
    rig = Rig(tmp_path, {**HIGH, "holds": {"windows": 3}})
    for number in range(20):
        rig.count(("A", number * 10_000, 11.0 if number > 15 else 1.0), ("B", number * 10_000, 1.0))
        rig.close_windows((number + 1) * 10_000)
        rig.deliver()
        rig.store._query("UPDATE windows SET delivered = count")
    rig.count(("C", 200_001, 1.0))
    rig.close_windows(200_000)
    rig.deliver()

    rows = rig.store._query("SELECT group_key, count(*) FROM alarm_windows GROUP BY 1 ORDER BY 1")
    assert rows == [("A", 3), ("B", 3), ("C", 1)]
    assert rig.store._query("SELECT count(*) FROM windows WHERE window_end <= 200000") == [(0,)]
    # Of a group that is silent what it raises is kept, and nothing else.
    rig.close_windows(500_000)
    rig.count(("C", 500_001, 1.0))
    assert rig.deliver() == {("A", "High"): "MAJOR"}
    assert rig.store._query("SELECT group_key, window_end FROM alarm_windows ORDER BY 1") == [
        ("A", 200_000),
        ("C", 510_000),
    ]


def test_windows_that_alarms_are_still_to_be_derived_from_are_not_forgotten(tmp_path: Path) -> None:
    rig = Rig(tmp_path, HIGH)
    rig.count(("A", 1, 11.0))
    rig.close_windows(W1)
    rig.store._query("UPDATE windows SET delivered = count")
    assert rig.store.forget_closed() == 0
    rig.deliver()
    assert rig.store._query("SELECT count(*) FROM windows") == [(0,)]


# --- failures --------------------------------------------------------------------------------------------------------


def test_a_server_that_fails_is_asked_again_until_it_works(tmp_path: Path) -> None:
    rig = Rig(tmp_path, HIGH)
    failures = [PlatformUnreachable("It is away."), ServerFault("It stumbles.")]

    def fail(_what: str) -> None:
        if failures:
            raise failures.pop(0)

    rig.platform.before = fail
    rig.count(("A", 1, 11.0))
    assert rig.deliver() == {("A", "High"): "MAJOR"}
    assert "It is away. 1 alarms wait" in rig.reporter.warnings[0]
    assert rig.reporter.infos == ["Alarms are delivered again (model)."]
    assert rig.work.failure is None


def test_giving_up(tmp_path: Path) -> None:
    rig = Rig(tmp_path, HIGH)
    rig.restart(HIGH, give_up_after=0.1)

    def fail(_what: str) -> None:
        raise PlatformUnreachable("It is away.")

    rig.platform.before = fail
    rig.count(("A", 1, 11.0))
    with pytest.raises(DeliveryAbandoned, match="Alarms could not be delivered"):
        rig.deliver()


def test_a_refused_alarm_is_kept_shown_and_not_sent_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path, HIGH, {**HIGH, "when": "total > 100", "severity": "CRITICAL"})

    def refuse(_what: str) -> None:
        if refusing:
            raise InvalidRequest("No such type.", status=400)

    refusing = True
    rig.platform.before = refuse
    rig.count(("A", 1, 11.0))
    assert rig.deliver() == {}
    assert "refuses the alarm 'High' of asset 'A': No such type." in rig.reporter.warnings[0]
    assert rig.store.refused_alarms() == {("asset", "A", "High"): "No such type."}
    counts = rig.store.alarm_counts()
    assert (counts.active, counts.waiting, counts.refused) == (1, 0, 1)
    refusing = False
    assert rig.deliver() == {}
    # Something else is wanted: it is tried.
    rig.count(("A", 10_001, 111.0))
    assert rig.deliver() == {("A", "High"): "CRITICAL"}
    assert rig.store.refused_alarms() == {}
    assert rig.store.counters()["alarms_refused"] == 1


def test_one_alarm_that_fails_does_not_keep_the_others_waiting(tmp_path: Path) -> None:
    rig = Rig(tmp_path, HIGH)
    rig.restart(HIGH, give_up_after=0.1)

    original = rig.platform.raise_alarm

    def moody(alarm: Any, *, again: bool = False) -> str:
        if alarm.entity == "A":
            raise ServerFault("It stumbles.")
        return original(alarm, again=again)

    rig.platform.raise_alarm = moody  # type: ignore[method-assign]
    rig.count(("A", 1, 11.0), ("B", 1, 11.0))
    with pytest.raises(DeliveryAbandoned):
        rig.deliver()
    assert list(rig.platform.active) == [("asset", "B", "High")]


def test_an_alarm_whose_raise_had_no_response_is_cleared_when_its_condition_ends(tmp_path: Path) -> None:
    """The job ended before it could note it in the store, and the condition is over when the next one begins."""

    class Killed(BaseException):
        pass

    rig = Rig(tmp_path, HIGH)

    def kill(_what: str) -> None:
        raise Killed

    rig.platform.after = kill
    rig.count(("A", 1, 11.0))
    with pytest.raises(Killed):
        rig.deliver()
    assert len(rig.platform.active) == 1
    rig.platform.after = lambda _what: None
    rig.restart(HIGH)
    rig.count(("A", 10_001, 1.0))
    assert rig.deliver() == {}
