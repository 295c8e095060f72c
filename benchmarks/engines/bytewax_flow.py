# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["bytewax==0.21.1", "confluent-kafka==2.12.2"]
# ///
"""bytewax: an event-time window by zone, one worker.

Its clock waits for late records longer than the stream lasts, because one worker reads several partitions by turns.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import bytewax.operators as op
import bytewax.operators.windowing as win
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, run_main
from engine import Sums, ready, report, tasks_from_arguments

Reading = tuple[float, datetime]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse(message: KafkaSourceMessage) -> tuple[str, Reading]:
    document = json.loads(message.value)
    timestamp = datetime.fromtimestamp(message.timestamp[1] / 1000, UTC)
    return document["geoZone"], (float(document["windSpeed"]), timestamp)


def add(state: tuple[int, float], reading: Reading) -> tuple[int, float]:
    return state[0] + 1, state[1] + reading[0]


def merge(one: tuple[int, float], other: tuple[int, float]) -> tuple[int, float]:
    return one[0] + other[0], one[1] + other[1]


def main() -> None:
    (task,) = tasks_from_arguments()
    found: list[tuple[str, tuple[int, tuple[int, float]]]] = []
    flow = Dataflow("bench")
    messages = op.input("read", flow, KafkaSource([task.bootstrap], [task.topic], tail=False, batch_size=10_000))
    windows = win.fold_window(
        "mean",
        op.map("parse", messages, parse),
        win.EventClock(ts_getter=lambda reading: reading[1], wait_for_system_duration=timedelta(days=365)),
        win.TumblingWindower(length=timedelta(milliseconds=task.window_ms), align_to=EPOCH),
        lambda: (0, 0.0),
        add,
        merge,
        ordered=False,
    )
    op.output("keep", windows.down, TestingSink(found))
    ready()
    began = time.perf_counter()
    run_main(flow)
    seconds = time.perf_counter() - began
    sums = Sums(task.window_ms)
    for zone, (window, (count, total)) in found:
        sums.merge(zone, (window + 1) * task.window_ms, count, total)
    means = sums.means()
    report(sum(count for count, _ in means.values()), seconds, means)


main()
