"""Functions called on Spark's workers, for what a batch has counted."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from pacifictool.analytics.engine.function_runner import SparkFunctionRunner
from pacifictool.analytics.engine.functions import FunctionCall, FunctionOutcome
from pacifictool.analytics.engine.reader import BatchResult
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.scenario import Scenario
from tests.support.batch_bench import Bench


class Called:
    """Calls the functions of a scenario for everything that batches have counted."""

    def __init__(self, bench: Bench, scenario: Scenario, **options: Any) -> None:
        self.bench = bench
        self.rules = RecordRules.of_scenario(scenario)
        self.functions = {each.name for each in self.rules.analytics if each.function is not None}
        self.runner = SparkFunctionRunner(bench.spark, bench.endpoint, bench.topic, self.rules, **options)

    def count(self, **options: Any) -> BatchResult:
        return self.bench.read(self.rules, **options)

    def run(self, *counted: BatchResult, history: Mapping[str, Any] | None = None) -> dict[Any, FunctionOutcome]:
        """By analytics, group and end of the window."""
        counts: dict[tuple[str, str, int], int] = {}
        spans: dict[tuple[str, int], list[OffsetRange]] = {}
        for result in counted:
            for each in (part for part in result.contents().partials if part.analytics in self.functions):
                key = (each.analytics, each.group, each.window_end_ms)
                counts[key] = counts.get(key, 0) + each.count
            for (analytics, end, partition), span in result.contents().spans.items():
                whole = spans.setdefault((analytics, end), [])
                before = next((each for each in whole if each.partition == partition), span)
                whole[:] = [each for each in whole if each.partition != partition]
                whole.append(OffsetRange(partition, min(before.start, span.start), max(before.end, span.end)))
        calls = [FunctionCall(*key, count, (history or {}).get(key[1], ())) for key, count in counts.items()]
        random.Random(1).shuffle(calls)
        outcomes = self.runner.run(calls, spans)
        assert [each.call for each in outcomes] == calls
        return {(each.call.analytics, each.call.group, each.call.window_end_ms): each for each in outcomes}
