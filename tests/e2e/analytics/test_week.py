"""Seven days of event time at the tutorial's load, in minutes: neither memory, nor descriptors, nor files grow.

Records carry the timestamps of the week that ends now, three minutes of them at a time; the job counts each part before
the next is written. So it has 3,360 batches and closes 121,000 windows, like a job that has run for that long, except that
such a job has ninety times as many batches of fewer records.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from pacifictool.analytics.job_progress import Tracker
from pacifictool.analytics.sinks.base import DeliveryCallback, Sink
from pacifictool.analytics.windows import WindowResult
from pacifictool.kafka.topics import CREATE_TIME
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.spark, pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(3600)]

JobFactory = Any  # the fixture's class lives in conftest.py, which cannot be imported

DAYS = float(os.environ.get("WEEK_DAYS", "7"))
PART_SECONDS = 180
WINDOW_SECONDS = 10
DEVICES = (("Zone A", 10), ("Zone A", 10), ("Zone B", 10))
"""Zone and readings per second."""
INVALID_EVERY = 1000
DAY_SECONDS = 86_400


class CountingSink(Sink):
    """Accepts everything and keeps only numbers."""

    name = target = "counting"

    def __init__(self) -> None:
        self.windows = self.records = 0

    def deliver(self, results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        self.windows += len(results)
        self.records += sum(result.count for result in results)
        callback.accepted(results)


def keep_little(bootstrap: str, topic: str) -> None:
    """Has the broker keep records by their size and not by their age, which is up to a week."""
    wanted = {"retention.ms": "-1", "retention.bytes": "200000000", "segment.bytes": "50000000"}
    entries = [ConfigEntry(name, text, incremental_operation=AlterConfigOpType.SET) for name, text in wanted.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    client = AdminClient({"bootstrap.servers": bootstrap})
    for future in client.incremental_alter_configs([resource]).values():
        future.result(60)


def used(folder: Path, java: psutil.Process) -> dict[str, float]:
    """Memory in MiB, descriptors, and MiB of files, of the job."""
    python = psutil.Process()
    return {
        "python_mib": round(python.memory_info().rss / 2**20, 1),
        "java_mib": round(java.memory_info().rss / 2**20, 1),
        "descriptors": python.num_fds() + java.num_fds(),
        "threads": python.num_threads(),
        "files_mib": round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20, 2),
    }


def counted(tracker: Tracker, records: int) -> bool:
    return tracker.applied.get(0, 0) >= records


def test_a_week_leaves_no_trace_but_the_invalid_records(jobs: JobFactory) -> None:
    topic = jobs.topic(partitions=1, timestamp_type=CREATE_TIME)
    keep_little(jobs.endpoint.bootstrap, topic)
    sink, tracker = CountingSink(), Tracker()
    children = psutil.Process().children(recursive=True)
    java = next(
        each for each in children if each.name() == "java" and any("PythonGatewayServer" in a for a in each.cmdline())
    )
    producer = jobs.producer(**{"linger.ms": 50, "queue.buffering.max.messages": 20_000})
    parts = round(DAYS * DAY_SECONDS / PART_SECONDS)
    first_ms = (int(time.time()) // PART_SECONDS - parts) * PART_SECONDS * 1000
    written = 0
    values = [
        json.dumps({"geoZone": zone, "windSpeed": 30 + number % 20}).encode()
        for zone, rate in DEVICES
        for number in range(rate)
    ]
    running = jobs.start(
        topic, sink, tracker=tracker, trigger_ms=20, analytics={"window": WINDOW_SECONDS, "lateness": "0s"}
    )
    samples: list[dict[str, float]] = []
    for part in range(parts):
        part_ms = first_ms + part * PART_SECONDS * 1000
        for second in range(PART_SECONDS):
            for number, value in enumerate(values):
                is_invalid = (written + number) % INVALID_EVERY == 0
                producer.produce(topic, b"broken" if is_invalid else value, timestamp=part_ms + second * 1000 + number)
            written += len(values)
            producer.poll(0)
        producer.flush()
        running.wait_for(partial(counted, tracker, written), 600)
        if (part + 1) % round(DAY_SECONDS / PART_SECONDS / 4) == 0:
            sample = {"day": (part + 1) * PART_SECONDS / DAY_SECONDS, "batches": tracker.batches}
            samples.append(sample | used(jobs.folder / "job", java))
            sys.stderr.write(f"{json.dumps(samples[-1])}\n")  # for the table of docs/operations.md
    windows = 2 * parts * PART_SECONDS // WINDOW_SECONDS
    wait_until(lambda: sink.windows >= windows - 2, lambda: sink.windows)  # the last ones end now
    summary = running.finish()
    assert summary.records == written
    assert summary.corrections == 0
    invalid = -(-written // INVALID_EVERY)
    assert summary.rejects == {"not one valid JSON value": invalid}
    assert summary.batches >= parts

    settled = [sample for sample in samples if sample["day"] >= 1]
    first, last = settled[0], settled[-1]
    assert last["descriptors"] <= first["descriptors"] + 5, samples
    assert last["threads"] <= first["threads"] + 2, samples
    assert last["python_mib"] <= first["python_mib"] + 10, samples
    assert max(sample["java_mib"] for sample in settled) <= 1.5 * first["java_mib"], samples
    assert last["files_mib"] - first["files_mib"] <= invalid * 300 / 2**20, samples  # what is kept of invalid records
