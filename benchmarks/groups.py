"""Where the time goes with many groups: `python -m benchmarks.groups --help`.

The job of `pacifictool aggregate --available-now` over a topic of the tutorial's records that fall into thousands of
groups, with real Kafka and Spark and a sink that only keeps what it gets, several passes in one JVM: the first is cold,
the others are warm. Then the command itself with `--sink kafka`. Every mean is compared with the exact one. Prints one
JSON document with rates, processor seconds by thread, and memory; exit code 1 when a mean differs.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psutil

from benchmarks.expected import Means, differences
from benchmarks.measuring import Usage
from benchmarks.running import emit, machine
from benchmarks.stages import broker
from benchmarks.stream import CLOSING_ZONE, WINDOW_MS, Workload, fill, total_records
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.scenario import tutorial_scenario
from pacifictool.settings import KafkaEndpoint

_SAMPLE_SECONDS = 0.25
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=5_000_000)
    parser.add_argument("--groups", type=int, default=10_000)
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--no-command", action="store_true", help="only the job, not the command")
    parser.add_argument("--profile", type=Path, help="a folder for cProfile's files of the job's threads")
    parser.add_argument("--json", type=Path, help="write the result here; else to standard output")
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job is not None:
        _run_passes(**pickle.loads(options.job.read_bytes()))
        return 0
    workload = Workload(options.records, zones=options.groups)
    with tempfile.TemporaryDirectory(prefix="bench-groups-") as name, broker(Path(name) / "kafka") as endpoint:
        topic = tutorial_scenario().forwarding.topic
        exact = fill(endpoint, topic, workload)
        document = {"machine": machine(), "records": workload.records, "groups": options.groups, "means": len(exact)}
        measured, found = measure_job(endpoint, topic, Path(name), options.passes, options.profile)
        document |= measured
        if not options.no_command:
            measured, more = measure_command(endpoint, topic, Path(name))
            document |= measured
            found = [*found, *more]
        wrong: list[str] = []
        for means in found:
            wrong += differences(exact, means, closing_zone=CLOSING_ZONE, tolerance=0.0)
        _add_rates(document, total_records(workload))
    document |= {"ok": not wrong, "wrong_means": len(wrong), "first_wrong": wrong[:3]}
    emit(document, options.json)
    return 0 if document["ok"] else 1


def _add_rates(document: dict[str, Any], records: int) -> None:
    for name in ("cold", "warm", "command"):
        if name in document:
            measured = document[name]
            measured["records_per_second"] = round(records / measured["seconds"])
            measured["cpu_seconds_per_million"] = round(measured["cpu_seconds"] / records * 1e6, 2)


# --- the job, in a process of its own ---------------------------------------------------------------------------------


def measure_job(
    endpoint: KafkaEndpoint, topic: str, folder: Path, passes: int, profile: Path | None
) -> tuple[dict[str, Any], list[Means]]:
    """Figures of the first pass ("cold") and of the last one ("warm"), and the means of each pass."""
    task, result = folder / "task", folder / "result"
    task.write_bytes(
        pickle.dumps({"endpoint": endpoint, "topic": topic, "folder": folder, "passes": passes, "profile": profile})
    )
    command = [sys.executable, "-m", "benchmarks.groups", "--job", str(task)]
    with subprocess.Popen(command) as process, Usage(process.pid) as usage:
        if process.wait():
            raise SystemExit("The job failed.")
    measured, means = pickle.loads(result.read_bytes())
    figures = {"cold": measured[0], "peak_mb": round(usage.peak_bytes / 1e6)}
    if len(measured) > 1:
        figures["warm"] = measured[-1]
    return figures, means


def _run_passes(endpoint: KafkaEndpoint, topic: str, folder: Path, passes: int, profile: Path | None) -> None:
    from pacifictool.analytics.config import JobConfig
    from pacifictool.analytics.engine.records import RecordRules
    from pacifictool.analytics.engine.spark import SparkRuntime, SparkSettings
    from pacifictool.analytics.job import AggregationJob
    from pacifictool.analytics.sinks.base import DeliveryCallback, Sink
    from pacifictool.analytics.windows import WindowResult
    from pacifictool.runtime.cache import default_cache_dir
    from pacifictool.runtime.jars import SPARK_KAFKA, ensure_jars
    from pacifictool.runtime.java import find_java

    class Keeping(Sink):
        name = target = "keeping"

        def __init__(self) -> None:
            self.means: dict[tuple[str, int], tuple[int, float]] = {}

        def deliver(self, results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
            for result in results:
                self.means[result.entity, result.window_end_ms] = (result.count, result.values["windSpeed"])
            callback.accepted(results)

    java = find_java(os.environ)
    jars = ensure_jars(SPARK_KAFKA, java=java, cache_dir=default_cache_dir(os.environ), environ=os.environ)
    settings = SparkSettings(java_home=java.home, jars=jars, master="local[2]", environ=os.environ)
    runtime = SparkRuntime(settings, folder)
    _ = runtime.java_context
    rules = RecordRules.of_scenario(tutorial_scenario().with_analytics(window=WINDOW_MS / 1000))
    measured, found = [], []
    for number in range(passes):
        sink = Keeping()
        config = JobConfig(
            endpoint, topic, rules, folder / f"job-{number}", settings, starting_offsets="earliest", available_now=True
        )
        with _profiled(profile), ThreadSeconds() as threads:
            began, progress = time.perf_counter(), Batches()
            AggregationJob(config, sink, runtime=runtime, progress=progress).run(threading.Event())
            seconds = time.perf_counter() - began
        measured.append(
            {
                "seconds": round(seconds, 2),
                "cpu_seconds": round(threads.total(), 2),
                "counted_after_seconds": round(progress.counted_at - began, 2),
                "python_mb": round(psutil.Process().memory_info().rss / 1e6),
                "by_thread": threads.document(),
            }
        )
        found.append(sink.means)
    runtime.close()
    (folder / "result").write_bytes(pickle.dumps((measured, found)))


class Batches:
    """When the last batch was counted, as far as progress tells."""

    def __init__(self) -> None:
        self.counted_at = time.perf_counter()
        self._records = 0

    def __call__(self, progress: Any) -> None:
        if progress.records != self._records:
            self._records, self.counted_at = progress.records, time.perf_counter()


@contextmanager
def _profiled(folder: Path | None) -> Iterator[None]:
    """Has threads that start meanwhile profiled, each into a file named after it."""
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    run = threading.Thread.run

    def profiled(thread: threading.Thread) -> None:
        profile = cProfile.Profile()
        try:
            profile.runcall(run, thread)
        finally:
            profile.dump_stats(folder / f"{thread.name}.prof")

    threading.Thread.run = profiled  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        threading.Thread.run = run  # type: ignore[method-assign]


class ThreadSeconds:
    """Processor seconds of this process and its JVM while it is entered, by thread. Linux only."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._known: dict[tuple[int, str], tuple[str, float]] = {}
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, name="measuring", daemon=True)

    def __enter__(self) -> Self:
        self._family = self._processes()  # Spark's JVM runs already
        self._before = self._whole()
        self._sample()
        self._first = dict(self._known)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._halt.set()
        self._thread.join()
        self._sample()
        self._after = self._whole()
        for place, (name, seconds) in self._known.items():
            self._seconds[name] += seconds - self._first.get(place, ("", 0.0))[1]

    def total(self) -> float:
        """Of both processes, threads that ended included."""
        return self._after - self._before

    def document(self) -> dict[str, float]:
        """Those that took a twentieth of a second or more, the longest first."""
        longest = sorted(self._seconds.items(), key=lambda item: -item[1])
        return {name: round(seconds, 2) for name, seconds in longest if seconds >= 0.05}

    @staticmethod
    def _processes() -> list[psutil.Process]:
        return [psutil.Process(), *psutil.Process().children(recursive=True)]

    def _whole(self) -> float:
        return sum(times.user + times.system for times in (each.cpu_times() for each in self._family))

    def _run(self) -> None:
        while not self._halt.wait(_SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        own = {str(each.native_id): each.name for each in threading.enumerate()}
        for process in self._family:
            for task in Path(f"/proc/{process.pid}/task").iterdir():
                try:
                    stat = (task / "stat").read_text()
                except OSError:
                    continue
                name, numbers = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :].split()
                if process.pid == os.getpid():
                    label = f"Python: {own.get(task.name, 'ended')}"
                else:
                    label = f"JVM: {name.split('#')[0]}"
                self._known[process.pid, task.name] = (label, (int(numbers[11]) + int(numbers[12])) / _TICKS)


# --- the command ------------------------------------------------------------------------------------------------------


def measure_command(endpoint: KafkaEndpoint, topic: str, folder: Path) -> tuple[dict[str, Any], list[Means]]:
    """Figures of `pacifictool aggregate --available-now --sink kafka`, launch included, and its means."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PACIFICTOOL_")}
    environ |= {name: os.environ[name] for name in ("PACIFICTOOL_CACHE",) if name in os.environ}
    environ |= {"PACIFICTOOL_KAFKA": endpoint.bootstrap, "PACIFICTOOL_STATE": str(folder / "state")}
    results = f"{topic}-means-{time.time_ns()}"
    command = [sys.executable, "-m", "pacifictool", "aggregate", "--quiet", "--available-now"]
    command += ["--starting-offsets", "earliest", "--master", "local[2]", "--checkpoint", str(folder / "command")]
    began = time.perf_counter()
    with (
        subprocess.Popen(
            [*command, "--sink", "kafka", "--result-topic", results], env=environ, stdout=subprocess.DEVNULL
        ) as process,
        Usage(process.pid) as usage,
    ):
        while process.poll() is None:
            time.sleep(_SAMPLE_SECONDS)
            cpu = usage.cpu_seconds()
        seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit("The command failed.")
    figures = {"seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2), "peak_mb": round(usage.peak_bytes / 1e6)}
    return {"command": figures}, [_read_means(endpoint, results)]


def _read_means(endpoint: KafkaEndpoint, topic: str) -> Means:
    import json

    from confluent_kafka import Consumer, TopicPartition

    ends = KafkaAdmin(endpoint).offsets(topic)
    consumer = Consumer({"bootstrap.servers": endpoint.bootstrap, "group.id": "means", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
    means: dict[tuple[str, int], tuple[int, float]] = {}
    left = sum(ends.values())
    while left:
        for message in consumer.consume(10_000, 10.0):
            if message.error():
                raise SystemExit(str(message.error()))
            record = json.loads(message.value() or b"")
            means[(message.key() or b"").decode(), record["ts"]] = (record["count"], record["windSpeed"])
            left -= 1
    consumer.close()
    return means


if __name__ == "__main__":
    sys.exit(main())
