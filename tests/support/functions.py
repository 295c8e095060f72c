"""Functions of users without Spark and Kafka: a topic that is a list, and a runner that calls plain functions."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pacifictool.analytics.engine.functions import FunctionCall, FunctionOutcome
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.analytics.state.store import BatchOutcome
from pacifictool.analytics.windows import UNITS, PartialAggregate, split_group, window_ends
from pacifictool.functions import Alarm, Result
from tests.support.scenarios import mean_state

SumFunction = Callable[[Sequence[float], FunctionCall], Any]
"""Gets the values of a window; returns what a user's function may return."""


@dataclass
class ListedTopic:
    """Records of one partition, each of a group with a time and a value."""

    rules: RecordRules
    """Their analytics group by one key; those with results have one sum or mean."""
    records: list[tuple[str, int, float]] = field(default_factory=list)
    """Group, time in ms and value, by offset."""

    def add(self, *records: tuple[str, int, float]) -> None:
        self.records += records

    def batch(self, start: int, closed_ms: Mapping[str, int], **more: Any) -> BatchOutcome:
        """What the records from this offset on are counted as. None may be of a closed window."""
        partials: dict[tuple[str, str, int], PartialAggregate] = {}
        spans: dict[tuple[str, int, int], OffsetRange] = {}
        for offset in range(start, len(self.records)):
            group, at_ms, value = self.records[offset]
            for analytics in self.rules.analytics:
                slide_end = (at_ms // analytics.slide_ms + 1) * analytics.slide_ms
                for end in window_ends(analytics, slide_end, after_ms=closed_ms.get(analytics.name, 0)):
                    state = b"" if analytics.function is not None else mean_state(1, round(value * UNITS))
                    key, place = (analytics.name, group, end), (analytics.name, end, 0)
                    if (known := partials.get(key)) is not None:
                        state = _added(known.state, state)
                    count = 1 if known is None else known.count + 1
                    partials[key] = PartialAggregate(analytics.name, group, end, count, state)
                    first = spans[place].start if place in spans else offset
                    spans[place] = OffsetRange(0, first, offset + 1)
        ranges = (OffsetRange(0, start, len(self.records)),) if len(self.records) > start else ()
        return BatchOutcome(ranges, list(partials.values()), len(self.records) - start, spans=spans, **more)

    def values(self, call: FunctionCall, ranges: Iterable[OffsetRange]) -> list[float]:
        """The values of a window, read again."""
        analytics = next(each for each in self.rules.analytics if each.name == call.analytics)
        begin = call.window_end_ms - analytics.window_ms
        return [
            value
            for each in ranges
            for group, at_ms, value in self.records[each.start : each.end]
            if group == call.group and begin <= at_ms < call.window_end_ms
        ]


def _added(one: bytes, other: bytes) -> bytes:
    import struct

    if not one:
        return one
    (count, *words), (more, *other_words) = struct.unpack(">qqq", one), struct.unpack(">qqq", other)
    total = (words[0] << 32) + words[1] + (other_words[0] << 32) + other_words[1]
    return mean_state(count + more, total)


class InProcessRunner:
    """A FunctionRunner that calls functions where it is."""

    def __init__(self, topic: ListedTopic, functions: Mapping[str, SumFunction]) -> None:
        """`functions` by the names of their analytics."""
        self._topic = topic
        self._functions = functions
        self.runs: list[list[FunctionCall]] = []
        self.errors: list[BaseException] = []
        """Raised by the next runs, before anything is called."""

    def warm_up(self) -> None:
        """Nothing to do."""

    def run(
        self, calls: Sequence[FunctionCall], ranges: Mapping[tuple[str, int], Sequence[OffsetRange]]
    ) -> list[FunctionOutcome]:
        self.runs.append(list(calls))
        if self.errors:
            raise self.errors.pop(0)
        return [self._call(call, ranges[call.analytics, call.window_end_ms]) for call in calls]

    def _call(self, call: FunctionCall, ranges: Sequence[OffsetRange]) -> FunctionOutcome:
        analytics = next(each for each in self._topic.rules.analytics if each.name == call.analytics)
        entity, kind = analytics.entity_name(split_group(analytics, call.group)), analytics.entity_kind
        try:
            returned = self._functions[call.analytics](self._topic.values(call, ranges), call)
        except Exception as error:  # noqa: BLE001 - as the user's function failed
            text = f"{analytics.function} raised {type(error).__name__}: {error}"
            return FunctionOutcome(call, failure=text, traceback=traceback.format_exc())
        if isinstance(returned, Mapping):
            return FunctionOutcome(call, results=[Result(entity, returned, kind)] if returned else [])
        items = list(returned)
        alarms = [
            Alarm(each.type, each.severity, each.details, each.entity or entity, each.kind or kind)
            for each in items
            if isinstance(each, Alarm)
        ]
        return FunctionOutcome(call, results=[each for each in items if isinstance(each, Result)], alarms=alarms)
