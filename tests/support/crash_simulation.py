"""Cuts the power of a job at hundreds of points, and restarts it from what its disk may hold then.

One run of the real job, on real Kafka and real Spark, is recorded with strace. Each case picks a point in it, loses a random
subset of what was not synced by then, starts the job on the rest, and compares every value of
five analytics, one of them a function, and every alarm that the platform shows afterwards with those computed independently from the topic. `make crash-simulation CASES=300 SEED=1` runs it and prints one JSON
line at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest import mock
from uuid import uuid4

from confluent_kafka import Producer

from pacifictool.analytics import planner
from pacifictool.analytics.config import JobConfig
from pacifictool.analytics.engine.reader import SOURCES
from pacifictool.analytics.engine.spark import SparkRuntime
from pacifictool.analytics.job import AggregationJob
from pacifictool.analytics.sinks.base import DeliveryCallback, Sink
from pacifictool.analytics.state.reader import JobView
from pacifictool.analytics.windows import WindowResult
from pacifictool.kafka.records import Record, read_records
from pacifictool.kafka.topics import CREATE_TIME, KafkaAdmin
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import KAFKA_BROKER, ensure_jars
from pacifictool.runtime.java import find_java
from pacifictool.runtime.kafka_broker import KafkaBroker
from pacifictool.settings import KafkaEndpoint
from tests.support.alarm_oracle import Alarms, wanted_alarms
from tests.support.alarm_platform import AlarmPlatform, ModelAlarm
from tests.support.four_analytics import document_of, four_analytics, four_rules, record, swing
from tests.support.local_spark import local_spark
from tests.support.oracle import differences, expected_of
from tests.support.random_scenarios import Expected, Place
from tests.support.recorded_job import BATCH_RECORDS, LATENESS_SECONDS, WINDY
from tests.support.topic_runner import TopicRunner
from tests.support.unsynced_files import SYSTEM_CALLS, Disk, Event, read_trace

Shown = dict[Place, float]
"""What the platform shows."""
RUNS: Final = (6.0, 4.0)
"""Seconds of the recorded runs: the second begins where the first ended."""
GARBAGE: Final = b"garbage"
DISORDER_MS: Final = 1000
"""How far a record may be behind the one before it: windows that are posted have to be corrected."""


@dataclass
class Outcome:
    """The results of the cases."""

    seed: int
    cases: int = 0
    windows: int = 0
    """Windows compared: those of all groups of all analytics, in each case."""
    values: int = 0
    alarms: int = 0
    """Alarms that had to be active in the end, of all cases."""
    corrections: int = 0
    """Results that the restarted jobs and the runs before them had to post once more, as the restarted jobs count."""
    differences: list[str] = field(default_factory=list)

    def as_document(self) -> dict[str, Any]:
        """As the program prints it."""
        return {
            "ok": not self.differences,
            "seed": self.seed,
            "cases": self.cases,
            "windows": self.windows,
            "values": self.values,
            "alarms": self.alarms,
            "corrections": self.corrections,
            "differences": len(self.differences),
            "first": self.differences[:3],
        }


class _Platform(Sink):
    """Remembers the newest value of each entity and window."""

    name = "file"
    target = "file"

    def __init__(self, shown: Shown) -> None:
        self.shown = shown

    def deliver(self, results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        for result in results:
            for key, value in result.values.items():
                self.shown[result.entity_kind, result.entity, key, result.ts_ms] = value
        callback.accepted(results)


class CrashSimulation:
    """A recorded run, to be cut off at any point."""

    def __init__(self, bootstrap: str, spark: SparkRuntime, folder: Path) -> None:
        self._endpoint = KafkaEndpoint(bootstrap)
        self._spark = spark
        self._folder = folder
        self._topic = f"crash-{uuid4().hex[:8]}"
        self._checkpoint = folder / "recorded"
        self._platform_file = folder / "platform.jsonl"
        self._events: list[Event] = []
        self._expected = Expected({}, {}, set())
        self._alarms: Alarms = {}
        self._rules = four_rules(self._topic, lateness=LATENESS_SECONDS, function=True, windy=WINDY)
        self._runner = TopicRunner(self._endpoint, self._topic, self._rules, {"swings": swing})

    def record(self, *, careless: bool = False) -> int:
        """Runs the job and records it; returns the number of its system calls. `careless`: it never syncs."""
        KafkaAdmin(self._endpoint).create(self._topic, partitions=2, replication=1, timestamp_type=CREATE_TIME)
        _ = self._spark.java_context  # which the recorded job borrows
        self._spark.add_java_sources(*SOURCES)  # with the classes, which nothing else compiles here
        self._run_job(self._folder / "warm-up", {}, AlarmPlatform())
        with self._feed():
            trace = self._folder / "trace"
            gateway = self._spark.gateway
            settings = {
                "port": gateway.java_parameters.port,
                "bootstrap": self._endpoint.bootstrap,
                "topic": self._topic,
                "checkpoint": str(self._checkpoint),
                "platform": str(self._platform_file),
                "runs": RUNS,
                "careless": careless,
            }
            strace = ["strace", "-f", "-y", "-xx", "-s", "10000000", "-e", f"trace={SYSTEM_CALLS}", "-o", str(trace)]
            program = [sys.executable, str(Path(__file__).with_name("recorded_job.py")), json.dumps(settings)]
            environ = {
                **os.environ,
                "SPARK_SECRET": gateway.java_parameters.auth_token,
                # SQLite's temporary files and Python's caches hold no state.
                "PYTHONDONTWRITEBYTECODE": "1",
            }
            subprocess.run([*strace, *program], check=True, env=environ, timeout=500)
        self._events = read_trace(trace, self._checkpoint, self._platform_file)
        self._recompute()
        return len(self._events)

    def case(self, random_: random.Random, outcome: Outcome) -> None:
        """Cuts the power once, restarts the job, and adds what was compared, and what differs, to the outcome."""
        crash_point = random_.randrange(1, len(self._events) + 1)
        played = self._events[:crash_point]
        disk = Disk(self._checkpoint)
        disk.play(played)
        folder = self._folder / "case"
        disk.cut_power(folder, random_)
        shown, alarms = self._posted(played)
        outcome.cases += 1
        try:
            found, corrections = self._run_job(folder, shown, alarms)
        except Exception as error:  # noqa: BLE001 - whatever a damaged store leads to is a difference
            found = [f"the job does not go on: {error!r}"]
        else:
            outcome.corrections += corrections
            outcome.windows += self._expected.windows
            outcome.values += len(self._expected.values)
            found += differences(self._expected.values, shown, self._expected.bounds)
            outcome.alarms += len(self._alarms)
            found += [f"alarm {place}" for place in sorted(self._alarms.items() ^ alarms.active.items())]
        finally:
            shutil.rmtree(folder)
        outcome.differences += [f"at system call {crash_point}: {each}" for each in found]

    # --- inside --------------------------------------------------------------------------------------------------

    def _run_job(self, folder: Path, shown: Shown, alarms: AlarmPlatform) -> tuple[list[str], int]:
        """Counts the topic's records. Returns what is wrong with the invalid ones, and the number of corrections."""
        config = JobConfig(
            kafka=self._endpoint,
            topic=self._topic,
            rules=self._rules,
            checkpoint=folder,
            spark=self._spark._settings,
            starting_offsets="earliest",
            available_now=True,
        )
        AggregationJob(
            config,
            _Platform(shown),
            functions=lambda *_: self._runner,
            alarms=alarms,
            runtime=self._spark,
        ).run(threading.Event())
        view = JobView(folder)
        try:
            kept = {(each.partition, each.offset): each.reason for each in view.invalid_records()}
            corrections = view.counters().get("corrections", 0)
        finally:
            view.close()
        wanted = self._expected.invalid
        return [
            f"invalid record {position}: {kept.get(position, 'not kept')}" for position in sorted(wanted ^ kept.keys())
        ], corrections

    @contextmanager
    def _feed(self) -> Iterator[None]:
        """Writes records, some of them invalid, while the block runs."""
        stop = threading.Event()
        producer = Producer({"bootstrap.servers": self._endpoint.bootstrap, "linger.ms": 5})
        random_ = random.Random(1)

        def feed() -> None:
            while not stop.wait(0.02):
                for _ in range(5):
                    ts_ms = round(time.time() * 1000) - random_.randrange(DISORDER_MS)
                    number = random_.randrange(8)
                    value = record(
                        f"Zone {number % 4}", random_.randrange(-1, 60), device=f"Turbine {number}", ts_ms=ts_ms
                    )
                    value = GARBAGE if random_.random() < 0.03 else value
                    producer.produce(self._topic, value, timestamp=ts_ms)
                producer.poll(0)

        thread = threading.Thread(target=feed)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            producer.flush()

    def _posted(self, events: Sequence[Event]) -> tuple[Shown, AlarmPlatform]:
        """What the platform shows of the posts before the power cut, which does not affect it."""
        written = b"".join(event.data for event in events if event.path == self._platform_file)
        lines = [json.loads(line) for line in written.splitlines()]
        shown = {
            (kind, entity, key, ts): value
            for kind, entity, ts, values in (line for line in lines if line[0] != "alarms")
            for key, value in values.items()
        }
        known: list[Any] = next((line[1:] for line in reversed(lines) if line[0] == "alarms"), [])
        alarms = [ModelAlarm(identifier, tuple(place), *more) for identifier, place, *more in known]
        return shown, AlarmPlatform(alarms=alarms)

    def _recompute(self) -> None:
        records: list[Record] = list(read_records(self._endpoint, self._topic))
        text = four_analytics(self._topic, lateness=LATENESS_SECONDS, function=True, windy=WINDY)
        self._expected = expected_of(document_of(text), records)
        self._alarms = wanted_alarms(document_of(text), self._expected)


def simulate(simulation: CrashSimulation, cases: int, seed: int, *, seconds: float = float("inf")) -> Outcome:
    """Runs the cases; prints its progress on stderr."""
    outcome = Outcome(seed)
    until = time.monotonic() + seconds
    while outcome.cases < cases and time.monotonic() < until:
        simulation.case(random.Random(f"{seed}-{outcome.cases}"), outcome)
        if outcome.cases % 25 == 0:
            print(f"{outcome.cases} of {cases} cases, {len(outcome.differences)} differences", file=sys.stderr)  # noqa: T201
    return outcome


@contextmanager
def prepared(
    folder: Path, bootstrap: str | None = None, spark: SparkRuntime | None = None
) -> Iterator[CrashSimulation]:
    """A simulation, with a broker and a Spark of its own if none are given."""
    java = find_java(os.environ)
    folder.mkdir(parents=True, exist_ok=True)
    with mock.patch.object(planner, "MOST_RECORDS", BATCH_RECORDS), ExitStack() as own:
        if spark is None:
            spark = own.enter_context(SparkRuntime(local_spark(java), folder / "spark"))
        if bootstrap is None:
            jars = ensure_jars(KAFKA_BROKER, java=java, cache_dir=default_cache_dir(os.environ), environ=os.environ)
            bootstrap = own.enter_context(KafkaBroker(folder / "kafka", java=java, jars=jars)).bootstrap
        yield CrashSimulation(bootstrap, spark, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=round(time.time()))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crash-simulation-") as name, prepared(Path(name)) as simulation:
        calls = simulation.record()
        print(f"Recorded {calls} system calls; cutting the power {arguments.cases} times.", file=sys.stderr)  # noqa: T201
        outcome = simulate(simulation, arguments.cases, arguments.seed)
    print(json.dumps(outcome.as_document()))  # noqa: T201
    sys.exit(0 if not outcome.differences else 1)


if __name__ == "__main__":
    main()
