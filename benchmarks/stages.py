"""What `make bench` measures, stage by stage. Every stage returns a part of the one JSON document."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import fleet
from benchmarks.expected import Exact, differences
from benchmarks.measuring import EngineFailed, Outcome, measure
from benchmarks.rivals import (
    COMMAND,
    FLINK,
    FLINK_SQL,
    LIMIT,
    LIMIT_FUNCTIONS,
    LOOPS,
    ONE_CORE,
    OURS,
    PEERS,
    POLARS,
    READING,
    STREAMS,
    Engine,
    Topic,
    command_of,
)  # fmt: skip
from benchmarks.rounds import Rounds, middle
from benchmarks.scale import Scale
from benchmarks.stream import CLOSING_ZONE, FOUR_KEYS, WINDOW_MS, Workload, fill, total_records
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import KAFKA_BROKER, ensure_jars
from pacifictool.runtime.java import find_java
from pacifictool.runtime.kafka_broker import KafkaBroker
from pacifictool.settings import KafkaEndpoint

FEW, DISTINCT, MANY, MOST = "few", "distinct", "many", "most"
FUNCTIONS = "functions"


class WrongMeans(EngineFailed):
    """An engine computed something else than it should."""


@dataclass
class Bench:
    """A broker, the engines, and the topics that are filled."""

    endpoint: KafkaEndpoint
    engines: Mapping[str, Engine]
    scale: Scale
    unprepared: Mapping[str, str] = field(default_factory=dict)
    """Engines that cannot be run here, with the reason."""
    wrong: list[str] = field(default_factory=list)
    """What our own job computed wrongly: the run fails."""
    _topics: dict[Workload, tuple[Topic, Exact]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def topic(self, workload: Workload) -> tuple[Topic, Exact]:
        """The topic of a workload, filled at the first call, and the exact means."""
        if workload not in self._topics:
            say(f"Filling a topic: {workload.records:,} records, {workload.name}")
            name = f"bench-{next(self._numbers)}"
            exact = fill(self.endpoint, name, workload)
            self._topics[workload] = (Topic(name, total_records(workload)), exact)
        return self._topics[workload]

    def forget(self, *workloads: Workload) -> None:
        """Deletes the topics."""
        for workload in workloads:
            if workload in self._topics:
                topic, _ = self._topics.pop(workload)
                KafkaAdmin(self.endpoint).delete(topic.name)

    def run(self, name: str, workloads: Sequence[Workload]) -> Outcome:
        """Runs an engine over workloads in turn.

        Raises EngineFailed when it fails or takes too long, WrongMeans unless every mean is right.
        """
        if name not in self.engines:
            raise EngineFailed(self.unprepared.get(name, "is not prepared"))
        engine = self.engines[name]
        topics = [self.topic(workload) for workload in workloads]
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            outcome = measure(
                command_of(engine, self.endpoint.bootstrap, [topic for topic, _ in topics], WINDOW_MS, Path(folder)),
                passes=len(topics),
                limit_seconds=self.scale.limit_seconds,
                environ=dict(os.environ) | dict(engine.environ) | _scenario(workloads[0], Path(folder)),
            )
        for report, (topic, exact), workload in zip(outcome.reports, topics, workloads, strict=True):
            # All means of ours are the nearest doubles to the exact ones, whatever the order of the records.
            tolerance = {"tolerance": 0.0} if engine.kind == "ours" and not workload.four_keys else {}
            wrong = []
            if engine.kind != "reading":
                wrong = differences(exact, report.means, closing_zone=CLOSING_ZONE, **tolerance)
            if report.records != topic.records:
                wrong.append(f"{report.records} records instead of {topic.records}")
            if wrong:
                text = f"{len(wrong)} values differ, the first: {wrong[0]}"
                if engine.kind == "ours":
                    self.wrong.append(f"{name}: {text}")
                raise WrongMeans(text)
        rates = ", ".join(f"{report.per_second:,.0f}/s" for report in outcome.reports)
        say(f"  {name}: {rates}; launch to last mean {outcome.first_seconds:.1f} s, {outcome.peak_mb:,.0f} MB")
        return outcome


def _scenario(workload: Workload, folder: Path) -> dict[str, str]:
    if not workload.four_keys:
        return {}
    path = folder / "four_keys.toml"
    path.write_text(FOUR_KEYS, encoding="utf-8")
    return {"BENCH_SCENARIO": str(path)}


@contextmanager
def broker(folder: Path) -> Iterator[KafkaEndpoint]:
    """A Kafka broker of the benchmark's own."""
    java = find_java(os.environ)
    jars = ensure_jars(KAFKA_BROKER, java=java, cache_dir=default_cache_dir(os.environ), environ=os.environ)
    # The stream's timestamps are in the past: the broker must not delete its records by retention.
    extra = {"log.retention.ms": "-1", "log.segment.delete.delay.ms": "1000"}
    with KafkaBroker(folder, java=java, jars=jars, heap="1g", extra=extra) as running:
        yield KafkaEndpoint(running.bootstrap)


def compare(
    bench: Bench, stage: str, workload: Workload, engines: Sequence[str], once: Sequence[str] = (), passes: int = 2
) -> dict[str, Any]:
    """The engines by turns over a workload, as often as the scale and the stage's time allow; `once` only in the first
    round. An engine that fails is not tried again."""
    share = workload.of_length(bench.scale.slow_records)
    rounds = Rounds(bench.scale.repetitions, bench.scale.minutes[stage])
    bench.topic(workload)  # filled before the time counts
    for number in rounds:
        say(f"{workload.name}, repetition {number + 1}")
        for name in (*engines, *(once if number == 0 else ())):
            if name in rounds.failed or name not in {*bench.engines, *bench.unprepared}:
                continue
            slow = name in LOOPS
            several = min(passes, bench.engines[name].passes) if name in bench.engines else 1
            try:
                outcome = bench.run(name, [share if slow else workload] * several)
            except EngineFailed as error:
                say(f"  {name} failed: {error}")
                rounds.failed[name] = str(error)
            else:
                rounds.add(name, outcome)
    bench.forget(workload, share)
    return {
        "title": workload.name,
        "records": workload.records,
        "slow_records": share.records,
        **rounds.document(),
    }


def peers(bench: Bench) -> dict[str, Any]:
    """Few zones: ourselves, the limit and the peers, over whole numbers and over six decimals."""
    workload = Workload(bench.scale.records)
    every = (OURS, LIMIT, FLINK, COMMAND, POLARS, STREAMS, FLINK_SQL)
    return {
        FEW: compare(bench, "peers", workload, every, once=(ONE_CORE, READING, *LOOPS)),
        DISTINCT: compare(
            bench, "decimals", Workload(workload.records, distinct=True), (OURS, LIMIT, FLINK, COMMAND, POLARS)
        ),
    }


def groups(bench: Bench) -> dict[str, Any]:
    """10,000 zones and 100,000."""
    scale = bench.scale
    return {
        MANY: compare(
            bench,
            "many",
            Workload(scale.records, zones=10_000),
            (OURS, LIMIT, FLINK, POLARS),
            once=(COMMAND, FLINK_SQL, STREAMS),
        ),
        MOST: compare(
            bench, "most", Workload(scale.most_records, zones=100_000), (OURS, LIMIT, FLINK, POLARS), passes=1
        ),
    }


def functions(bench: Bench) -> dict[str, Any]:
    """Six functions of each of four keys, against a loop that does the same."""
    workload = Workload(bench.scale.records, four_keys=True)
    return {FUNCTIONS: compare(bench, "functions", workload, (OURS, LIMIT_FUNCTIONS))}


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
        outcome = bench.run(OURS, [middling, middling, *workloads.values()])
        result[name] = [
            {name: size, "per_second": report.per_second, "cpu_seconds_per_million": report.cpu_per_million}
            for size, report in zip(workloads, outcome.reports[2:], strict=True)
        ]
        bench.forget(*(workload for workload in workloads.values() if workload != middling))
    return result


def start(bench: Bench) -> dict[str, Any]:
    """From the launch to the first result over a topic of 1,000 records; the command; the cost of a small batch."""
    from benchmarks.starting import measure_start

    tiny = Workload(1_000, partitions=1)
    launches: dict[str, list[float]] = {}
    for _ in range(bench.scale.start_repetitions):
        for engine in (OURS, LIMIT, *PEERS):
            try:
                launches.setdefault(engine, []).append(bench.run(engine, [tiny]).first_seconds)
            except EngineFailed as error:
                say(f"  {engine} failed: {error}")
    command = measure_start(
        bench.endpoint, repetitions=bench.scale.start_repetitions, seconds=bench.scale.batches_seconds
    )
    return {
        "launch_to_first_result_seconds": {engine: middle(found) for engine, found in launches.items() if found},
        **{name: middle(values) for name, values in command.items()},
    }


def demo(bench: Bench) -> dict[str, Any]:
    """`pacifictool demo`, from the command to the first mean on the screen."""
    from benchmarks.starting import measure_demo

    return {"first_mean_seconds": middle([measure_demo() for _ in range(bench.scale.start_repetitions)])}


def simulation(bench: Bench) -> dict[str, Any]:
    """The fleet against Mosquitto, compared with paho."""
    scale = bench.scale
    result = fleet.full_speed(scale.fleet_seconds, scale.fleet_repetitions)
    say("Full speed by number of devices")
    devices = fleet.by_devices(scale.growth_devices, scale.fleet_seconds)
    result["devices"] = [{"devices": number, "per_second": rate} for number, rate in devices.items()]
    say("1,000 and 10,000 devices at 10,000 messages/s")
    result["steady"] = fleet.steady(scale.steady_seconds)
    if scale.crowd:
        say(f"{scale.crowd:,} devices at 10,000 messages/s")
        result["crowd"] = fleet.crowd(scale.crowd, scale.steady_seconds)
    return result


def delivery(bench: Bench) -> dict[str, Any]:
    """10,000 means to a server of each generation, and as many requests by a loop that does nothing else."""
    from benchmarks.delivering import measure_delivery

    return measure_delivery(bench.scale.means, bench.scale.start_repetitions)


STAGES: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "peers": peers,
    "groups": groups,
    "functions": functions,
    "start": start,
    "demo": demo,
    "simulation": simulation,
    "delivery": delivery,
    "growth": growth,
}
NEEDED = {
    "peers": (*PEERS, OURS, ONE_CORE, COMMAND, LIMIT, READING),
    "groups": (OURS, COMMAND, LIMIT, FLINK, FLINK_SQL, STREAMS, POLARS),
    "functions": (OURS, LIMIT_FUNCTIONS),
    "start": (OURS, LIMIT, *PEERS),
    "growth": (OURS,),
}
"""Engines by stage."""


def run_stage(name: str, bench: Bench) -> dict[str, Any]:
    """A stage's result with how long it took; one that fails as {"failed": reason}. A Ctrl-C goes through."""
    say(f"== {name}")
    began, load = time.monotonic(), os.getloadavg()[0]
    try:
        found = STAGES[name](bench)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the other stages must go on
        found = {"failed": f"{type(error).__name__}: {error}"[:300]}
        say(f"  {name} failed: {error}")
    return {**found, "load_before": round(load, 2), "minutes": round((time.monotonic() - began) / 60, 1)}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
