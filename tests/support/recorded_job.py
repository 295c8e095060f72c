"""A job whose system calls are recorded, run by run on one checkpoint. Run by crash_simulation.py.

It uses the Spark of the program that starts it, so that only Python is traced.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))

from pacifictool.analytics.config import JobConfig
from pacifictool.analytics.engine.reader import SOURCES
from pacifictool.analytics.engine.spark import SparkRuntime, SparkSettings
from pacifictool.analytics.job import AggregationJob
from pacifictool.analytics.sinks.base import DeliveryCallback, Sink
from pacifictool.analytics.state import store
from pacifictool.analytics.windows import WindowResult
from pacifictool.settings import KafkaEndpoint
from tests.support.alarm_platform import AlarmPlatform
from tests.support.four_analytics import four_rules, swing
from tests.support.topic_runner import TopicRunner

LATENESS_SECONDS = 3.0
"""The shortest allowed lateness."""
WINDY = 29.5
"""Half of the speeds of crash_simulation.py are beyond this."""
BATCH_RECORDS = 300
"""Batches are small, so that a run has many."""


class BorrowedSpark(SparkRuntime):
    """The context of another program's Spark."""

    def __init__(self, port: int, secret: str, folder: Path) -> None:
        login = {"PYSPARK_GATEWAY_PORT": str(port), "PYSPARK_GATEWAY_SECRET": secret}
        super().__init__(SparkSettings(java_home=Path(), jars=(), environ=login), folder)
        spark = self.jvm.org.apache.spark
        self._java_context = spark.api.java.JavaSparkContext.fromSparkContext(spark.SparkContext.getOrCreate())
        # That program has compiled them already, into its own folder.
        self._compiled = self._java_sources = set(SOURCES)

    def close(self) -> None:
        """Leaves the context to its owner."""


class PlatformFile(Sink):
    """Appends what is posted of each window to a file, which stands for the platform; so are all alarms after a change."""

    name = "file"
    target = "file"

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def deliver(self, results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        for result in results:
            self.write([result.entity_kind, result.entity, result.ts_ms, dict(result.values)])
        callback.accepted(results)

    def write(self, line: Sequence[Any]) -> None:
        os.write(self._file, f"{json.dumps(line)}\n".encode())


def never_sync() -> None:
    """Makes the state store careless: it does not wait for the disk."""
    original = store.StateStore._open

    def careless(self: Any) -> None:
        original(self)
        self._db.execute("PRAGMA synchronous = OFF")

    store.StateStore._open = careless  # type: ignore[method-assign]


def main() -> None:
    settings = json.loads(sys.argv[1])
    if settings["careless"]:
        never_sync()
    runtime = BorrowedSpark(settings["port"], os.environ["SPARK_SECRET"], Path(settings["checkpoint"]))
    sink = PlatformFile(Path(settings["platform"]))
    alarms = AlarmPlatform()
    alarms.after = lambda _what: sink.write(["alarms", *(astuple(each) for each in alarms.alarms)])
    rules = four_rules(settings["topic"], lateness=LATENESS_SECONDS, function=True, windy=WINDY)
    endpoint = KafkaEndpoint(settings["bootstrap"])
    runner = TopicRunner(endpoint, settings["topic"], rules, {"swings": swing})
    for seconds in settings["runs"]:
        config = JobConfig(
            kafka=endpoint,
            topic=settings["topic"],
            rules=rules,
            checkpoint=Path(settings["checkpoint"]),
            spark=runtime._settings,
            starting_offsets="earliest",
            duration=seconds,
        )
        AggregationJob(
            config,
            sink,
            functions=lambda *_: runner,
            alarms=alarms,
            runtime=runtime,
        ).run(threading.Event())


if __name__ == "__main__":
    main()
