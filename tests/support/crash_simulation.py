"""Cuts the power of a job at hundreds of points, and restarts it from what its disk may hold then.

One run of the real job, on real Kafka and real Spark, is recorded with strace. Each case picks a point in it, loses a random
subset of what was not synced by then, starts the job on the rest, and compares what the platform shows afterwards
with values computed independently from the topic. `make crash-simulation CASES=300 SEED=1` runs it and prints one JSON
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
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest import mock
from uuid import uuid4

from confluent_kafka import Producer

from pacifictool.analytics import planner
from pacifictool.analytics.config import JobConfig
from pacifictool.analytics.engine.spark import SparkRuntime
from pacifictool.analytics.job import AggregationJob
from pacifictool.analytics.sinks.base import DeliveryCallback, Sink
from pacifictool.analytics.state.reader import JobView
from pacifictool.analytics.windows import WindowResult
from pacifictool.kafka.records import read_records
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import KAFKA_BROKER, ensure_jars
from pacifictool.runtime.java import find_java
from pacifictool.runtime.kafka_broker import KafkaBroker
from pacifictool.settings import KafkaEndpoint
from tests.support.local_spark import local_spark
from tests.support.recorded_job import BATCH_RECORDS
from tests.support.scenarios import mean_in, mean_rules
from tests.support.unsynced_files import SYSTEM_CALLS, Disk, Event, read_trace

Shown = dict[tuple[str, int], tuple[int, float]]
"""What the platform shows: (zone, window end in ms) → (count, mean)."""
RUNS: Final = (6.0, 4.0)
"""Seconds of the recorded runs: the second begins where the first ended."""
GARBAGE: Final = b"garbage"


@dataclass
class Outcome:
    """The results of the cases."""

    seed: int
    cases: int = 0
    windows: int = 0
    differences: list[str] = field(default_factory=list)

    def as_document(self) -> dict[str, Any]:
        return {
            "ok": not self.differences,
            "seed": self.seed,
            "cases": self.cases,
            "windows": self.windows,
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
            self.shown[result.entity, result.window_end_ms] = (result.count, mean_in(result))
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
        self._expected: Shown = {}
        self._garbage: set[tuple[int, int]] = set()

    def record(self, *, careless: bool = False) -> int:
        """Runs the job and records it; returns the number of its system calls. `careless`: it never syncs."""
        KafkaAdmin(self._endpoint).create(self._topic, partitions=2, replication=1)
        self._run_job(self._folder / "warm-up", {})  # compiles the Java
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
            subprocess.run([*strace, *program], check=True, env=environ, timeout=180)
        self._events = read_trace(trace, self._checkpoint, self._platform_file)
        self._recompute()
        return len(self._events)

    def case(self, random_: random.Random) -> tuple[int, list[str]]:
        """Cuts the power once and restarts the job. Returns the windows compared, and what differs."""
        crash_point = random_.randrange(1, len(self._events) + 1)
        played = self._events[:crash_point]
        disk = Disk(self._checkpoint)
        disk.play(played)
        folder = self._folder / "case"
        disk.cut_power(folder, random_)
        shown = self._posted(played)
        try:
            invalid = self._run_job(folder, shown)
        except Exception as error:  # noqa: BLE001 - whatever a damaged store leads to is a difference
            return 0, [f"at system call {crash_point}: the job does not go on: {error!r}"]
        finally:
            shutil.rmtree(folder)
        differences = [
            f"at system call {crash_point}: {zone} at {ts}: {shown.get((zone, ts))} instead of {value}"
            for (zone, ts), value in self._expected.items()
            if shown.get((zone, ts)) != value
        ]
        differences += [
            f"at system call {crash_point}: {key} is too much" for key in shown.keys() - self._expected.keys()
        ]
        if invalid != self._garbage:
            differences.append(f"at system call {crash_point}: {len(invalid ^ self._garbage)} invalid records differ")
        return len(self._expected), differences

    # --- inside --------------------------------------------------------------------------------------------------

    def _run_job(self, folder: Path, shown: Shown) -> set[tuple[int, int]]:
        """Counts the topic's records; returns the positions of the invalid ones."""
        config = JobConfig(
            kafka=self._endpoint,
            topic=self._topic,
            rules=mean_rules(window=1),
            checkpoint=folder,
            spark=self._spark._settings,
            starting_offsets="earliest",
            available_now=True,
        )
        AggregationJob(config, _Platform(shown), runtime=self._spark).run(threading.Event())
        view = JobView(folder)
        try:
            return {(record.partition, record.offset) for record in view.invalid_records()}
        finally:
            view.close()

    @contextmanager
    def _feed(self) -> Iterator[None]:
        """Writes records, some of them invalid, while the block runs."""
        stop = threading.Event()
        producer = Producer({"bootstrap.servers": self._endpoint.bootstrap, "linger.ms": 5})
        random_ = random.Random(1)

        def feed() -> None:
            while not stop.wait(0.02):
                for _ in range(5):
                    value = b'{"geoZone":"Zone %d", "windSpeed":%d}' % (random_.randrange(4), random_.randrange(60))
                    producer.produce(self._topic, GARBAGE if random_.random() < 0.03 else value)
                producer.poll(0)

        thread = threading.Thread(target=feed)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            producer.flush()

    def _posted(self, events: Sequence[Event]) -> Shown:
        """What the platform shows of the posts before the power cut, which does not affect it."""
        lines = b"".join(event.data for event in events if event.path == self._platform_file).splitlines()
        return {(zone, ts): (count, mean) for zone, ts, count, mean in map(json.loads, lines)}

    def _recompute(self) -> None:
        sums: dict[tuple[str, int], tuple[int, int]] = {}
        for record in read_records(self._endpoint, self._topic):
            if record.value == GARBAGE:
                self._garbage.add((record.partition, record.offset))
                continue
            assert record.timestamp_ms is not None
            document = json.loads(record.value or b"")
            key = (document["geoZone"], record.timestamp_ms // 1000 * 1000 + 1000)
            count, total = sums.get(key, (0, 0))
            sums[key] = (count + 1, total + document["windSpeed"])
        self._expected = {key: (count, total / count) for key, (count, total) in sums.items()}


def simulate(simulation: CrashSimulation, cases: int, seed: int, *, seconds: float = float("inf")) -> Outcome:
    """Runs the cases; prints its progress on stderr."""
    outcome = Outcome(seed)
    until = time.monotonic() + seconds
    while outcome.cases < cases and time.monotonic() < until:
        windows, differences = simulation.case(random.Random(f"{seed}-{outcome.cases}"))
        outcome.cases += 1
        outcome.windows += windows
        outcome.differences += differences
        if outcome.cases % 25 == 0:
            print(f"{outcome.cases} of {cases} cases, {len(outcome.differences)} differences", file=sys.stderr)  # noqa: T201
    return outcome


@contextmanager
def prepared(folder: Path, bootstrap: str | None = None) -> Iterator[CrashSimulation]:
    """A simulation with its own Spark, and its own broker if none is given."""
    java = find_java(os.environ)
    settings = local_spark(java)
    jars = ensure_jars(KAFKA_BROKER, java=java, cache_dir=default_cache_dir(os.environ), environ=os.environ)
    (folder / "spark").mkdir(parents=True)
    with (
        mock.patch.object(planner, "MOST_RECORDS", BATCH_RECORDS),
        SparkRuntime(settings, folder / "spark") as spark,
    ):
        if bootstrap is not None:
            yield CrashSimulation(bootstrap, spark, folder)
            return
        with KafkaBroker(folder / "kafka", java=java, jars=jars) as broker:
            broker.start()
            yield CrashSimulation(broker.bootstrap, spark, folder)


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
