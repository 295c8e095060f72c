# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["quixstreams==3.28.0"]
# ///
"""quix-streams: a tumbling window with a reducer by the records' key, as its documentation shows it.

Set up to be quick: no changelog topic, and no repartition, since the benchmark's records have their zone as key. A
zone is in several partitions; the parts are added up at the end.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from datetime import timedelta

from engine import Sums, ready, report, tasks_from_arguments
from quixstreams import Application

Part = list[float]
"""Records and sum."""


def first(value: dict) -> Part:
    return [1, float(value["windSpeed"])]


def add(part: Part, value: dict) -> Part:
    return [part[0] + 1, part[1] + float(value["windSpeed"])]


def main() -> None:
    (task,) = tasks_from_arguments()
    sums, seen = Sums(task.window_ms), 0

    def stop_at_the_end(topic: str, partition: int, offset: int) -> None:  # noqa: ARG001
        # `app.run(count=...)` counts results, and how many come out is not known beforehand.
        nonlocal seen
        seen += 1
        if seen == task.records:
            app.stop()

    app = Application(
        broker_address=task.bootstrap,
        consumer_group=f"bench-quix-{time.time_ns()}",
        auto_offset_reset="earliest",
        state_dir=str(task.folder / "state"),
        use_changelog_topics=False,
        on_message_processed=stop_at_the_end,
        loglevel="ERROR",
    )

    def keep(result: dict, key: bytes, timestamp: int, headers: object) -> None:  # noqa: ARG001
        count, total = result["value"]
        sums.merge(key.decode(), result["end"], int(count), total)

    frame = app.dataframe(app.topic(task.topic, value_deserializer="json"))
    window = frame.tumbling_window(timedelta(milliseconds=task.window_ms))
    window.reduce(add, first).final(closing_strategy="partition").update(keep, metadata=True)
    ready()
    began = time.perf_counter()
    app.run()
    report(seen, time.perf_counter() - began, sums.means())


main()
