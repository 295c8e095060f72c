"""Calls plain functions for the windows of a real topic, without Spark and pandas."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pacifictool.analytics.engine.functions import FunctionCall, FunctionOutcome
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.analytics.windows import join_group, split_group
from pacifictool.functions import Alarm, Result
from pacifictool.kafka.records import read_records
from pacifictool.settings import KafkaEndpoint

ReadingsFunction = Callable[[Sequence[float]], tuple[Mapping[str, float], Sequence[Alarm]]]
"""Gets the values of the only key of telemetry; returns values and alarms for the entity of the group."""


class TopicRunner:
    """A FunctionRunner for records with a single key of telemetry; invalid ones are left out."""

    def __init__(
        self,
        endpoint: KafkaEndpoint,
        topic: str,
        rules: RecordRules,
        functions: Mapping[str, ReadingsFunction],
    ) -> None:
        """`functions` by the names of their analytics."""
        self._endpoint = endpoint
        self._topic = topic
        self._rules = rules
        self._functions = functions
        self._readings: list[tuple[int, int, int, Mapping[str, Any], float]] = []
        """Partition, offset, timestamp, record and value, of all that was read so far."""
        self._read: dict[int, int] = {}
        """By partition: the offset up to which it was read."""

    def warm_up(self) -> None:
        """Nothing to do."""

    def run(
        self, calls: Sequence[FunctionCall], ranges: Mapping[tuple[str, int], Sequence[OffsetRange]]
    ) -> list[FunctionOutcome]:
        for each in (part for some in ranges.values() for part in some):
            if each.end > self._read.get(each.partition, 0):
                self._readings += self._further({each.partition: each.end})
                self._read[each.partition] = each.end
        return [self._call(call, ranges[call.analytics, call.window_end_ms]) for call in calls]

    def _further(self, end: Mapping[int, int]) -> Iterator[tuple[int, int, int, Mapping[str, Any], float]]:
        """The readings that were not read before."""
        (key,) = self._rules.numbers
        bounds = self._rules.forwarding.bounds(key)
        for record in read_records(self._endpoint, self._topic, start=self._read, end=end):
            try:
                document = json.loads(record.value or b"")
                value = float(document[key])
            except (ValueError, KeyError, TypeError):
                continue
            if bounds.min <= value <= bounds.max:
                yield record.partition, record.offset, record.timestamp_ms or 0, document, value

    def _call(self, call: FunctionCall, ranges: Sequence[OffsetRange]) -> FunctionOutcome:
        analytics = next(each for each in self._rules.analytics if each.name == call.analytics)
        group = split_group(analytics, call.group)
        values = [
            value
            for partition, offset, at_ms, document, value in self._readings
            if any(each.partition == partition and each.start <= offset < each.end for each in ranges)
            and call.window_end_ms - analytics.window_ms <= at_ms < call.window_end_ms
            and join_group(document.get(key, "") for key in analytics.group_by) == call.group
        ]
        found, alarms = self._functions[call.analytics](values)
        entity, kind = analytics.entity_name(group), analytics.entity_kind
        return FunctionOutcome(
            call,
            results=[Result(entity, found, kind)],
            alarms=[Alarm(each.type, each.severity, each.details, entity, kind) for each in alarms],
        )
