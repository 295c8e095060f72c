"""A real broker, one Spark for the jobs in this process, and a sink that stores results as a platform does."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from pacifictool.analytics.config import JobConfig
from pacifictool.analytics.engine.spark import SparkRuntime
from pacifictool.analytics.job import AggregationJob
from pacifictool.analytics.job_progress import JobProgress, JobSummary, Tracker
from pacifictool.analytics.sinks.base import DeliveryCallback, Sink
from pacifictool.analytics.windows import UNITS, WindowResult
from pacifictool.kafka.records import read_records
from pacifictool.kafka.topics import LOG_APPEND_TIME, KafkaAdmin
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import KAFKA_BROKER, ensure_jars
from pacifictool.runtime.java import JavaRuntime, find_java
from pacifictool.runtime.kafka_broker import KafkaBroker
from pacifictool.settings import KafkaEndpoint
from tests.support.local_spark import local_spark
from tests.support.recorders import RecordingReporter
from tests.support.scenarios import mean_in, mean_rules
from tests.support.waiting import wait_until

Values = dict[tuple[str, int], tuple[int, float]]
"""(Zone, window end in ms) → (count, mean)."""


class KeepingSink(Sink):
    """Keeps results in SQLite by entity and window end, as a platform does: a repeat overwrites, the last is latest."""

    name = "keeping"
    target = "keeping"

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS posts (number INTEGER PRIMARY KEY, zone, ts, count, mean, posted_at)"
            )

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None)

    def deliver(self, results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        with self._open() as database:
            database.execute("BEGIN")  # else each row is a transaction
            database.executemany(
                "INSERT INTO posts (zone, ts, count, mean, posted_at) VALUES (?, ?, ?, ?, ?)",
                [
                    (result.entity, result.window_end_ms, result.count, mean_in(result), time.time())
                    for result in results
                ],
            )
        callback.accepted(results)

    def posts(self) -> list[tuple[str, int, int, float, float]]:
        """Every post in order: zone, ts, count, mean, time of the post."""
        with self._open() as database:
            return database.execute("SELECT zone, ts, count, mean, posted_at FROM posts ORDER BY number").fetchall()

    def values(self) -> Values:
        return {(zone, ts): (count, mean) for zone, ts, count, mean, _ in self.posts()}

    def latest(self) -> dict[str, int]:
        """The window end that was written last, by zone."""
        return {zone: ts for zone, ts, *_ in self.posts()}


@dataclass
class Running:
    """A job in its own thread."""

    job: AggregationJob
    reporter: RecordingReporter
    stop: threading.Event = field(default_factory=threading.Event)
    summary: JobSummary | None = None
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)  # a failed test leaves it running
        self._thread.start()

    def _run(self) -> None:
        try:
            self.summary = self.job.run(self.stop)
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            self.error = error

    def finish(self) -> JobSummary:
        self.stop.set()
        self._thread.join(60)
        if self.error is not None:
            raise self.error
        assert self.summary is not None
        return self.summary

    def wait_for(self, condition: Callable[[], object], seconds: float = 120) -> None:
        def holds() -> object:
            held = condition()
            if not held and self.error is not None:
                raise self.error
            return held

        wait_until(holds, "the job", seconds)


@dataclass
class JobFactory:
    """Everything that a test of the job needs."""

    broker: KafkaBroker
    java: JavaRuntime
    jars: Sequence[Path]
    runtime: SparkRuntime
    folder: Path

    @property
    def endpoint(self) -> KafkaEndpoint:
        return KafkaEndpoint(self.broker.bootstrap)

    def topic(self, *, partitions: int = 2, timestamp_type: str = LOG_APPEND_TIME) -> str:
        name = f"t-{uuid4().hex[:8]}"
        KafkaAdmin(self.endpoint).create(name, partitions=partitions, replication=1, timestamp_type=timestamp_type)
        return name

    def producer(self, **config: Any) -> Producer:
        return Producer({"bootstrap.servers": self.broker.bootstrap, "linger.ms": 5, **config})

    def config(
        self, topic: str, *, checkpoint: str = "job", analytics: Mapping[str, Any] | None = None, **options: Any
    ) -> JobConfig:
        return JobConfig(
            kafka=self.endpoint,
            topic=topic,
            rules=mean_rules(**{"window": 1, **(analytics or {})}),
            checkpoint=self.folder / checkpoint,
            spark=local_spark(self.java),
            **{"starting_offsets": "earliest", **options},
        )

    def sink(self, name: str = "platform") -> KeepingSink:
        return KeepingSink(self.folder / f"{name}.sqlite")

    def run(self, topic: str, sink: Sink, **options: Any) -> JobSummary:
        """Counts the topic's present records and stops."""
        config = self.config(topic, available_now=True, **options)
        return AggregationJob(config, sink, runtime=self.runtime).run(threading.Event())

    def start(
        self,
        topic: str,
        sink: Sink,
        *,
        progress: Callable[[JobProgress], None] | None = None,
        tracker: Tracker | None = None,
        **options: Any,
    ) -> Running:
        notes = RecordingReporter()
        job = AggregationJob(
            self.config(topic, **options),
            sink,
            reporter=notes,
            progress=progress,
            runtime=self.runtime,
            tracker=tracker,
        )
        return Running(job, notes)

    def expected_values(
        self, topic: str, valid: Callable[[bytes | None], tuple[str, float] | None], window_ms: int = 1000
    ) -> Values:
        """The means recomputed from the topic by another consumer, with fractions."""
        sums: dict[tuple[str, int], tuple[int, int]] = {}
        for record in read_records(self.endpoint, topic):
            reading = valid(record.value)
            if reading is not None and record.timestamp_ms is not None:
                zone, number = reading
                key = (zone, record.timestamp_ms // window_ms * window_ms + window_ms)
                count, total = sums.get(key, (0, 0))
                sums[key] = (count + 1, total + round(Fraction(number * UNITS)))
        return {key: (count, float(Fraction(total, count * UNITS))) for key, (count, total) in sums.items()}


@pytest.fixture(scope="session")
def java() -> JavaRuntime:
    return find_java(os.environ)


@pytest.fixture(scope="session")
def broker(java: JavaRuntime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A broker for the jobs of one worker; a test stops and starts it."""
    jars = ensure_jars(KAFKA_BROKER, java=java, cache_dir=default_cache_dir(os.environ), environ=os.environ)
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"), java=java, jars=jars)
    broker.start()
    yield broker
    broker.stop(graceful=False)


@pytest.fixture
def jobs(spark: SparkRuntime, broker: KafkaBroker, java: JavaRuntime, tmp_path: Path) -> JobFactory:
    return JobFactory(broker, java, local_spark(java).jars, spark, tmp_path)
