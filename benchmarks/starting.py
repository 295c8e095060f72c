"""How long `pacifictool aggregate` takes to its first batch, a nearly empty batch, and the demo to its first mean."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import Producer

from benchmarks.measuring import end_tree
from pacifictool.analytics.state.reader import JobView
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.scenario import tutorial_scenario
from pacifictool.settings import KafkaEndpoint

_FIRST_BATCHES = 3
"""Left out of the steady figures: the JVM still compiles."""
_LONGEST_START_SECONDS = 120.0
_MEAN = re.compile(r"Zone \w+: [0-9.]+ for the window ending")


def measure_start(endpoint: KafkaEndpoint, *, repetitions: int, seconds: float) -> dict[str, list[float]]:
    """Starts the command several times while the tutorial's three turbines publish; lets the last run go on.

    Seconds from the command to the first batch that is counted and ticked off, once per repetition; and seconds from
    a trigger to the end of its batch, for each batch of the last run after the first three.
    """
    topic = tutorial_scenario().forwarding.topic
    if KafkaAdmin(endpoint).describe(topic) is None:
        KafkaAdmin(endpoint).create(topic, partitions=2, replication=1)
    stop = threading.Event()
    publisher = threading.Thread(target=_publish, args=(endpoint, topic, stop))
    publisher.start()
    starts: list[float] = []
    batches: list[float] = []
    try:
        for number in range(repetitions):
            last = number == repetitions - 1
            first, batches = _run_command(endpoint, seconds if last else 0.0)
            starts.append(first)
    finally:
        stop.set()
        publisher.join()
    return {"first_batch_seconds": starts, "batch_seconds": batches}


def _run_command(endpoint: KafkaEndpoint, seconds: float) -> tuple[float, list[float]]:
    with tempfile.TemporaryDirectory(prefix="bench-start-") as name:
        folder = Path(name) / "job"
        environ = {key: value for key, value in os.environ.items() if not key.startswith("PACIFICTOOL_")}
        cache = {key: os.environ[key] for key in ("PACIFICTOOL_CACHE",) if key in os.environ}
        command = ["aggregate", "--quiet", "--sink", "console", "--master", "local[2]", "--checkpoint", str(folder)]
        launched = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "pacifictool", *command],
            stdout=subprocess.DEVNULL,
            env={**environ, **cache, "PACIFICTOOL_KAFKA": endpoint.bootstrap},
            cwd=name,
        )
        try:
            while not _batch_seconds(folder):
                if process.poll() is not None or time.monotonic() > launched + _LONGEST_START_SECONDS:
                    raise SystemExit("`pacifictool aggregate` counted no batch.")
                time.sleep(0.01)
            first = time.monotonic() - launched
            time.sleep(seconds)
            taken = _batch_seconds(folder)
        finally:
            _stop(process)
        return first, [taken[number] for number in sorted(taken) if number >= _FIRST_BATCHES]


def _batch_seconds(folder: Path) -> Mapping[int, float]:
    """By batch: seconds from its plan until it was applied."""
    view = JobView.open(folder)
    if view is None:
        return {}
    with contextlib.closing(view):
        return {batch.number: (batch.done_ms - batch.planned_ms) / 1000 for batch in view.batches()}


def _publish(endpoint: KafkaEndpoint, topic: str, stop: threading.Event) -> None:
    producer = Producer({"bootstrap.servers": endpoint.bootstrap})
    number = 0
    while not stop.wait(0.1):
        for zone in ("Zone A", "Zone A", "Zone B"):
            producer.produce(topic, f'{{"geoZone":"{zone}", "windSpeed":{30 + number % 31}}}'.encode())
            number += 1
        producer.poll(0)
    producer.flush(10)


def measure_demo() -> float:
    """Seconds from the command `pacifictool demo` to the first mean that it shows; the demo is ended then."""
    with tempfile.TemporaryDirectory(prefix="bench-demo-") as name, Path(name, "errors").open("w+") as words:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("PACIFICTOOL_")}
        cache = {key: os.environ[key] for key in ("PACIFICTOOL_CACHE",) if key in os.environ}
        launched = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "pacifictool", "demo", "--verbose"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**environ, **cache},
            cwd=name,
        )
        watchdog = threading.Timer(_LONGEST_START_SECONDS, process.kill)
        watchdog.start()
        try:
            assert process.stderr is not None
            for line in process.stderr:
                words.write(line)
                if _MEAN.search(line):
                    return time.monotonic() - launched
            words.seek(0)
            raise SystemExit(f"`pacifictool demo` showed no mean: {words.read()[-300:]}")
        finally:
            watchdog.cancel()
            _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        end_tree(process.pid)
        process.communicate()
