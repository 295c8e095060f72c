"""How long functions of the user's take on Spark's workers: a small batch, and 1,000 groups with 100 readings each.

Prints one JSON document. `--groups 1000 --readings 100` is what 10,000 readings a second bring in a window of 10 s: the
job keeps up when a run takes less than that. Processor time is by kind of process, which a busy machine changes less.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Producer

from benchmarks.stages import broker
from pacifictool.analytics.engine.function_runner import SparkFunctionRunner
from pacifictool.analytics.engine.functions import FunctionCall
from pacifictool.analytics.engine.reader import BatchContext, BatchReader
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.engine.spark import SparkRuntime, SparkSettings
from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import SPARK_KAFKA, ensure_jars
from pacifictool.runtime.java import find_java
from pacifictool.scenario import Scenario
from pacifictool.settings import KafkaEndpoint

WINDOW_START_MS = 1_800_000_000_000
FUNCTION = """
def score(readings, window, history):
    mean, spread = readings["t"].mean(), readings["t"].std()
    worst = ((readings["t"] - mean) / spread).abs().max()
    return {"mean": mean, "spread": spread, "worst": worst, "n": len(readings)}
"""
_KINDS = {
    "function_child": "functions",
    "pyspark.daemon": "workers",
    "PythonGatewayServer": "JVM",
    "kafka.Kafka": "broker",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=1000)
    parser.add_argument("--readings", type=int, default=100, help="of each group")
    parser.add_argument("--runs", type=int, default=6)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-functions-") as name, broker(Path(name) / "kafka") as endpoint:
        folder = Path(name)
        (folder / "own.py").write_text(FUNCTION)
        java = find_java(os.environ)
        jars = ensure_jars(SPARK_KAFKA, java=java, cache_dir=default_cache_dir(os.environ), environ=os.environ)
        settings = SparkSettings(java.home, jars, master="local[2]", environ=dict(os.environ), functions=1)
        with SparkRuntime(settings, folder / "spark") as runtime:
            document = {
                "load": os.getloadavg(),
                "small": measure(runtime, endpoint, scenario(folder), groups=3, readings=10, runs=options.runs),
                "large": measure(
                    runtime, endpoint, scenario(folder), groups=options.groups, readings=options.readings,
                    runs=options.runs,
                ),
            }  # fmt: skip
    json.dump(document, sys.stdout, indent=2)
    print()
    return 0


def scenario(folder: Path) -> Scenario:
    """One function for each site, in windows of 10 s."""
    return Scenario.model_validate(
        {
            "forwarding": {"topic": "t", "attributes": ["site"], "telemetry": ["t", "h"], "device": True},
            "analytics": [{"name": "own", "group_by": ["site"], "window": "10s", "function": "own:score"}],
        },
        context={"folder": folder},
    )


def measure(
    runtime: SparkRuntime, endpoint: KafkaEndpoint, scenario: Scenario, *, groups: int, readings: int, runs: int
) -> dict[str, Any]:
    """Seconds of the first run, warmed up or not, and of those after it; and processor seconds of each."""
    topic = f"functions-{groups}"
    fill(endpoint, topic, groups, readings)
    rules = RecordRules.of_scenario(scenario)
    ranges = [OffsetRange(part, 0, end) for part, end in KafkaAdmin(endpoint).offsets(topic).items()]
    counted = BatchReader(runtime, endpoint, topic, rules).read(ranges, BatchContext({}, 2**61, WINDOW_START_MS))
    calls = [FunctionCall(each.analytics, each.group, each.window_end_ms, each.count) for each in counted.partials]
    spans: dict[tuple[str, int], list[OffsetRange]] = {}
    for (analytics, end, _), span in counted.spans.items():
        spans.setdefault((analytics, end), []).append(span)
    assert (len(calls), sum(each.count for each in calls)) == (groups, groups * readings)
    runner = SparkFunctionRunner(runtime, endpoint, topic, rules)
    began = time.monotonic()
    runner.warm_up()
    warm_up = time.monotonic() - began
    seconds = []
    before = processor_seconds()
    for _ in range(runs):
        began = time.monotonic()
        outcomes = runner.run(calls, spans)
        seconds.append(round(time.monotonic() - began, 3))
        assert not [each for each in outcomes if each.failure or each.missing], outcomes[0]
    used = processor_seconds()
    used.subtract(before)
    return {
        "calls": groups,
        "readings": groups * readings,
        "warm_up_seconds": round(warm_up, 2),
        "run_seconds": seconds,
        "processor_seconds_per_run": {kind: round(each / runs, 3) for kind, each in used.items()},
    }


def fill(endpoint: KafkaEndpoint, topic: str, groups: int, readings: int) -> None:
    """Readings of all groups, evenly over a window, in two partitions."""
    KafkaAdmin(endpoint).create(topic, partitions=2, replication=1, timestamp_type="CreateTime")
    producer = Producer({"bootstrap.servers": endpoint.bootstrap, "queue.buffering.max.messages": 1_000_000})
    for number in range(groups * readings):
        group = number % groups
        value = {"deviceName": f"Device {group}", "ts": 0, "site": f"Site {group}", "t": 20 + number % 7 / 10, "h": 50}
        at = WINDOW_START_MS + number * 9_999 // (groups * readings)
        producer.produce(topic, json.dumps(value), partition=group % 2, timestamp=at)
        producer.poll(0)
    assert producer.flush(60) == 0


def processor_seconds() -> Counter[str]:
    """By kind of process, of this one and all below it."""
    found: Counter[str] = Counter()
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            line, times = " ".join(process.cmdline()), process.cpu_times()
        except psutil.Error:
            continue
        kind = next((kind for text, kind in _KINDS.items() if text in line), "driver")
        found[kind] += times.user + times.system  # type: ignore[assignment]
    return found


if __name__ == "__main__":
    raise SystemExit(main())
