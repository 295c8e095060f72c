"""Which alarms the windows of a group raise.

The alarms as of a window are a function of the group's windows up to it, as these stand now. So a job that is killed,
that reads records once more or gets them late ends with the same alarms as one to which nothing happened. The newest
window with results decides: a group that falls silent keeps its alarms, and a function that fails changes none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from pacifictool.analytics.windows import split_group
from pacifictool.functions import SEVERITIES, Alarm, EntityKind
from pacifictool.scenario import AlarmSpec, Analytics
from pacifictool.scenario.alarms import compile_condition, is_met
from pacifictool.tools.times import utc_iso

CONDITION: Final = "condition"
FUNCTION: Final = "function"
Origin = Literal["condition", "function"]
"""What raises an alarm: `[[alarms]]` of the scenario, or the function of an analytics."""

AlarmPlace = tuple[EntityKind, str, str]
"""Kind and name of the entity that an alarm is raised on, and its type. There is at most one."""


@dataclass(frozen=True, slots=True)
class ActiveAlarm:
    """An alarm that a group raises as of one of its windows. Times are in milliseconds since the epoch."""

    origin: Origin
    kind: EntityKind
    entity: str
    type: str
    severity: str
    since_ms: int
    """End of the first window of the present run of windows as of which it is active."""
    decided_ms: int
    """End of the window that decides: the newest with results."""
    condition: str | None = None
    """The one that holds; the most urgent of several."""

    @property
    def source(self) -> tuple[Origin, AlarmPlace]:
        """What it goes on from in the next window."""
        return self.origin, (self.kind, self.entity, self.type)


@dataclass(frozen=True, slots=True)
class AlarmWindow:
    """One window of a group, as far as alarms depend on it."""

    end_ms: int
    own: Mapping[str, float] | None = None
    """Results of the group's entity by key; None: there are none, so that conditions are not decided by it."""
    met: tuple[str, ...] = ()
    """The conditions that are true of them."""
    raised: tuple[Alarm, ...] | None = None
    """What the function raised; None: it failed, or there is none."""
    active: tuple[ActiveAlarm, ...] = ()
    """The alarms as of this window."""


@dataclass(frozen=True, slots=True)
class AlarmSource:
    """A group that raises an alarm at present."""

    kind: EntityKind
    entity: str
    type: str
    origin: Origin
    severity: str
    start_ms: int
    until_ms: int
    details: Mapping[str, Any] | None
    """For people; None: those that are known, as the window that decides is an earlier one."""

    @property
    def place(self) -> AlarmPlace:
        return self.kind, self.entity, self.type


class AlarmRules:
    """The alarms of one analytics."""

    def __init__(self, analytics: Analytics, specs: Sequence[AlarmSpec], *, devices_only: bool = False) -> None:
        """`devices_only`: results of assets go to devices of the same names, as with a gateway; so do their alarms."""
        self.analytics = analytics
        self._specs = tuple(specs)
        self._programs = {spec.when: compile_condition(spec.when) for spec in specs}
        self._devices_only = devices_only

    @property
    def windows(self) -> int:
        """How many windows an alarm depends on, at most."""
        return max((spec.holds.windows for spec in self._specs), default=1)

    @property
    def span_ms(self) -> int:
        """How long before the end of a window the last window ends that its alarms do not depend on."""
        return self.windows * self.analytics.slide_ms

    @property
    def signature(self) -> list[Any]:
        """What alarms have to be derived again for when it changes, as JSON."""
        return [spec.model_dump(mode="json") for spec in self._specs]

    def window(
        self, end_ms: int, own: Mapping[str, float] | None, raised: Sequence[Alarm] | None = None
    ) -> AlarmWindow:
        """A window with these results, whose alarms are not derived yet."""
        if not own:
            return AlarmWindow(end_ms, raised=None if raised is None else tuple(raised))
        met = tuple(when for when, program in self._programs.items() if is_met(program, own))
        return AlarmWindow(end_ms, own, met, None if raised is None else tuple(raised))

    def derived(self, group: str, windows: Sequence[AlarmWindow], from_ms: int) -> list[AlarmWindow]:
        """The windows that end at or after `from_ms`, with their alarms.

        `windows` are those of one group by their ends: at least `span_ms` before `from_ms`, and one whose alarms are
        known, if there is any.
        """
        before: tuple[ActiveAlarm, ...] = ()
        found = []
        for place, window in enumerate(windows):
            if window.end_ms < from_ms:
                before = window.active
                continue
            before = tuple(self._active(group, windows[: place + 1], before))
            found.append(replace(window, active=before))
        return found

    def _active(
        self, group: str, windows: Sequence[AlarmWindow], before: Sequence[ActiveAlarm]
    ) -> Iterator[ActiveAlarm]:
        """The alarms as of the last window; `before`: as of the one before it."""
        window = windows[-1]
        since = {each.source: each.since_ms for each in before}
        decided: list[ActiveAlarm] = []
        if window.own:
            decided += self._holding(group, windows)
        else:
            yield from (each for each in before if each.origin == CONDITION)
        if window.raised is not None:
            decided += self._raised(window)
        else:
            yield from (each for each in before if each.origin == FUNCTION)
        for each in decided:
            yield replace(each, since_ms=since.get(each.source, window.end_ms))

    def _holding(self, group: str, windows: Sequence[AlarmWindow]) -> Iterator[ActiveAlarm]:
        """Of each type, the most urgent that holds."""
        end_ms, slide_ms = windows[-1].end_ms, self.analytics.slide_ms
        entity = self.analytics.entity_name(split_group(self.analytics, group))
        chosen: dict[str, AlarmSpec] = {}
        for spec in self._specs:
            begin_ms = end_ms - spec.holds.windows * slide_ms
            met = sum(begin_ms < each.end_ms and spec.when in each.met for each in windows)
            if met >= spec.holds.needed and (
                spec.type not in chosen or urgency(spec.severity) < urgency(chosen[spec.type].severity)
            ):
                chosen[spec.type] = spec
        for spec in chosen.values():
            kind = self._kind(self.analytics.entity_kind)
            yield ActiveAlarm("condition", kind, entity, spec.type, spec.severity, end_ms, end_ms, spec.when)

    def _raised(self, window: AlarmWindow) -> Iterator[ActiveAlarm]:
        """Of each entity and type, the most urgent that the function returned."""
        chosen: dict[AlarmPlace, Alarm] = {}
        for alarm in window.raised or ():
            place = self._kind(alarm.kind or "asset"), alarm.entity or "", alarm.type
            if place not in chosen or urgency(alarm.severity) < urgency(chosen[place].severity):
                chosen[place] = alarm
        for (kind, entity, _), alarm in chosen.items():
            yield ActiveAlarm("function", kind, entity, alarm.type, alarm.severity, window.end_ms, window.end_ms)

    def sources(self, window: AlarmWindow) -> Iterator[AlarmSource]:
        """The alarms as of a group's newest window, with what people see of them."""
        for each in window.active:
            details = self._details(each, window) if each.decided_ms == window.end_ms else None
            yield AlarmSource(
                each.kind, each.entity, each.type, each.origin, each.severity, each.since_ms, each.decided_ms, details
            )

    def _details(self, active: ActiveAlarm, window: AlarmWindow) -> dict[str, Any]:
        found: dict[str, Any] = {
            "analytics": self.analytics.name,
            "windowStart": utc_iso(window.end_ms - self.analytics.window_ms),
            "windowEnd": utc_iso(window.end_ms),
        }
        if active.condition is not None:
            # A server refuses what looks like a tag of HTML (docs/servers/alarms.md#creating-and-updating, row 13).
            found["condition"] = re.sub(r"<(?=[A-Za-z!/?])", "< ", active.condition)
        if window.own:
            found["values"] = dict(window.own)
        for alarm in window.raised or () if active.origin == FUNCTION else ():
            place = self._kind(alarm.kind or "asset"), alarm.entity, alarm.type, alarm.severity
            if place == (active.kind, active.entity, active.type, active.severity):
                return {**found, **alarm.details}
        return found

    def _kind(self, kind: EntityKind) -> EntityKind:
        return "device" if self._devices_only else kind


def urgency(severity: str) -> int:
    """The lower, the more urgent."""
    return SEVERITIES.index(severity)


def united(sources: Iterable[AlarmSource]) -> AlarmSource:
    """The one alarm that several groups raise on one entity: the most urgent, and active as long as any of them."""
    ordered = sorted(sources, key=lambda each: (urgency(each.severity), -each.until_ms, each.origin))
    start_ms, until_ms = min(each.start_ms for each in ordered), max(each.until_ms for each in ordered)
    return replace(ordered[0], start_ms=start_ms, until_ms=until_ms)
