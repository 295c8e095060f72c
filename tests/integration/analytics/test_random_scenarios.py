"""Random scenarios: every value of every analytics, against a computation that shares no code; replays change nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from pacifictool.analytics.config import JobConfig
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.engine.spark import SparkRuntime, SparkSettings
from pacifictool.analytics.job import AggregationJob
from pacifictool.analytics.sinks.base import DeliveryCallback, Sink
from pacifictool.analytics.state.reader import JobView
from pacifictool.analytics.windows import WindowResult
from pacifictool.kafka.records import read_records
from pacifictool.kafka.topics import CREATE_TIME, KafkaAdmin
from pacifictool.local.stack import LocalStack
from pacifictool.scenario import Scenario
from pacifictool.settings import KafkaEndpoint
from tests.support.random_scenarios import SPAN_MS, Expected, Place, RandomScenario, expected, random_scenario

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

PARTITIONS = 3


class RecordingSink(Sink):
    """Keeps the last value of each place, as a platform does."""

    name = "recording"
    target = "recording"

    def __init__(self) -> None:
        self.values: dict[Place, float] = {}

    def deliver(self, results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        for result in results:
            for key, value in result.values.items():
                self.values[result.entity_kind, result.entity, key, result.ts_ms] = value
        callback.accepted(results)


class Case:
    """One scenario with its topic."""

    def __init__(
        self, scenario: RandomScenario, stack: LocalStack, spark: SparkRuntime, settings: SparkSettings
    ) -> None:
        self.scenario = scenario
        self.topic = f"random-{uuid4().hex[:8]}"
        self.endpoint = KafkaEndpoint(stack.broker.bootstrap)
        self._spark, self._settings = spark, settings
        KafkaAdmin(self.endpoint).create(self.topic, partitions=PARTITIONS, replication=1, timestamp_type=CREATE_TIME)

    def produce(self, first: int, last: int) -> None:
        producer = Producer(
            {"bootstrap.servers": self.endpoint.bootstrap, "queue.buffering.max.messages": 1_000_000, "linger.ms": 20}
        )
        for number, (value, timestamp) in enumerate(self.scenario.records[first:last], first):
            producer.produce(self.topic, value, partition=number * 7919 % PARTITIONS, timestamp=timestamp)
            if number % 1000 == 0:
                producer.poll(0)
        assert producer.flush(60) == 0

    def run(self, sink: Sink, checkpoint: Path) -> None:
        config = JobConfig(
            kafka=self.endpoint,
            topic=self.topic,
            rules=RecordRules.of_scenario(Scenario.model_validate(self.scenario.document)),
            checkpoint=checkpoint,
            spark=self._settings,
            starting_offsets="earliest",
            available_now=True,
        )
        AggregationJob(config, sink, runtime=self._spark).run(threading.Event())

    def expected(self) -> Expected:
        records = [
            (record.partition, record.offset, record.timestamp_ms or 0, record.value or b"")
            for record in read_records(self.endpoint, self.topic)
        ]
        return expected(self.scenario.document, records)


def check(seed: int, records: int, case: Case, folder: Path) -> None:
    """Two runs, the second of which goes on where the first ended; then all once more from the beginning."""
    sink = RecordingSink()
    case.produce(0, records // 2)
    case.run(sink, folder / "job")
    case.produce(records // 2, records)
    case.run(sink, folder / "job")

    wanted = case.expected()
    assert sink.values.keys() == wanted.values.keys(), seed
    for place, value in sink.values.items():
        bound = wanted.bounds[place]
        near = pytest.approx(wanted.values[place], rel=bound, abs=1e-9) if bound else wanted.values[place]
        assert value == near, (seed, place)
    view = JobView(folder / "job")
    kept = 0
    for (name, end_ms), places in wanted.places.items():
        # Of windows that are still kept: where their records are.
        spans = {span.partition: range(span.start, span.end) for span in view.window_offsets(name, end_ms)}
        kept += len(spans)
        assert not spans or all(offset in spans[partition] for partition, offset in places), (seed, name, end_ms)
        assert all({(part, span[0]), (part, span[-1])} <= places for part, span in spans.items()), (seed, name, end_ms)
    assert kept, seed
    assert {(record.partition, record.offset) for record in view.invalid_records()} == wanted.invalid, seed
    view.close()

    again = RecordingSink()
    case.run(again, folder / "again")
    assert again.values == sink.values, seed


@pytest.mark.parametrize("seed", range(6))
def test_every_value_of_a_random_scenario_is_right(
    seed: int, stack: LocalStack, spark: SparkRuntime, spark_settings: SparkSettings, tmp_path: Path
) -> None:
    check(seed, 4_000, Case(random_scenario(seed, 4_000), stack, spark, spark_settings), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 150))
def test_every_value_of_fifty_random_scenarios_is_right(
    seed: int, stack: LocalStack, spark: SparkRuntime, spark_settings: SparkSettings, tmp_path: Path
) -> None:
    assert SPAN_MS
    check(seed, 100_000, Case(random_scenario(seed, 100_000), stack, spark, spark_settings), tmp_path)
