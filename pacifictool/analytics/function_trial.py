"""`analytics test`: calls a function window by window on the readings of a file, without any server or Spark."""

from __future__ import annotations

import ast
import time
from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pacifictool.analytics.engine.function_calls import FunctionFailed, load_function
from pacifictool.analytics.engine.function_frames import history_frame, window_of
from pacifictool.analytics.engine.function_results import Returned
from pacifictool.analytics.function_readings import CsvReadings
from pacifictool.errors import ScenarioError, UsageError, file_fault
from pacifictool.functions import Alarm, Result, Window
from pacifictool.progress import SILENT, Reporter
from pacifictool.scenario import (
    DEVICE_NAME,
    READING_TIME,
    Analytics,
    ForwardingConfig,
    Scenario,
    describe_validation_error,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class TriedCall:
    """One call of the function, and what became of it."""

    window: Window
    readings: int
    seconds: float
    results: Sequence[Result] = ()
    alarms: Sequence[Alarm] = ()
    failure: str | None = None
    traceback: str | None = field(default=None, repr=False)
    """From the user's own lines on."""

    def as_document(self) -> dict[str, Any]:
        """For JSON output."""
        return {
            "group": dict(self.window.group),
            "window_start": self.window.start.isoformat(),
            "window_end": self.window.end.isoformat(),
            "readings": self.readings,
            "results": [
                {"entity": each.entity, "kind": each.kind, "values": dict(each.values)} for each in self.results
            ],
            "alarms": [
                {
                    "type": each.type,
                    "severity": each.severity,
                    "entity": each.entity,
                    "kind": each.kind,
                    "details": dict(each.details),
                }
                for each in self.alarms
            ],
            "failure": self.failure,
            "traceback": self.traceback,
            "ms": round(self.seconds * 1000, 3),
        }


@dataclass(frozen=True, slots=True)
class TrialReport:
    """All calls, in the order of their windows."""

    analytics: Analytics
    readings: CsvReadings
    calls: Sequence[TriedCall]

    @property
    def failed(self) -> Sequence[TriedCall]:
        """Calls without results, because the function raised or returned what cannot be posted."""
        return [call for call in self.calls if call.failure is not None]

    @property
    def slow(self) -> Sequence[TriedCall]:
        """Calls that took longer than the timeout, which the job would have ended."""
        return [call for call in self.calls if call.seconds > self.analytics.timeout]

    def alarm_changes(self) -> Iterator[tuple[TriedCall, Alarm, bool]]:
        """When alarms are raised (True), change their severity (True), or are cleared (False)."""
        active: dict[tuple[str, ...], dict[tuple[str | None, str | None, str], Alarm]] = defaultdict(dict)
        for call in self.calls:
            if call.failure is not None:
                continue
            known = active[tuple(call.window.group.values())]
            returned = {(alarm.kind, alarm.entity, alarm.type): alarm for alarm in call.alarms}
            for place in known.keys() - returned.keys():
                yield call, known.pop(place), False
            for place, alarm in returned.items():
                if place not in known or known[place].severity != alarm.severity:
                    yield call, alarm, True
                known[place] = alarm

    def as_document(self) -> dict[str, Any]:
        """For JSON output."""
        seconds = sorted(call.seconds for call in self.calls)
        return {
            "function": str(self.analytics.function),
            "rows": self.readings.rows,
            "readings": len(self.readings.frame),
            "invalid": dict(self.readings.invalid),
            "failed": len(self.failed),
            "slow": len(self.slow),
            "median_ms": round(seconds[len(seconds) // 2] * 1000, 3) if seconds else None,
            "max_ms": round(seconds[-1] * 1000, 3) if seconds else None,
            "calls": [call.as_document() for call in self.calls],
        }


def function_name(file: Path) -> str:
    """The only public function of a Python file that takes `readings`, or the only public one. Raises UsageError."""
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except FileNotFoundError:
        raise UsageError(f"There is no file {file}.", hint="`pacifictool analytics new NAME` makes one.") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {file_fault(error)}.") from error
    except (SyntaxError, ValueError) as error:
        line = f" in line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else ""
        raise UsageError(f"{file} has a syntax error{line}.", hint="Python cannot load it.") from None
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    with_readings = [node for node in functions if node.args.args and node.args.args[0].arg == "readings"]
    candidates = [node.name for node in with_readings or functions]
    if len(candidates) != 1:
        listed = ", ".join(f"{file.name}:{name}" for name in candidates)
        raise UsageError(
            f"{file} has {len(candidates) or 'no'} functions that could be meant.",
            hint=f"Name one: {listed}." if listed else "Begin with `def compute(readings, window, history):`.",
        )
    return candidates[0]


def choose_analytics(
    file: Path, name: str | None, scenario: Scenario | None, **changes: Any
) -> tuple[Analytics, ForwardingConfig | None]:
    """The analytics of the scenario that calls this function, and what the platform forwards; with `changes` (`window`,
    `slide`, `group_by`, `history`), of which None is none. Without a scenario that calls it, one of the changes alone.

    Raises UsageError, and ScenarioError when several analytics of the scenario call it.
    """
    given = {key: value for key, value in changes.items() if value is not None}
    found = [] if scenario is None else [each for each in scenario.analytics if _calls(each, file, name)]
    if len(found) > 1:
        listed = ", ".join(f"{each.name} ({each.function})" for each in found)
        raise ScenarioError(
            f"Several analytics of the scenario call {file.name}: {listed}.", hint="Name one with --only."
        )
    if "window" in given:
        given.setdefault("slide", None)
    if found:
        document = found[0].model_dump() | {"function": found[0].function} | given
    else:
        name = name or function_name(file)
        if "window" not in given:
            raise UsageError(
                f"--window is missing: no scenario says how long the windows of {file.name}:{name} are.",
                hint="For example --window 10s, or --scenario FILE with an analytics that calls the function.",
            )
        group_by = given.pop("group_by", (DEVICE_NAME,))
        document = {"name": "function", "group_by": group_by, "entity": None if group_by else "All", **given}
        document["function"] = f"{file.name}:{name}"
    try:
        analytics = Analytics.model_validate(document, context={"folder": file.parent})
    except ValidationError as error:
        raise UsageError(
            f"The analytics is not possible: {describe_validation_error(error)}.",
            hint="docs/scenario.md lists the values of each key.",
        ) from None
    return analytics, scenario.forwarding if scenario is not None and found else None


def _calls(analytics: Analytics, file: Path, name: str | None) -> bool:
    function = analytics.function
    return function is not None and function.file.resolve() == file.resolve() and name in (None, function.name)


def try_function(
    analytics: Analytics, readings: CsvReadings, *, forwarded: Collection[str] = (), reporter: Reporter = SILENT
) -> TrialReport:
    """Calls the function for every window that has readings, in the order of the windows' ends, as the job does when no
    reading is late. A call that fails is part of the report. Raises ScenarioError when the function cannot be
    loaded."""
    assert analytics.function is not None
    function = load_function(analytics.function)
    history: dict[tuple[str, ...], deque[tuple[int, Mapping[str, float]]]] = defaultdict(
        lambda: deque(maxlen=analytics.history)
    )
    calls = []
    windows = list(windows_of(analytics, readings.frame))
    with reporter.task(f"Calling {analytics.function}", total=len(windows), unit="windows") as task:
        for end_ms, group, frame in windows:
            window = window_of(analytics, group, end_ms)
            past = history_frame(history[group])
            returned, failure, traceback = Returned(), None, None
            started = time.perf_counter()
            try:
                returned = function.call(frame, window, past, kind=analytics.entity_kind, forwarded=forwarded)
            except FunctionFailed as error:
                failure, traceback = error.message, error.traceback
            seconds = time.perf_counter() - started
            calls.append(TriedCall(window, len(frame), seconds, returned.results, returned.alarms, failure, traceback))
            own: dict[str, float] = {}
            for result in returned.results:
                if (result.entity, result.kind) == (window.entity, analytics.entity_kind):
                    own |= result.values  # noqa: PD011 - of a Result
            if own:
                history[group].append((end_ms, own))
            task.advance()
    return TrialReport(analytics, readings, calls)


def windows_of(analytics: Analytics, frame: pd.DataFrame) -> Iterator[tuple[int, tuple[str, ...], pd.DataFrame]]:
    """End in milliseconds, group and readings of every window that has some, by end and group."""
    keys = list(analytics.group_by)
    parts = frame.groupby(keys, sort=True) if keys else [((), frame)]
    found = []
    for group, part in parts:
        ordered = part.reset_index(drop=True)
        times = ordered[READING_TIME].dt.as_unit("ms").astype("int64").to_numpy()
        for end in range(
            (int(times[0]) // analytics.slide_ms + 1) * analytics.slide_ms,
            int(times[-1]) + analytics.window_ms + 1,
            analytics.slide_ms,
        ):
            begin, stop = times.searchsorted([end - analytics.window_ms, end])
            if begin < stop:
                found.append((end, tuple(map(str, group)), ordered.iloc[begin:stop].reset_index(drop=True)))
    yield from sorted(found, key=lambda each: each[:2])
