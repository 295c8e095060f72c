"""A backlog of many zones and windows is counted exactly, in batches of bounded size, in bounded memory."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import psutil
import pytest

from pacifictool.analytics import planner
from pacifictool.analytics.engine import reader
from pacifictool.analytics.job_progress import JobProgress
from pacifictool.analytics.state.reader import JobView
from pacifictool.analytics.windows import UNITS
from pacifictool.kafka.topics import CREATE_TIME

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

JobFactory = Any  # the fixture's class lives in conftest.py, which cannot be imported
Values = dict[tuple[str, int], tuple[int, float]]

WINDOW_MS = 10_000
WEIGHTS = (8, 3, 1)
"""How many of twelve zones each partition has: partitions differ in size and advance unevenly."""


def command(jobs: JobFactory, topic: str, kill_point: str, **more: Any) -> list[str]:
    settings = {
        "kill_point": kill_point,
        "bootstrap": jobs.broker.bootstrap,
        "topic": topic,
        "checkpoint": str(jobs.folder / "job"),
        "java_home": str(jobs.java.home),
        "jars": [str(jar) for jar in jobs.jars],
        "platform": str(jobs.folder / "platform.sqlite"),
        "duration": None,
        "window": WINDOW_MS / 1000,
        **more,
    }
    return [sys.executable, str(Path(__file__).with_name("killed_job.py")), json.dumps(settings)]


def fill(jobs: JobFactory, topic: str, *, zones: int, hours: float, records: int) -> Values:
    """Writes records of all zones in turn, evenly over the last hours, and returns the means of their windows."""
    random_ = random.Random(5)
    producer = jobs.producer(**{"queue.buffering.max.messages": 1_000_000, "linger.ms": 50})
    names = [f"Zone {number:06d}" for number in range(zones)]
    partitions = [random_.choices(range(len(WEIGHTS)), WEIGHTS)[0] for _ in range(zones)]
    end = int(time.time() * 1000) // WINDOW_MS * WINDOW_MS - 60_000
    start = end - round(hours * 3_600_000)
    sums: dict[tuple[str, int], tuple[int, int]] = {}
    for number in range(records):
        zone = number % zones
        timestamp = start + (end - start) * number // records
        wind = number % 1000 / 8
        value = b'{"geoZone":"%s", "windSpeed":%r}' % (names[zone].encode(), wind)
        while True:
            try:
                producer.produce(topic, value, timestamp=timestamp, partition=partitions[zone])
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
        key = (names[zone], timestamp // WINDOW_MS * WINDOW_MS + WINDOW_MS)
        count, total = sums.get(key, (0, 0))
        sums[key] = (count + 1, total + int(Fraction(wind) * UNITS))
    assert producer.flush(60) == 0
    return {key: (count, float(Fraction(total, count * UNITS))) for key, (count, total) in sums.items()}


@pytest.mark.parametrize("count", [36_000, pytest.param(144_000, marks=pytest.mark.long)])
def test_many_windows_are_counted_in_bounded_batches_and_a_kill_repeats_one_of_them(
    jobs: JobFactory, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    most = count // 7
    topic = jobs.topic(partitions=len(WEIGHTS), timestamp_type=CREATE_TIME)
    expected = fill(jobs, topic, zones=200, hours=count / 72_000, records=count)
    assert len(expected) == count
    sink = jobs.sink()

    killed = subprocess.run(
        command(jobs, topic, "after the third batch is read", most_records=most), check=False, timeout=300
    )
    assert killed.returncode == -signal.SIGKILL
    view = JobView(jobs.folder / "job")
    counted = sum(view.next_offsets().values())
    view.close()
    assert 0.8 * 2 * most < counted <= 2 * most

    monkeypatch.setattr(planner, "MOST_RECORDS", most)
    monkeypatch.setattr(planner, "FEWEST_RECORDS", most // 10)
    monkeypatch.setattr(reader, "LIMITS", (most // 5, most // 20, 1_000_000))
    shown: list[int] = []

    def progress(now: JobProgress) -> None:
        shown.append(now.records)

    running = jobs.start(topic, sink, analytics={"window": WINDOW_MS / 1000}, available_now=True, progress=progress)
    running.wait_for(lambda: running.summary is not None, 300)
    summary = running.finish()

    assert (summary.records, summary.rejects, summary.open_windows) == (count - counted, {}, 0)
    assert sink.values() == expected
    view = JobView(jobs.folder / "job")
    batches = view.batches()
    view.close()
    assert max(batch.records for batch in batches) <= most
    assert summary.batches >= (count - counted) / (len(WEIGHTS) * (most // 5))
    assert shown == sorted(shown)
    assert len(set(shown)) >= 5


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_day_of_100_000_zones_is_counted_with_the_default_memory(jobs: JobFactory) -> None:
    topic = jobs.topic(partitions=len(WEIGHTS), timestamp_type=CREATE_TIME)
    expected = fill(jobs, topic, zones=100_000, hours=24, records=1_000_000)
    sink = jobs.sink()
    sizes: dict[str, list[int]] = {"python": [], "java": []}
    ended = threading.Event()
    with subprocess.Popen(command(jobs, topic, "never"), stdout=subprocess.PIPE, text=True) as program:
        watcher = threading.Thread(target=watch_memory, args=(psutil.Process(program.pid), sizes, ended))
        watcher.start()
        stdout, _ = program.communicate(timeout=800)
        ended.set()
        watcher.join()
    assert program.returncode == 0
    summary = json.loads(stdout.splitlines()[-1])

    assert (summary["records"], summary["rejects"], summary["open_windows"]) == (1_000_000, {}, 0)
    assert sink.values() == expected
    # The heap may have 1 GB; what Python holds does not grow with what was counted.
    assert max(sizes["java"]) < 1_700 << 20
    assert max(sizes["python"]) < 400 << 20
    quarter = len(sizes["python"]) // 4
    assert max(sizes["python"][3 * quarter :]) < 1.5 * max(sizes["python"][:quarter]) + (50 << 20)


def watch_memory(process: psutil.Process, sizes: dict[str, list[int]], ended: threading.Event) -> None:
    """Records every half second how much memory the program and its Java use."""
    while not ended.wait(0.5):
        try:
            sizes["python"].append(process.memory_info().rss)
            java = [child for child in process.children(recursive=True) if child.name() == "java"]
            sizes["java"] += [child.memory_info().rss for child in java]
        except psutil.NoSuchProcess:
            continue
