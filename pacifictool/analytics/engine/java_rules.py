"""The rules of records and analytics in the JVM, where tasks get them from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from pacifictool.analytics.engine.aggregates import StateLayout
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.engine.spark import SparkRuntime


class RulesInJava:
    """One set of rules as objects of the JVM, made when they are first needed, once for all batches.

    The Java sources must have been added. Methods raise Py4JError, or OSError when Spark's Java process is gone.
    """

    def __init__(self, runtime: SparkRuntime, rules: RecordRules) -> None:
        self._runtime = runtime
        self._rules = rules

    @cached_property
    def records(self) -> Any:
        """RecordRules: which records count."""
        rules, jvm = self._rules, self._runtime.jvm
        bounds = [rules.forwarding.bounds(key) for key in rules.numbers]
        return jvm.pacifictool.analytics.engine.RecordRules(
            self._array(jvm.String, rules.texts),
            self._array(jvm.String, rules.numbers),
            self._array(jvm.double, [float(each.min) for each in bounds]),
            self._array(jvm.double, [float(each.max) for each in bounds]),
            rules.time,
            rules.forwarding.numbers_in_text,
        )

    @cached_property
    def specs(self) -> Any:
        """An array of AnalyticsSpec: what each analytics wants of a record."""
        rules, engine = self._rules, self._runtime.jvm.pacifictool.analytics.engine
        specs = []
        for each in rules.analytics:
            layout = StateLayout(each)
            specs.append(
                engine.AnalyticsSpec(
                    self.ints([rules.texts.index(key) for key in each.group_by]),
                    each.window_ms,
                    each.slide_ms,
                    self.ints([int(part.kind) for part in layout.parts]),
                    self.ints([rules.column(part.key) for part in layout.parts]),
                    layout.counts_all,
                )
            )
        return self._array(engine.AnalyticsSpec, specs)

    def ints(self, values: Sequence[int]) -> Any:
        """An array of int."""
        return self._array(self._runtime.jvm.int, values)

    def longs(self, values: Sequence[int]) -> Any:
        """An array of long."""
        return self._array(self._runtime.jvm.long, values)

    def int_lists(self, lists: Sequence[Sequence[int]]) -> Any:
        """An array of arrays of int."""
        array = self._runtime.gateway.new_array(self._runtime.jvm.int, len(lists), 0)
        return self._filled(array, map(self.ints, lists))

    def _array(self, kind: Any, values: Sequence[Any]) -> Any:
        return self._filled(self._runtime.gateway.new_array(kind, len(values)), values)

    def _filled(self, array: Any, values: Iterable[Any]) -> Any:
        for place, value in enumerate(values):
            array[place] = value
        return array
