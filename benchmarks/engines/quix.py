# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["quixstreams==3.28.0"]
# ///
"""quix-streams: a tumbling window with a reducer, as its documentation shows it.

Set up to be quick: no changelog topic, and no repartition by zone. The platform's records have no key, so the state of
a window holds all zones of its partition; the parts are added up at the end. Only for few zones.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from datetime import timedelta

from engine import Sums, ready, report, tasks_from_arguments
from quixstreams import Application


def reducer(state: dict, value: dict) -> dict:
    count, total = state.get(value["geoZone"], (0, 0.0))
    state[value["geoZone"]] = (count + 1, total + float(value["windSpeed"]))
    return state


def main() -> None:
    (task,) = tasks_from_arguments()
    app = Application(
        broker_address=task.bootstrap,
        consumer_group=f"bench-quix-{time.time_ns()}",
        auto_offset_reset="earliest",
        state_dir=str(task.folder / "state"),
        use_changelog_topics=False,
        loglevel="ERROR",
    )
    sums = Sums(task.window_ms)

    def keep(result: dict) -> None:
        for zone, (count, total) in result["value"].items():
            sums.merge(zone, result["end"], count, total)

    frame = app.dataframe(app.topic(task.topic, value_deserializer="json"))
    window = frame.tumbling_window(timedelta(milliseconds=task.window_ms))
    window.reduce(reducer, lambda value: reducer({}, value)).final(closing_strategy="partition").update(keep)
    ready()
    began = time.perf_counter()
    app.run(count=task.records)
    report(task.records, time.perf_counter() - began, sums.means())


main()
