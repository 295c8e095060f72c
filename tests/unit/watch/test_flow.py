from __future__ import annotations

from dataclasses import replace

import pytest

from pacifictool.watch.flow import flows_of, hops_of, verdict_of
from pacifictool.watch.model import DeviceView, JobState, Mean, PlatformState, TopicState, ZoneView

NOW, WINDOW = 1_000_000_000, 10_000
FRESH = ZoneView("Zone A", "asset", tuple(Mean(NOW - number * WINDOW, 40.0, 100) for number in range(6, -1, -1)))
STALE = ZoneView("Zone B", None, unknown="The platform has no asset or device of this name yet.")
PLATFORM = PlatformState(
    "http://localhost:8080",
    "1.x",
    zones=(FRESH,),
    zones_total=1,
    devices=(DeviceView("Turbine", "Zone A", 31, NOW, 10.0),),
    devices_total=1,
    reporting=1,
    rate=10.0,
)
TOPIC = TopicState("readings", "id", {0: 1000}, rate=10.0)
JOB = JobState("folder", "rest", is_running=True, counted={0: 990}, records=990, rate=10.0)
NO_JOB = JobState(unknown="No job on this machine has begun.")


def verdict(
    platform: PlatformState = PLATFORM, topic: TopicState = TOPIC, job: JobState = JOB, lag: int | None = 10
) -> str:
    return verdict_of(platform, topic, job, lag, now_ms=NOW, window_ms=WINDOW).text


def test_all_is_well() -> None:
    assert verdict() == "Data moves from end to end."
    hops = hops_of(PLATFORM, TOPIC, JOB, 10, now_ms=NOW, window_ms=WINDOW)
    assert [hop.name for hop in hops] == ["turbines", "platform", "topic", "job", "assets"]
    assert {hop.state for hop in hops} == {"flowing"}
    assert [hop.figure for hop in hops] == ["1 of 1", "1.x", "1,000", "running", "1 of 1"]
    flows = flows_of(PLATFORM, TOPIC, JOB, now_ms=NOW, window_ms=WINDOW)
    assert [flow.text for flow in flows] == ["10.0 readings/s", "10.0 records/s", "10.0 records/s", "6.0 means/min"]


@pytest.mark.parametrize(
    ("platform", "topic", "job", "lag", "beginning"),
    [
        (replace(PLATFORM, unknown="refused"), TOPIC, JOB, 10, "The platform cannot be asked"),
        (replace(PLATFORM, devices=(), devices_total=0), TOPIC, JOB, 10, "There are no turbines"),
        (replace(PLATFORM, rate=0.0), TOPIC, JOB, 10, "No turbine publishes"),
        (
            PLATFORM,
            TopicState("readings", unknown="down"),
            JOB,
            None,
            "Readings reach the platform; whether they go on",
        ),
        (
            PLATFORM,
            replace(TOPIC, rate=0.0),
            JOB,
            10,
            "Readings reach the platform, but none gets into the Kafka topic",
        ),
        (
            PLATFORM,
            TOPIC,
            replace(JOB, is_running=False),
            10,
            "Readings reach the Kafka topic, but the job has stopped",
        ),
        (
            replace(PLATFORM, zones=(STALE,)),
            TOPIC,
            NO_JOB,
            None,
            "Readings reach the Kafka topic, but no mean comes back",
        ),
        (PLATFORM, TOPIC, JOB, 100_000, "The job is behind: 100,000 records"),
        (replace(PLATFORM, zones=(STALE,)), TOPIC, JOB, 10, "The job counts; the first means come"),
        (replace(PLATFORM, zones=(FRESH, STALE)), TOPIC, JOB, 10, "Data moves from end to end, but Zone B has no"),
        (PLATFORM, TOPIC, NO_JOB, None, "Data moves from end to end."),
    ],
)
def test_the_first_place_where_it_stops_is_told(
    platform: PlatformState, topic: TopicState, job: JobState, lag: int | None, beginning: str
) -> None:
    assert verdict(platform, topic, job, lag).startswith(beginning)


def test_what_is_not_known_says_why() -> None:
    unknown = PlatformState("http://localhost:8080", unknown="refused")
    hops = hops_of(unknown, TopicState("readings", unknown="down"), NO_JOB, None, now_ms=NOW, window_ms=WINDOW)
    assert [hop.unknown for hop in hops] == ["refused", "refused", "down", NO_JOB.unknown, "refused"]
    flows = flows_of(unknown, TopicState("readings"), NO_JOB, now_ms=NOW, window_ms=WINDOW)
    assert [flow.text for flow in flows] == ["? readings/s", "? records/s", "? records/s", "? means/min"]
