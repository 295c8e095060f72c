"""quix-streams: a tumbling window with a reducer, as its documentation shows it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from datetime import timedelta

from engine import Means, report, task_from_arguments
from quixstreams import Application


def main() -> None:
    task = task_from_arguments()
    app = Application(
        broker_address=task.bootstrap,
        consumer_group=f"bench-quix-{time.time_ns()}",
        auto_offset_reset="earliest",
        state_dir=str(task.folder / "state"),
        loglevel="ERROR",
    )
    topic = app.topic(task.topic, value_deserializer="json")
    means: Means = {}

    def keep(result: dict, key: object, timestamp: int, headers: object) -> None:  # noqa: ARG001
        for zone, (count, total) in result["value"].items():
            means[zone, result["end"]] = (count, total / count)

    def reducer(state: dict, value: dict) -> dict:
        count, total = state.get(value["geoZone"], (0, 0.0))
        state[value["geoZone"]] = (count + 1, total + float(value["windSpeed"]))
        return state

    frame = app.dataframe(topic)
    frame = frame.tumbling_window(timedelta(milliseconds=task.window_ms)).reduce(
        reducer, lambda value: reducer({}, value)
    )
    frame.current().update(keep, metadata=True)
    began = time.perf_counter()
    app.run(count=task.records)
    report("quix-streams", task.records, time.perf_counter() - began, means)


main()
