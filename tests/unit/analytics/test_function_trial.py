from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pacifictool.analytics.function_readings import read_csv
from pacifictool.analytics.function_trial import TrialReport, choose_analytics, function_name, try_function
from pacifictool.errors import ScenarioError, UsageError
from pacifictool.models.csv_file import CsvFormat
from pacifictool.scenario import Scenario, parse_scenario

START = 2_000_000_000  # a multiple of ten
Run = Callable[..., TrialReport]

SCENARIO = """\
[forwarding]
topic = "t"
attributes = ["site"]
telemetry = ["v"]
device = true
[[analytics]]
name = "first"
group_by = ["site"]
window = "4s"
slide = "2s"
history = 2
timeout = "100ms"
function = "f:f"
"""


@pytest.fixture(autouse=True)
def _own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that is loaded puts its folder on the path, where later tests would find its modules."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Calls a function on readings (seconds after START, site, value)."""

    def call(source: str, readings: list[tuple[float, str, float]], **changes: Any) -> TrialReport:
        (tmp_path / "f.py").write_text(source, encoding="utf-8")
        rows = "".join(f"{round((START + at) * 1000)},{site},{value}\n" for at, site, value in readings)
        (tmp_path / "r.csv").write_text(f"ts,site,v\n{rows}", encoding="utf-8")
        analytics, _ = choose_analytics(tmp_path / "f.py", None, None, **{"window": 2, "group_by": ["site"]} | changes)
        return try_function(analytics, read_csv(tmp_path / "r.csv", CsvFormat(), group_by=analytics.group_by))

    return call


def ends(report: TrialReport) -> list[tuple[float, str]]:
    return [(call.window.end.timestamp() - START, call.window.entity) for call in report.calls]


def test_windows_in_the_order_of_their_ends_then_groups(run: Run) -> None:
    report = run(
        "def f(readings): return {'n': len(readings)}", [(5, "a", 1), (0, "b", 1), (1.999, "b", 1), (0.5, "a", 1)]
    )
    assert ends(report) == [(2, "a"), (2, "b"), (6, "a")]
    assert [call.results[0].values["n"] for call in report.calls] == [1, 2, 1]
    assert report.calls[0].window.start == datetime.fromtimestamp(START, UTC)
    assert report.calls[0].window.group == {"site": "a"}


def test_sliding_windows_overlap(run: Run) -> None:
    report = run("def f(readings): return {'n': len(readings)}", [(0, "a", 1), (3, "a", 1)], window=4, slide=2)
    assert [(end, call.readings) for (end, _), call in zip(ends(report), report.calls, strict=True)] == [
        (2, 1),
        (4, 2),
        (6, 1),
    ]


def test_one_group_of_all_readings(run: Run) -> None:
    report = run("def f(readings): return {'n': len(readings)}", [(0, "a", 1), (1, "b", 1)], group_by=[])
    assert [(call.window.entity, dict(call.window.group), call.readings) for call in report.calls] == [("All", {}, 2)]


def test_history_holds_the_last_results_of_the_group(run: Run) -> None:
    source = """\
def f(readings, window, history):
    assert list(history["ts"]) == sorted(history["ts"])
    return {"v": readings["v"].sum(), "past": sum(history.get("v", [])), "windows": len(history)}
"""
    report = run(source, [(0, "a", 1), (2, "a", 2), (2, "b", 9), (4, "a", 4), (6, "a", 8)], history=2)
    found = [(call.window.entity, dict(call.results[0].values)) for call in report.calls]
    assert found == [
        ("a", {"v": 1, "past": 0, "windows": 0}),
        ("a", {"v": 2, "past": 1, "windows": 1}),
        ("b", {"v": 9, "past": 0, "windows": 0}),
        ("a", {"v": 4, "past": 3, "windows": 2}),
        ("a", {"v": 8, "past": 6, "windows": 2}),
    ]


def test_a_failure_costs_its_own_window_and_shows_the_authors_lines(run: Run) -> None:
    source = "def f(readings):\n    return inner(readings['v'].iloc[0])\n\ndef inner(value):\n    return {'v': 1 / int(value)}\n"
    report = run(source, [(0, "a", 1), (2, "a", 0.5), (4, "a", 4)])
    assert [call.failure is None for call in report.calls] == [True, False, True]
    [failed] = report.failed
    assert "ZeroDivisionError" in str(failed.failure)
    assert "line 5" in str(failed.traceback)
    assert "function_calls.py" not in str(failed.traceback)
    assert report.as_document()["failed"] == 1


def test_what_cannot_be_posted_is_a_failure(run: Run) -> None:
    [call] = run("def f(readings): return {'v': 'much'}", [(0, "a", 1)]).calls
    assert call.failure is not None
    assert "'much'" in call.failure


def test_alarms_are_raised_change_and_are_cleared(run: Run) -> None:
    source = """\
from pacifictool.functions import Alarm

def f(readings):
    value = readings["v"].iloc[0]
    if value > 5:
        yield Alarm("High", "CRITICAL" if value > 9 else "MINOR")
    if value < 0:
        raise ValueError
"""
    report = run(source, [(2 * at, "a", value) for at, value in enumerate([1, 6, 7, 10, -1, 10, 1])])
    changes = [
        (call.window.end.timestamp() - START, alarm.severity, is_raised)
        for call, alarm, is_raised in report.alarm_changes()
    ]
    assert changes == [(4, "MINOR", True), (8, "CRITICAL", True), (14, "CRITICAL", False)]


def test_a_call_that_takes_longer_than_the_timeout_is_reported(run: Run) -> None:
    source = "import threading\ndef f(readings):\n    threading.Event().wait(readings['v'].iloc[0])\n    return {}\n"
    report = run(source, [(0, "a", 0), (2, "a", 0.3)])
    slow = [call for call in report.calls if call.seconds >= 0.3]
    assert len(slow) == 1
    quick = report.analytics.model_copy(update={"timeout": 0.25})
    assert TrialReport(quick, report.readings, report.calls).slow == slow


def scenario(text: str, folder: Path) -> Scenario:
    return parse_scenario(text, source="test", folder=folder)


def test_the_analytics_of_the_scenario_that_calls_the_function(tmp_path: Path) -> None:
    found, forwarding = choose_analytics(tmp_path / "f.py", None, scenario(SCENARIO, tmp_path))
    assert (found.name, found.window, found.slide, found.history, found.timeout) == ("first", 4, 2, 2, 0.1)
    assert forwarding is not None
    assert forwarding.telemetry == ("v",)
    changed, _ = choose_analytics(
        tmp_path / "f.py", "f", scenario(SCENARIO, tmp_path), window=10, group_by=["deviceName"], history=0
    )
    assert (changed.window, changed.slide, changed.group_by, changed.history) == (10, None, ("deviceName",), 0)


def test_several_analytics_that_call_it(tmp_path: Path) -> None:
    second = (
        SCENARIO[SCENARIO.index("[[analytics]]") :].replace('"first"', '"second"').replace('"site"', '"deviceName"')
    )
    both = scenario(SCENARIO + second, tmp_path)
    with pytest.raises(ScenarioError, match=r"first \(f:f\), second \(f:f\)") as raised:
        choose_analytics(tmp_path / "f.py", None, both)
    assert "--only" in str(raised.value.hint)
    assert choose_analytics(tmp_path / "f.py", None, both.only(["second"]))[0].name == "second"


def test_without_an_analytics_the_window_must_be_given(tmp_path: Path) -> None:
    (tmp_path / "g.py").write_text("def g(readings): return {}", encoding="utf-8")
    with pytest.raises(UsageError, match=r"--window is missing: .* windows of g\.py:g"):
        choose_analytics(tmp_path / "g.py", None, scenario(SCENARIO, tmp_path))
    found, forwarding = choose_analytics(tmp_path / "g.py", None, scenario(SCENARIO, tmp_path), window=1)
    assert (str(found.function), found.group_by, forwarding) == ("g.py:g", ("deviceName",), None)
    with pytest.raises(UsageError, match=r"slide must be a whole part of window"):
        choose_analytics(tmp_path / "g.py", None, None, window=10, slide=3)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def a(readings): ...", "a"),
        ("def _b(readings): ...\ndef a(x): ...", "a"),
        ("def helper(x): ...\ndef a(readings, window): ...", "a"),
        ("def a(readings): ...\ndef b(readings): ...", "2 functions"),
        ("x = 1", "no functions"),
        ("def a(readings:", "syntax error in line 1"),
    ],
)
def test_which_function_of_a_file_is_meant(source: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(source, encoding="utf-8")
    if found == "a":
        assert function_name(tmp_path / "m.py") == "a"
    else:
        with pytest.raises(UsageError, match=found):
            function_name(tmp_path / "m.py")


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no file") as raised:
        function_name(tmp_path / "m.py")
    assert "analytics new" in str(raised.value.hint)
