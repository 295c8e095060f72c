"""Other programs read a job's state store while it runs, or lock it: the job continues, or waits and says so."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pacifictool.analytics.state.reader import JobView
from tests.support.waiting import SOON_SECONDS

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

JobFactory = Any  # the fixture's class lives in conftest.py, which cannot be imported

READER = """
import os, signal, sqlite3, sys
database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
rows = database.execute("SELECT value FROM invalid_records")
rows.fetchone()
print("reading", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
print(1 + sum(1 for _ in rows), flush=True)
"""
LOCKER = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
database.execute("ROLLBACK")
"""


def reading(value: bytes | None) -> tuple[str, float] | None:
    document = json.loads(value or b"")
    return document["geoZone"], float(document["windSpeed"])


@contextmanager
def fed(jobs: JobFactory, topic: str) -> Iterator[None]:
    """Within, a record is written every hundredth of a second."""
    stop = threading.Event()

    def produce() -> None:
        producer = jobs.producer()
        number = 0
        while not stop.wait(0.01):
            producer.produce(topic, b'{"geoZone":"%c", "windSpeed":%d}' % (b"ABC"[number % 3], number))
            producer.poll(0)
            number += 1
        producer.flush()

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def program(source: str, store: Path) -> Iterator[subprocess.Popen[str]]:
    """A program whose first line of output says that it has begun its work on the store."""
    command = [sys.executable, "-c", source, str(store)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() != ""
            yield process
        finally:
            process.kill()


def newest(sink: Any) -> int:
    return max((ts for _, ts in sink.values()), default=0)


def wait_for_later_windows(running: Any, sink: Any) -> None:
    """Returns when windows that have not ended yet are posted."""
    now_ms = time.time() * 1000
    running.wait_for(lambda: newest(sink) > now_ms)


def fill(store: Path, topic: str, count: int) -> None:
    """Adds invalid records of a partition that the topic does not have."""
    with sqlite3.connect(store) as database:
        database.execute(
            "WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < ? - 1) "
            "INSERT INTO invalid_records SELECT ?, 99, n, 'empty', NULL, 0, x'', 0 FROM number",
            (count, topic),
        )
    database.close()


@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_a_job_goes_on_while_many_invalid_records_are_read_and_a_reader_stands_still(
    jobs: JobFactory, count: int
) -> None:
    topic = jobs.topic()
    sink = jobs.sink()
    store = jobs.folder / "job" / "state.sqlite"
    with fed(jobs, topic):
        first = jobs.start(topic, sink)
        wait_for_later_windows(first, sink)
        first.finish()
        fill(store, topic, count)
        running = jobs.start(topic, sink)
        wait_for_later_windows(running, sink)

        view = JobView(jobs.folder / "job")
        read = 0
        for number, _record in enumerate(view.invalid_records(), 1):
            read = number
            if number == 1000:
                wait_for_later_windows(running, sink)
        view.close()
        assert read == count
        wait_for_later_windows(running, sink)

        with program(READER, store) as reader:
            for _ in range(3):
                wait_for_later_windows(running, sink)
            reader.send_signal(signal.SIGCONT)
            assert reader.communicate()[0] == f"{count}\n"
        wait_for_later_windows(running, sink)
        running.finish()
    assert [warning for warning in running.reporter.warnings if "locked" in warning] == []
    jobs.run(topic, sink)

    assert sink.values() == jobs.expected_values(topic, reading)


@pytest.mark.parametrize("seconds", [5, pytest.param(90, marks=pytest.mark.long)])
def test_a_job_waits_for_a_lock_says_so_once_and_can_be_stopped_meanwhile(jobs: JobFactory, seconds: int) -> None:
    topic = jobs.topic()
    sink = jobs.sink()
    store = jobs.folder / "job" / "state.sqlite"
    with fed(jobs, topic):
        running = jobs.start(topic, sink)
        wait_for_later_windows(running, sink)
        with program(LOCKER, store):
            time.sleep(seconds)
        wait_for_later_windows(running, sink)
        assert [warning for warning in running.reporter.warnings if "locked" in warning] == [
            f"Another program has locked {store}. Waiting for it to let go."
        ]

        with program(LOCKER, store):
            time.sleep(2)
            asked = time.monotonic()
            running.finish()
            assert time.monotonic() - asked < SOON_SECONDS
    jobs.run(topic, sink)

    assert sink.values() == jobs.expected_values(topic, reading)
