"""Makes the archive of Spark's classes, as a program: `python tests/support/spark_classes.py`.

A job has it made in the background after 20 s, which few jobs of tests live to see. With it, and without the thorough
one of Java's two compilers, a start of Spark takes 7 s of processor time instead of 23 (2 cores, Java 17).
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import Producer
from local_spark import local_spark

from pacifictool.aggregation.job import AggregationJob
from pacifictool.aggregation.run import JobConfig
from pacifictool.aggregation.sinks.base import Receipt, Sink
from pacifictool.aggregation.spark import SparkRuntime
from pacifictool.aggregation.windows import WindowMean
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.runtime import KAFKA_BROKER, default_cache_dir, ensure_jars, find_java
from pacifictool.runtime.kafka_broker import KafkaBroker
from pacifictool.scenario import Aggregation
from pacifictool.settings import KafkaEndpoint

TOPIC = "every-way-through-the-job"


class _Nowhere(Sink):
    name = target = "nowhere"

    def deliver(self, results: Sequence[WindowMean], receipt: Receipt) -> None:
        receipt.accepted(results)


def main() -> None:
    java = find_java(os.environ)
    jars = ensure_jars(KAFKA_BROKER, java=java, cache_dir=default_cache_dir(os.environ), environ=os.environ)
    settings = local_spark(java)
    with tempfile.TemporaryDirectory() as name, KafkaBroker(Path(name, "kafka"), java=java, jars=jars) as broker:
        endpoint = KafkaEndpoint(broker.bootstrap)
        KafkaAdmin(endpoint).create(TOPIC, partitions=1, replication=1)
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        # A reject sends the batch the long way.
        for value in (b'{"geoZone":"Zone A", "windSpeed":31}', b"no JSON"):
            producer.produce(TOPIC, value)
        producer.flush()
        config = JobConfig(
            endpoint, TOPIC, Aggregation(), Path(name, "job"), settings,
            starting_offsets="earliest", available_now=True,
        )  # fmt: skip
        with SparkRuntime(settings, Path(name, "spark")) as runtime:
            AggregationJob(config, _Nowhere(), runtime=runtime).run(threading.Event())
            runtime.prepare_next_start(at_once=True)


if __name__ == "__main__":
    main()
