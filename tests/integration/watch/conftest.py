from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.analytics.state.queries import InvalidRecord, OffsetRange
from pacifictool.analytics.state.store import BatchOutcome
from pacifictool.analytics.windows import UNITS, PartialSum
from pacifictool.local.launcher import SandboxProcess
from pacifictool.rest import NO_RETRY, Platform, Session
from pacifictool.scenario import Scenario, parse_scenario
from pacifictool.settings import KafkaEndpoint, Secret
from pacifictool.watch.collector import Collector, WatchTarget
from tests.support.fixtures import sandbox, unique

__all__ = ["sandbox", "unique"]


MakeCollector = Callable[..., Collector]
MakeScenario = Callable[..., Scenario]


@pytest.fixture
def platform(sandbox: SandboxProcess) -> Iterator[Platform]:
    with Platform(Session(sandbox.url, "tenant@thingsboard.org", Secret("tenant"), retry=NO_RETRY)) as platform:
        yield platform


@pytest.fixture
def scenario(unique: str) -> Scenario:
    """Two turbines in two zones, with a type of the test's own, so that tests do not see one another's."""
    return parse_scenario(
        f'[platform]\nentity_type = "Type {unique}"\n[kafka]\ntopic = "topic-{unique}"\n[aggregation]\nwindow = "2s"\n'
        + "".join(
            f'[[turbines]]\nname = "Turbine {unique} {number}"\nzone = "Zone {unique} {number}"\n'
            "wind_speed = { min = 30, max = 35 }\n"
            for number in (1, 2)
        ),
        source="test",
    )


@pytest.fixture
def make_collector(platform: Platform, scenario: Scenario) -> Iterator[MakeCollector]:
    """A running collector, by default without Kafka and without a job."""
    collectors: list[Collector] = []

    def make(**given: Any) -> Collector:
        interval = given.pop("interval_seconds", 0.1)
        target = {
            "platform": platform,
            "kafka": KafkaEndpoint("127.0.0.1:1"),
            "scenario": scenario,
            "job_folders": list,
            **given,
        }
        collectors.append(Collector(WatchTarget(**target), interval_seconds=interval))
        collectors[-1].start()
        collectors[-1].wait_until_polled(threading.Event())
        return collectors[-1]

    yield make
    for collector in collectors:
        collector.close()


def write_job(folder: Path, topic: str, *, windows: dict[tuple[str, int], int], ends: int, topic_id: str = "x") -> None:
    """A job's folder as `aggregate` leaves it: `windows` maps a zone and a window's end to its number of readings."""
    with Checkpoint(folder, topic) as checkpoint:
        checkpoint.check_identity(
            {
                "topic": topic,
                "topic_id": topic_id,
                "window_ms": 2000,
                "value_key": "windSpeed",
                "target": "rest http://localhost:8080",
            }
        )
        sums = [PartialSum(zone, end, count, 40 * UNITS * count) for (zone, end), count in windows.items()]
        invalid = [InvalidRecord(topic, 0, offset, "no number", 1, b"") for offset in range(2)]
        checkpoint.store.apply(
            BatchOutcome([OffsetRange(0, 0, ends)], sums, invalid, watermark_ms=1, planned_ms=1, done_ms=1)
        )
        checkpoint.store.mark_delivered([(end, zone, count) for (zone, end), count in windows.items()])
