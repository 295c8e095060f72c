"""The clock of the job's machine is set while it runs: records are counted and posted within seconds all the same."""

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
from faketime import SteppingClock

from pacifictool.kafka.topics import CREATE_TIME, LOG_APPEND_TIME

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

Workshop = Any  # the fixture's class lives in conftest.py, which cannot be imported

SOON_SECONDS = 15.0
"""Ten times what it takes on a machine with nothing else to do; an hour is what the clock was set back by."""


def reading(value: bytes | None) -> tuple[str, float] | None:
    document = json.loads(value or b"")
    return document["geoZone"], float(document["windSpeed"])


def feed(workshop: Workshop, topic: str, stop: threading.Event) -> None:
    producer = workshop.producer()
    number = 0
    while not stop.wait(0.02):
        producer.produce(topic, json.dumps({"geoZone": "ABC"[number % 3], "windSpeed": number}))
        producer.poll(0)
        number += 1
    producer.flush()


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("timestamp_type", "steps"),
    [
        (CREATE_TIME, (-3600,)),
        pytest.param(CREATE_TIME, (-60, 3600, -3600, 0), marks=pytest.mark.long),
        pytest.param(LOG_APPEND_TIME, (-3600, 3600, -3600, 60, 0), marks=pytest.mark.long),
    ],
)
def test_a_clock_that_is_set_holds_nothing_up(
    workshop: Workshop, tmp_path: Path, timestamp_type: str, steps: tuple[int, ...]
) -> None:
    topic = workshop.topic(timestamp_type=timestamp_type)
    sink = workshop.sink()
    clock = SteppingClock(tmp_path / "clock")
    settings = {
        "moment": "never",
        "bootstrap": workshop.broker.bootstrap,
        "topic": topic,
        "checkpoint": str(workshop.folder / "job"),
        "java_home": str(workshop.java.home),
        "jars": [str(jar) for jar in workshop.jars],
        "platform": str(sink.path),
        "duration": 200,
        "clock": str(clock.file),
    }
    command = [sys.executable, str(Path(__file__).with_name("killed_job.py")), json.dumps(settings)]
    stop = threading.Event()
    feeder = threading.Thread(target=feed, args=(workshop, topic, stop))
    feeder.start()
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        wait_for_window(program, sink, after=0.0, seconds=90)
        for step in steps:
            clock.set(step)
            time.sleep(2)  # until every process knows
            wait_for_window(program, sink, after=time.time(), seconds=SOON_SECONDS)
        program.send_signal(signal.SIGINT)
        assert program.wait(10) == 0
    finally:
        stop.set()
        feeder.join()
        program.kill()
        program.communicate()
    summary = workshop.run(topic, sink)

    assert summary.rejects == {}
    assert sink.values() == workshop.truth(topic, reading)


def wait_for_window(program: subprocess.Popen[str], sink: Any, *, after: float, seconds: float) -> None:
    """Returns when a window is posted that ends after this time, in seconds since the epoch."""
    until = time.monotonic() + seconds
    while max((ts for _, ts in sink.values()), default=0) <= after * 1000:
        assert program.poll() is None
        assert time.monotonic() < until, "nothing is posted any more"
        time.sleep(0.1)
