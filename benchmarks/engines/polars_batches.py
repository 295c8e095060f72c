"""polars over batches of confluent-kafka: JSON parsed and added up by polars, one part for each batch."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import polars as pl
from confluent_kafka import Consumer, TopicPartition
from engine import Means, Task, done, ready, report, tasks_from_arguments

BATCH = 100_000
READING = {"geoZone": pl.String, "windSpeed": pl.Float64}
ADDED = (pl.col("count").sum(), pl.col("total").sum())


def aggregate(task: Task, consumer: Consumer) -> pl.DataFrame:
    partitions = consumer.list_topics(task.topic, timeout=10).topics[task.topic].partitions
    consumer.assign([TopicPartition(task.topic, partition, 0) for partition in partitions])
    parts: list[pl.DataFrame] = []
    seen = 0
    while seen < task.records:
        messages = consumer.consume(min(BATCH, task.records - seen), timeout=1.0)
        if not messages:
            continue
        seen += len(messages)
        readings = pl.read_ndjson(b"\n".join([message.value() for message in messages]), schema=READING)
        timestamps = pl.Series("ts", [message.timestamp()[1] for message in messages], dtype=pl.Int64)
        end = (timestamps - timestamps % task.window_ms + task.window_ms).alias("end")
        parts.append(
            readings.with_columns(end)
            .group_by("geoZone", "end")
            .agg(pl.len().cast(pl.Int64).alias("count"), pl.col("windSpeed").sum().alias("total"))
        )
        # Parts of many groups: merged from time to time, so that they do not fill the memory.
        if len(parts) >= 20:
            parts = [pl.concat(parts).group_by("geoZone", "end").agg(*ADDED)]
    return pl.concat(parts).group_by("geoZone", "end").agg(*ADDED).with_columns(pl.col("total") / pl.col("count"))


def means_of(frame: pl.DataFrame) -> Means:
    return {(zone, end): (count, mean) for zone, end, count, mean in frame.iter_rows()}


def main() -> None:
    tasks = tasks_from_arguments()
    settings = {"group.id": "bench-polars", "enable.auto.commit": False, "fetch.message.max.bytes": 4 << 20}
    consumer = Consumer({"bootstrap.servers": tasks[0].bootstrap, **settings})
    ready()
    for task in tasks:
        began = time.perf_counter()
        frame = aggregate(task, consumer)
        seconds = time.perf_counter() - began
        done()
        report(task.records, seconds, means_of(frame))
    consumer.close()


main()
