# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["confluent-kafka==2.12.2"]
# ///
"""One Python process: confluent-kafka, json, a dictionary. The loop most people would write first."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from confluent_kafka import Consumer, TopicPartition
from engine import Sums, ready, report, tasks_from_arguments


def main() -> None:
    (task,) = tasks_from_arguments()
    consumer = Consumer({"bootstrap.servers": task.bootstrap, "group.id": "bench-loop", "enable.auto.commit": False})
    partitions = consumer.list_topics(task.topic, timeout=10).topics[task.topic].partitions
    sums, seen = Sums(task.window_ms), 0
    ready()
    began = time.perf_counter()
    consumer.assign([TopicPartition(task.topic, partition, 0) for partition in partitions])
    while seen < task.records:
        for message in consumer.consume(10_000, timeout=0.1):
            document = json.loads(message.value())
            sums.add(document["geoZone"], float(document["windSpeed"]), message.timestamp()[1])
            seen += 1
    report(seen, time.perf_counter() - began, sums.means())
    consumer.close()


main()
