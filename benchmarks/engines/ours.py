"""The job of `pacifictool aggregate` over topic after topic in one JVM: the first is cold, the others are warm."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from engine import Means, done, ready, report, tasks_from_arguments

from pacifictool.analytics.config import JobConfig
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.engine.spark import SparkRuntime, SparkSettings
from pacifictool.analytics.job import AggregationJob
from pacifictool.analytics.sinks.base import DeliveryCallback, Sink
from pacifictool.analytics.windows import WindowResult
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import SPARK_KAFKA, ensure_jars
from pacifictool.runtime.java import find_java
from pacifictool.scenario import Scenario, load_scenario, tutorial_scenario
from pacifictool.settings import KafkaEndpoint


class KeepingSink(Sink):
    """Keeps what is delivered."""

    name = "keeping"
    target = "keeping"

    def __init__(self, scenario: Scenario) -> None:
        (analytics,) = scenario.analytics
        self.means: Means = {}
        self._functions = {key: str(function) for key, function in analytics.telemetry.items()}

    def deliver(self, results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        for result in results:
            if len(self._functions) == 1:
                self.means[result.entity, result.window_end_ms] = (result.count, result.values["windSpeed"])
                continue
            for key, value in result.values.items():
                name = f"{result.entity} {self._functions[key]}"
                self.means[name, result.window_end_ms] = (result.count, value)
        callback.accepted(results)


def main() -> None:
    tasks = tasks_from_arguments()
    folder = tasks[0].folder
    java = find_java(os.environ)
    jars = ensure_jars(SPARK_KAFKA, java=java, cache_dir=default_cache_dir(os.environ), environ=os.environ)
    settings = SparkSettings(
        java_home=java.home,
        jars=jars,
        master=os.environ.get("BENCH_MASTER", "local[2]"),
        environ=os.environ,
    )
    own = os.environ.get("BENCH_SCENARIO")
    scenario = load_scenario(Path(own)) if own else tutorial_scenario()
    runtime = SparkRuntime(settings, folder)
    # The JVM, not Spark's context: as with the command, the job starts that if it needs it.
    _ = runtime.jvm
    ready()
    try:
        for task in tasks:
            sink = KeepingSink(scenario)
            config = JobConfig(
                KafkaEndpoint(task.bootstrap),
                task.topic,
                RecordRules.of_scenario(scenario.with_analytics(window=task.window_ms / 1000)),
                folder / "job",
                settings,
                starting_offsets="earliest",
                available_now=True,
            )
            began = time.perf_counter()
            summary = AggregationJob(config, sink, runtime=runtime).run(threading.Event())
            seconds = time.perf_counter() - began
            done()
            report(summary.records, seconds, sink.means)
            shutil.rmtree(folder / "job")
    finally:
        runtime.close()


main()
