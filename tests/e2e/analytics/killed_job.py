"""A job in its own process, which kills itself at a chosen point. Run by test_aggregation_restart.py."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[3]))

from pacifictool.analytics import job, planner
from pacifictool.analytics.config import JobConfig
from pacifictool.analytics.engine.reader import BatchReader
from pacifictool.analytics.engine.spark import SparkSettings
from pacifictool.analytics.sinks.base import DeliveryCallback, Sink
from pacifictool.analytics.state.store import StateStore
from pacifictool.analytics.windows import WindowResult
from pacifictool.settings import KafkaEndpoint
from tests.support.scenarios import mean_in, mean_rules


class PlatformFile(Sink):
    """Writes to the table that the test's KeepingSink created."""

    name = "keeping"
    target = "keeping"

    def __init__(self, path: str) -> None:
        self._path = path

    def deliver(self, results: Sequence[WindowResult], callback: DeliveryCallback) -> None:
        with sqlite3.connect(self._path, timeout=30) as database:
            database.executemany(
                "INSERT INTO posts (zone, ts, count, mean, posted_at) VALUES (?, ?, ?, ?, 0)",
                [(result.entity, result.window_end_ms, result.count, mean_in(result)) for result in results],
            )
        database.close()
        callback.accepted(results)


def die_after(owner: Any, name: str, *, times: int = 1) -> None:
    """Makes this process kill itself after `owner.name` has been called that many times."""
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def deadly(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        result = original(*arguments, **options)
        if calls == times:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, deadly)


KILL_POINTS: dict[str, Callable[[], None]] = {
    "never": lambda: None,
    "after the batch is applied": lambda: die_after(StateStore, "apply"),
    "within a batch's transaction": lambda: die_after(StateStore, "_add_invalid"),
    "after the second batch is read": lambda: die_after(BatchReader, "read", times=2),
    "after the third batch is read": lambda: die_after(BatchReader, "read", times=3),
    "after results are posted": lambda: die_after(PlatformFile, "deliver"),
}


def main() -> None:
    settings = json.loads(sys.argv[1])
    KILL_POINTS[settings["kill_point"]]()
    if "clock" in settings:
        from tests.support.faketime import use_stepping_clock

        use_stepping_clock(Path(settings["clock"]))
    vars(planner)["MOST_RECORDS"] = settings.get("most_records", planner.MOST_RECORDS)
    config = JobConfig(
        kafka=KafkaEndpoint(settings["bootstrap"]),
        topic=settings["topic"],
        rules=mean_rules(window=settings.get("window", 1)),
        checkpoint=Path(settings["checkpoint"]),
        spark=SparkSettings(
            Path(settings["java_home"]),
            [Path(jar) for jar in settings["jars"]],
            master="local[2]",
            environ=dict(os.environ),
            conf=settings.get("conf", {}),
        ),
        starting_offsets="earliest",
        duration=settings["duration"],
        available_now=settings["duration"] is None,
    )
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    print("started", flush=True)  # noqa: T201 - the test waits for it
    summary = job.AggregationJob(config, PlatformFile(settings["platform"])).run(stop)
    print(json.dumps(summary.as_document()), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
