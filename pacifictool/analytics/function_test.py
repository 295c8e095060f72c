"""`analytics test`: calls a function window by window on the readings of a file, without any server or Spark."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pacifictool.analytics.function_readings import CsvReadings
from pacifictool.errors import ScenarioError, UsageError
from pacifictool.functions import Alarm, Result, Window
from pacifictool.scenario import DEVICE_NAME, READING_TIME, Analytics, Scenario, describe_validation_error
from pacifictool.tools.times import utc_time

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class TestedCall:
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
class FunctionTestReport:
    """All calls, in the order of their windows."""

    analytics: Analytics
    readings: CsvReadings
    calls: Sequence[TestedCall]

    @property
    def failed(self) -> Sequence[TestedCall]:
        """Calls without results, because the function raised or returned what cannot be posted."""
        return [call for call in self.calls if call.failure is not None]

    @property
    def slow(self) -> Sequence[TestedCall]:
        """Calls that took longer than the timeout, which the job would have ended."""
        return [call for call in self.calls if call.seconds > self.analytics.timeout]

    def alarm_changes(self) -> Iterator[tuple[TestedCall, Alarm, bool]]:
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


def analytics_of(scenario: Scenario, file: Path, name: str | None) -> Analytics | None:
    """The analytics of the scenario that calls this function; None when there is none. Raises ScenarioError when there
    are several."""
    found = [
        each
        for each in scenario.analytics
        if each.function is not None
        and each.function.file.resolve() == file.resolve()
        and name in (None, each.function.name)
    ]
    if len(found) > 1:
        functions = ", ".join(f"{file}:{each.function.name}" for each in found if each.function is not None)
        raise ScenarioError(f"The scenario calls several functions of {file}.", hint=f"Name one: {functions}.")
    return found[0] if found else None


def analytics_for(file: Path, name: str, **options: Any) -> Analytics:
    """An analytics for a function that no scenario calls. Raises UsageError."""
    try:
        return Analytics.model_validate(
            {
                "name": name.strip("_") or "function",
                "entity": None if options.get("group_by") else "All",
                "function": f"{file.name}:{name}",
                **{key: value for key, value in options.items() if value is not None},
            },
            context={"folder": file.parent},
        )
    except ValidationError as error:
        raise UsageError(
            f"--{describe_validation_error(error)}.", hint="docs/scenario.md lists the values of the key of this name."
        ) from None


def windows_of(analytics: Analytics, frame: pd.DataFrame) -> Iterator[tuple[int, tuple[str, ...], pd.DataFrame]]:
    """End in milliseconds, group and readings of every window that has some, by end and group."""
    keys = list(analytics.group_by)
    groups = [((), frame)] if not keys else [(group, part) for group, part in frame.groupby(keys, sort=True)]
    found = []
    for group, part in groups:
        ordered = part.reset_index(drop=True)
        times = ordered[READING_TIME].astype("int64").to_numpy() // _per_millisecond(ordered)
        slide = analytics.slide_ms
        first, last = int(times[0]), int(times[-1])
        for end in range((first // slide + 1) * slide, last + analytics.window_ms + 1, slide):
            begin, stop = times.searchsorted([end - analytics.window_ms, end])
            if begin < stop:
                found.append((end, tuple(map(str, group)), ordered.iloc[begin:stop].reset_index(drop=True)))
    yield from sorted(found, key=lambda each: each[:2])


def _per_millisecond(frame: pd.DataFrame) -> int:
    return {"s": 1, "ms": 1, "us": 1_000, "ns": 1_000_000}[frame[READING_TIME].dt.unit]
