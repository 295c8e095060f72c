"""How the aggregation grows with executors and partitions: `make bench-cluster`; options: `--help`.

A Spark standalone cluster on 127.0.0.1, whose executors have one core each, and the command line as a user runs it.
Records of the tutorial's shape become visible to the job all at once (they are written in one transaction), after some
smaller heaps that warm it up; the time from Spark's plan of the batch to its commit counts. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from running import emit, machine

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pacifictool.kafka.topics import LOG_APPEND_TIME, KafkaAdmin
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import KAFKA_BROKER, ensure_jars
from pacifictool.runtime.java import find_java
from pacifictool.runtime.kafka_broker import KafkaBroker
from pacifictool.settings import KafkaEndpoint
from tests.support.spark_cluster import SparkCluster

TIMEOUT_SECONDS = 240.0
SCENARIO = """
[forwarding]
topic = "TOPIC"
attributes = ["geoZone"]
telemetry = ["windSpeed"]
[[analytics]]
name = "zones"
group_by = ["geoZone"]
window = "60s"
telemetry = { windSpeed = "mean(windSpeed)" }
"""
WARM_UP = (100_000, 300_000, 300_000)


def write(bootstrap: str, topic: str, partitions: int, records: int) -> None:
    """Records of a few distinct values, dealt out to the partitions and visible at once."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": topic,
            "linger.ms": 50,
            "queue.buffering.max.messages": 10**6,
        }
    )
    producer.init_transactions()
    producer.begin_transaction()
    values = [
        b'{"geoZone":"Zone %s", "windSpeed":%d}' % (zone, wind) for zone in (b"A", b"B") for wind in range(30, 61)
    ]
    for number in range(records):
        while True:
            try:
                producer.produce(topic, values[number % len(values)], partition=number % partitions)
                break
            except BufferError:
                producer.poll(0.1)
    producer.commit_transaction()


def batches(checkpoint: Path) -> dict[int, float]:
    """Seconds from the plan to the commit, by batch number."""
    found = {}
    for commit in (checkpoint / "spark" / "commits").glob("*"):
        if commit.name.isdigit():
            plan = json.loads(
                (checkpoint / "spark" / "offsets" / commit.name).read_text(encoding="utf-8").splitlines()[1]
            )
            found[int(commit.name)] = commit.stat().st_mtime - plan["batchTimestampMs"] / 1000
    return found


def measure(broker: KafkaBroker, folder: Path, executors: int, partitions: int, records: int) -> dict[str, Any]:
    """One job on a cluster with this number of executors."""
    topic = f"winds-{executors}-{partitions}"
    KafkaAdmin(KafkaEndpoint(broker.bootstrap)).create(
        topic, partitions=partitions, replication=1, timestamp_type=LOG_APPEND_TIME
    )
    scenario = folder / f"{topic}.toml"
    scenario.write_text(SCENARIO.replace("TOPIC", topic), encoding="utf-8")
    checkpoint = folder / f"job-{topic}"
    environ = {**os.environ, "PACIFICTOOL_KAFKA": broker.bootstrap, "PACIFICTOOL_OUTPUT": "json"}
    with SparkCluster(folder / f"cluster-{topic}", workers=executors, memory="1200m") as cluster:
        command = [
            sys.executable, "-m", "pacifictool", "aggregate", "-s", str(scenario), "--sink", "console", "--master",
            cluster.url, "--checkpoint", str(checkpoint), "--starting-offsets", "earliest",
            "--conf", "spark.executor.memory=1g", "--conf", "spark.executor.cores=1",
        ]  # fmt: skip
        with subprocess.Popen(command, env=environ, cwd=folder, stdout=subprocess.PIPE) as job:
            try:
                seconds = []
                for heap in (*WARM_UP, records, records, records):
                    known = set(batches(checkpoint))
                    write(broker.bootstrap, topic, partitions, heap)
                    until = time.monotonic() + TIMEOUT_SECONDS
                    while not (new := set(batches(checkpoint)) - known):
                        if job.poll() is not None or time.monotonic() > until:
                            raise SystemExit(f"no batch was done: {topic}")
                        time.sleep(0.1)
                    seconds.append(batches(checkpoint)[min(new)])
            finally:
                job.send_signal(signal.SIGINT)
                job.communicate(timeout=20)
    rates = [records / took for took in seconds[len(WARM_UP) :]]
    result = {
        "executors": executors,
        "partitions": partitions,
        "records_per_second": {"median": statistics.median(rates), "min": min(rates), "max": max(rates)},
    }
    print(json.dumps(result), file=sys.stderr)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=2_000_000, help="in one batch")
    parser.add_argument("--configurations", default="1x1,1x2,2x1,2x2,2x4", help="EXECUTORSxPARTITIONS,…")
    parser.add_argument("--json", type=Path, help="write the result here; else to standard output")
    options = parser.parse_args()
    java = find_java(os.environ)
    jars = ensure_jars(KAFKA_BROKER, java=java, cache_dir=default_cache_dir(os.environ), environ=os.environ)
    with tempfile.TemporaryDirectory(prefix="bench-cluster-") as name:
        broker = KafkaBroker(
            Path(name, "kafka"), java=java, jars=jars,
            extra={"transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1"},
        )  # fmt: skip
        try:
            broker.start()
            runs = []
            for configuration in options.configurations.split(","):
                executors, partitions = map(int, configuration.split("x"))
                runs.append(measure(broker, Path(name), executors, partitions, options.records))
        finally:
            broker.stop(graceful=False)
    emit({"ok": True, "machine": machine(), "records": options.records, "runs": runs}, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
