"""Wrong times: a timestamp far ahead does not affect other records, and a machine's clock may be set."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pacifictool.kafka.records import read_records
from pacifictool.kafka.topics import CREATE_TIME, LOG_APPEND_TIME
from tests.support.faketime import SteppingClock
from tests.support.waiting import SOON_SECONDS, wait_until

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

JobFactory = Any  # the fixture's class lives in conftest.py, which cannot be imported

AHEAD = "timestamp more than 60 s ahead of its arrival"
ZONES = ("A", "B", "C", "D")


class TimedRecords:
    """Produces records with timestamps of the test's choice, and counts the good ones of each zone."""

    def __init__(self, jobs: JobFactory) -> None:
        self.topic = jobs.topic(timestamp_type=CREATE_TIME)
        self._producer = jobs.producer()
        self.good = 0

    def send(self, zone: str, timestamp_ms: int, *, good: bool = True) -> None:
        value = json.dumps({"geoZone": zone, "windSpeed": 10})
        self._producer.produce(self.topic, value, timestamp=timestamp_ms, partition=self.good % 2)
        self.good += good

    def send_good(self, count: int, *, seconds: float = 0.0) -> None:
        """Of all zones, with the time of sending."""
        for number in range(count):
            self.send(ZONES[number % len(ZONES)], now())
            time.sleep(seconds / count)
        self._producer.flush()


def now() -> int:
    return int(time.time() * 1000)


def counted(sink: Any) -> int:
    return sum(count for count, _ in sink.values().values())


def test_a_record_far_ahead_is_kept_as_invalid_and_all_others_count(jobs: JobFactory) -> None:
    records = TimedRecords(jobs)
    sink = jobs.sink()
    ahead = {"nanoseconds": now() * 1_000_000, "a day": now() + 86_400_000, "two minutes": now() + 120_000}

    running = jobs.start(records.topic, sink)
    # Small batches, with and without company.
    records.send("alone", ahead["nanoseconds"], good=False)
    records.send_good(1)
    running.wait_for(lambda: counted(sink) == records.good)
    records.send("nobody", ahead["nanoseconds"], good=False)
    records.send_good(4)
    running.wait_for(lambda: counted(sink) == records.good)
    for name in ("a day", "two minutes"):
        records.send_good(50, seconds=0.5)
        records.send("A", ahead[name], good=False)
        records.send_good(50, seconds=0.5)
        records.send_good(20, seconds=1)
        running.wait_for(lambda: counted(sink) == records.good)
    assert {zone for zone, _ in sink.values()} == set(ZONES)
    first = running.finish()

    second = jobs.start(records.topic, sink)
    records.send_good(8)
    second.wait_for(lambda: counted(sink) == records.good)
    again = second.finish()
    assert first.rejects == {AHEAD: 4}
    assert again.rejects == {}
    assert first.valid + again.valid == records.good
    assert max(ts for _, ts in sink.values()) < now() + 2000
    timestamps = {record.timestamp_ms for record in read_records(jobs.endpoint, records.topic)}
    assert set(ahead.values()) < timestamps


def test_a_record_within_the_allowed_skew_counts_and_closes_no_window_early(jobs: JobFactory) -> None:
    records = TimedRecords(jobs)
    sink = jobs.sink()

    running = jobs.start(records.topic, sink, analytics={"lateness": "2s"})
    records.send_good(20, seconds=0.5)
    running.wait_for(lambda: counted(sink) == 20)
    ahead = now() + 30_000
    records.send("fast", ahead)
    for _ in range(3):
        records.send_good(20, seconds=1)
    running.wait_for(lambda: counted(sink) == 80)
    # It is not posted too early either.
    assert "fast" not in {zone for zone, _ in sink.values()}
    running.finish()

    rest = jobs.run(records.topic, sink, analytics={"lateness": "2s"})
    assert rest.rejects == {}
    assert counted(sink) == records.good == 81
    assert sink.values()["fast", ahead // 1000 * 1000 + 1000] == (1, 10.0)


def reading(value: bytes | None) -> tuple[str, float] | None:
    document = json.loads(value or b"")
    return document["geoZone"], float(document["windSpeed"])


def feed(jobs: JobFactory, topic: str, stop: threading.Event) -> None:
    producer = jobs.producer()
    number = 0
    while not stop.wait(0.02):
        producer.produce(topic, json.dumps({"geoZone": "ABC"[number % 3], "windSpeed": number}))
        producer.poll(0)
        number += 1
    producer.flush()


@pytest.mark.parametrize(
    ("timestamp_type", "steps"),
    [
        (CREATE_TIME, (-3600, 3600)),
        pytest.param(CREATE_TIME, (-60, 3600, 0, 3600, 0), marks=pytest.mark.long),
        pytest.param(LOG_APPEND_TIME, (-3600, 3600, -3600, 60, 0), marks=pytest.mark.long),
    ],
)
def test_a_clock_that_is_set_holds_nothing_up(
    jobs: JobFactory, tmp_path: Path, timestamp_type: str, steps: tuple[int, ...]
) -> None:
    topic = jobs.topic(timestamp_type=timestamp_type)
    sink = jobs.sink()
    clock = SteppingClock(tmp_path / "clock")
    settings = {
        "kill_point": "never",
        "bootstrap": jobs.broker.bootstrap,
        "topic": topic,
        "checkpoint": str(jobs.folder / "job"),
        "java_home": str(jobs.java.home),
        "jars": [str(jar) for jar in jobs.jars],
        "platform": str(sink.path),
        "duration": 200,
        "clock": str(clock.file),
        # How often Spark checks for executors that have not reported; 60 s by default.
        "conf": {"spark.network.timeoutInterval": "1s"},
    }
    command = [sys.executable, str(Path(__file__).with_name("killed_job.py")), json.dumps(settings)]
    stop = threading.Event()
    feeder = threading.Thread(target=feed, args=(jobs, topic, stop))
    feeder.start()
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        wait_for_window(program, sink, after=0.0, seconds=180)
        for step in steps:
            clock.set(step)
            time.sleep(2)  # until every process has noticed
            wait_for_window(program, sink, after=time.time(), seconds=SOON_SECONDS)
        program.send_signal(signal.SIGINT)
        assert program.wait(60) == 0
        log = (jobs.folder / "job" / "spark.log").read_text(encoding="utf-8")
        assert "Removing executor" not in log, log
    finally:
        stop.set()
        feeder.join()
        program.kill()
        program.communicate()
    summary = jobs.run(topic, sink)

    assert summary.rejects == {}
    assert sink.values() == jobs.expected_values(topic, reading)


def wait_for_window(program: subprocess.Popen[str], sink: Any, *, after: float, seconds: float) -> None:
    """Returns when a window is posted that ends after this time, in seconds since the epoch."""

    def is_posted() -> bool:
        was_running = program.poll() is None
        found = max((ts for _, ts in sink.values()), default=0) > after * 1000
        assert found or was_running
        return found

    wait_until(is_posted, "another window", seconds)
