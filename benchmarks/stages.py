"""What `make bench` measures, stage by stage. Every stage returns a part of the one JSON document."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import fleet, rivals
from benchmarks.expected import Exact, differences
from benchmarks.rivals import OURS, PEERS, READING, Outcome, Topic
from benchmarks.starting import measure_start, middle
from benchmarks.stream import CLOSING_ZONE, WINDOW_MS, Workload, fill, total_records
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import KAFKA_BROKER, ensure_jars
from pacifictool.runtime.java import find_java
from pacifictool.runtime.kafka_broker import KafkaBroker
from pacifictool.settings import KafkaEndpoint

ONE_CORE = f"{OURS}, one core"
HEADLINES = (Workload(0), Workload(0, distinct=True))
MATRIX = (
    Workload(0, partitions=1),
    Workload(0, partitions=1, distinct=True),
    Workload(0, zones=10_000),
    Workload(0, zones=10_000, distinct=True),
)


@dataclass(frozen=True)
class Scale:
    """How much is done."""

    records: int
    """A topic for us and for Spark reading only."""
    peer_records: int
    """The beginning of the same stream, for the peers: they are 5 to 20 times slower, and rates are compared."""
    repetitions: int
    growth_records: Sequence[int]
    growth_zones: Sequence[int]
    growth_partitions: Sequence[int]
    growth_devices: Sequence[int]
    start_repetitions: int
    batches_seconds: float
    fleet_seconds: float
    fleet_repetitions: int
    steady_seconds: float


FULL = Scale(
    records=5_000_000,
    peer_records=500_000,
    repetitions=3,
    growth_records=(100_000, 300_000, 1_000_000, 3_000_000, 5_000_000),
    growth_zones=(3, 30, 300, 3_000, 10_000),
    growth_partitions=(1, 2, 4, 8, 16),
    growth_devices=(10, 100, 1_000, 5_000, 10_000),
    start_repetitions=3,
    batches_seconds=40,
    fleet_seconds=5,
    fleet_repetitions=5,
    steady_seconds=60,
)
QUICK = Scale(
    records=1_000_000,
    peer_records=100_000,
    repetitions=2,
    growth_records=(100_000, 1_000_000),
    growth_zones=(3, 10_000),
    growth_partitions=(1, 8),
    growth_devices=(10, 1_000),
    start_repetitions=1,
    batches_seconds=20,
    fleet_seconds=2,
    fleet_repetitions=1,
    steady_seconds=10,
)


class WrongMeans(Exception):
    """An engine computed something else than the others."""


@dataclass
class Bench:
    """A broker, the engines' environments, and the topics that are filled."""

    endpoint: KafkaEndpoint
    pythons: Mapping[str, Path]
    scale: Scale
    _topics: dict[Workload, tuple[Topic, Exact]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def topic(self, workload: Workload) -> tuple[Topic, Exact]:
        """The topic of a workload, filled at the first call, and the exact means."""
        if workload not in self._topics:
            _say(f"Filling a topic: {workload.records:,} records, {workload.name}")
            name = f"bench-{next(self._numbers)}"
            exact = fill(self.endpoint, name, workload)
            self._topics[workload] = (Topic(name, total_records(workload)), exact)
        return self._topics[workload]

    def forget(self, workload: Workload) -> None:
        """Deletes the topic."""
        if workload in self._topics:
            topic, _ = self._topics.pop(workload)
            KafkaAdmin(self.endpoint).delete(topic.name)

    def run(self, engine: str, workloads: Sequence[Workload], label: str | None = None) -> Outcome:
        """Runs an engine over workloads in turn. Raises WrongMeans unless every mean is right."""
        topics = [self.topic(workload) for workload in workloads]
        environ = dict(os.environ) | ({"BENCH_MASTER": "local[1]"} if label == ONE_CORE else {})
        outcome = rivals.run(
            engine,
            self.pythons[engine],
            self.endpoint.bootstrap,
            [topic for topic, _ in topics],
            window_ms=WINDOW_MS,
            environ=environ,
        )
        for report, (topic, exact) in zip(outcome.reports, topics, strict=True):
            # All means of ours are the nearest doubles to the exact ones, whatever the order of the records.
            tolerance = {"tolerance": 0.0} if engine == OURS else {}
            wrong = (
                [] if engine == READING else differences(exact, report.means, closing_zone=CLOSING_ZONE, **tolerance)
            )
            if engine == READING and report.records != topic.records:
                wrong = [f"{report.records} records instead of {topic.records}"]
            if wrong:
                raise WrongMeans(f"{engine}: {len(wrong)} values differ, the first: {wrong[0]}")
        rates = ", ".join(f"{report.per_second:,.0f}/s" for report in outcome.reports)
        _say(f"  {label or engine}: {rates}")
        return outcome


@contextmanager
def broker(folder: Path) -> Iterator[KafkaEndpoint]:
    """A Kafka broker of the benchmark's own."""
    java = find_java(os.environ)
    jars = ensure_jars(KAFKA_BROKER, java=java, cache_dir=default_cache_dir(os.environ), environ=os.environ)
    # The stream's timestamps are in the past: the broker must not delete its records by retention.
    extra = {"log.retention.ms": "-1", "log.segment.delete.delay.ms": "1000"}
    with KafkaBroker(folder, java=java, jars=jars, heap="1g", extra=extra) as running:
        yield KafkaEndpoint(running.bootstrap)


def engines(bench: Bench) -> dict[str, Any]:
    """Ourselves and the peers, by turns, over the two headline workloads; then ourselves over the others."""
    scale = bench.scale
    result: dict[str, Any] = {}
    for headline in HEADLINES:
        workload, share = headline.of_length(scale.records), headline.of_length(scale.peer_records)
        samples: dict[str, list[dict[str, float]]] = {}
        for repetition in range(scale.repetitions):
            _say(f"{workload.name}, repetition {repetition + 1}")
            for engine, label in ((READING, READING), (OURS, OURS), (OURS, ONE_CORE)):
                outcome = bench.run(engine, [workload, workload], label)
                for number, phase in enumerate(("cold", "warm")):
                    samples.setdefault(f"{label}, {phase}", []).append(_sample(outcome, number))
            for peer in PEERS:
                samples.setdefault(peer, []).append(_sample(bench.run(peer, [share]), 0))
        result[workload.name] = {
            "records": workload.records,
            "peer_records": share.records,
            "engines": {name: _middles(found) for name, found in samples.items()},
            "ours_to_best_peer": _ratio_to_best_peer(samples),
        }
        for used in (workload, share):
            bench.forget(used)
    return result


def matrix(bench: Bench) -> dict[str, Any]:
    """Ourselves over the other workloads."""
    result: dict[str, Any] = {}
    for kind in MATRIX:
        workload = kind.of_length(bench.scale.records)
        samples: dict[str, list[dict[str, float]]] = {}
        for _ in range(bench.scale.repetitions):
            outcome = bench.run(OURS, [workload, workload])
            for number, phase in enumerate(("cold", "warm")):
                samples.setdefault(f"{OURS}, {phase}", []).append(_sample(outcome, number))
        result[workload.name] = {
            "records": workload.records,
            "engines": {name: _middles(found) for name, found in samples.items()},
        }
        bench.forget(workload)
    return result


def growth(bench: Bench) -> dict[str, Any]:
    """Our warm rate as one thing grows and the others stay."""
    scale = bench.scale
    middling = Workload(min(1_000_000, scale.records))
    series = {
        "records": {n: middling.of_length(n) for n in scale.growth_records},
        "zones": {n: Workload(middling.records, zones=n, distinct=True) for n in scale.growth_zones},
        "partitions": {n: Workload(middling.records, partitions=n) for n in scale.growth_partitions},
    }
    result: dict[str, Any] = {}
    for name, workloads in series.items():
        outcome = bench.run(OURS, [middling, middling, *workloads.values()], f"{OURS}, growing {name}")
        result[name] = [
            {name: size, "per_second": report.per_second, "cpu_seconds_per_million": _per_million(report)}
            for size, report in zip(workloads, outcome.reports[2:], strict=True)
        ]
        for workload in workloads.values():
            if workload != middling:
                bench.forget(workload)
    return result


def start(bench: Bench) -> dict[str, Any]:
    """From the launch to the first result over a topic of 1,000 records; the command; the cost of a small batch."""
    tiny = Workload(1_000, partitions=1)
    launches: dict[str, list[float]] = {}
    for _ in range(bench.scale.start_repetitions):
        for engine in (OURS, *PEERS):
            launches.setdefault(engine, []).append(bench.run(engine, [tiny]).first_seconds)
    command = measure_start(
        bench.endpoint, repetitions=bench.scale.start_repetitions, seconds=bench.scale.batches_seconds
    )
    return {
        "launch_to_first_result_seconds": {engine: middle(found) for engine, found in launches.items()},
        **{name: middle(values) for name, values in command.items()},
    }


def simulation(bench: Bench) -> dict[str, Any]:
    """The fleet against Mosquitto, compared with paho."""
    scale = bench.scale
    result = fleet.full_speed(scale.fleet_seconds, scale.fleet_repetitions)
    _say("Full speed by number of devices")
    devices = fleet.by_devices(scale.growth_devices, scale.fleet_seconds)
    result["devices"] = [{"devices": number, "per_second": rate} for number, rate in devices.items()]
    _say("1,000 and 10,000 devices at 10,000 messages/s")
    result["steady"] = fleet.steady(scale.steady_seconds)
    return result


STAGES: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "engines": engines,
    "matrix": matrix,
    "growth": growth,
    "start": start,
    "simulation": simulation,
}


def _sample(outcome: Outcome, number: int) -> dict[str, float]:
    report = outcome.reports[number]
    return {
        "per_second": report.per_second,
        "cpu_seconds_per_million": _per_million(report),
        "peak_mb": outcome.peak_mb,
        "start_seconds": outcome.start_seconds,
    }


def _per_million(report: rivals.Report) -> float:
    return report.cpu_seconds / report.records * 1e6


def _middles(samples: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {measure: middle([sample[measure] for sample in samples]) for measure in samples[0]}


def _ratio_to_best_peer(samples: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """By phase of ours: rate ÷ the best peer's rate of the same repetition."""
    return {
        phase: middle(
            [
                own["per_second"] / max(samples[peer][number]["per_second"] for peer in PEERS)
                for number, own in enumerate(samples[f"{OURS}, {phase}"])
            ]
        )
        for phase in ("cold", "warm")
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
