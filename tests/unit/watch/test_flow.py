from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pacifictool.scenario import tutorial_scenario
from pacifictool.watch.described import describe
from pacifictool.watch.flow import flows_of, hops_of, verdict_of
from pacifictool.watch.model import (
    AnalyticsView,
    DeviceView,
    GroupView,
    PlatformState,
    ResultView,
    Snapshot,
    Verdict,
    VerdictCode,
)
from pacifictool.watch.states import WAITING, AlarmsState, JobState, WatchedTopicState
from pacifictool.watch.terminal import line

NOW, WINDOW = 1_000_000_000, 10_000
WORDS = describe(tutorial_scenario())
FRESH = GroupView(
    "Zone A",
    "asset",
    results=tuple(ResultView(NOW - number * WINDOW, {"windSpeed": 40.0}, 100) for number in range(6, -1, -1)),
)
STALE = GroupView("Zone B", None, unknown="The platform has no asset or device of this name yet.")


def zones(*groups: GroupView) -> tuple[AnalyticsView, ...]:
    return (AnalyticsView(WORDS.analytics[0], groups, len(groups)),)


PLATFORM = PlatformState(
    "http://localhost:8080",
    "1.x",
    analytics=zones(FRESH),
    devices=(DeviceView("Turbine", {"geoZone": "Zone A"}, {"windSpeed": 31}, NOW, 10.0),),
    devices_total=1,
    reporting=1,
    rate=10.0,
)
TOPIC = WatchedTopicState("readings", "id", {0: 1000}, rate=10.0)
JOB = JobState("folder", "rest", is_running=True, counted={0: 990}, records=990, rate=10.0)
NO_JOB = JobState(unknown="No job on this machine.")


def verdict(
    platform: PlatformState = PLATFORM, topic: WatchedTopicState = TOPIC, job: JobState = JOB, lag: int | None = 10
) -> Verdict:
    return verdict_of(platform, topic, job, lag, now_ms=NOW, words=WORDS)


def test_data_that_flows_from_end_to_end() -> None:
    assert verdict() == Verdict(VerdictCode.FLOWING, "Data moves from end to end.")
    hops = hops_of(PLATFORM, TOPIC, JOB, 10, now_ms=NOW, words=WORDS)
    assert [hop.name for hop in hops] == ["devices", "platform", "topic", "job", "results"]
    assert {hop.state for hop in hops} == {"flowing"}
    assert [hop.figure for hop in hops] == ["1 of 1", "1.x", "1,000", "running", "1 of 1"]
    flows = flows_of(PLATFORM, TOPIC, JOB, now_ms=NOW, words=WORDS)
    assert [hop.title for hop in hops] == ["Turbines", "Platform", "Kafka topic", "Spark job", "Assets"]
    assert [flow.text for flow in flows] == ["10.0 readings/s", "10.0 records/s", "10.0 records/s", "6.0 means/min"]


@pytest.mark.parametrize(
    ("changed", "code", "beginning"),
    [
        ({"platform": PlatformState("url", unknown=WAITING)}, VerdictCode.WAITING, "Waiting"),
        ({"platform": replace(PLATFORM, unknown="refused")}, VerdictCode.PLATFORM_UNKNOWN, "The platform does not"),
        ({"platform": replace(PLATFORM, devices=(), devices_total=0)}, VerdictCode.NO_DEVICES, "There are no turbines"),
        ({"platform": replace(PLATFORM, rate=0.0)}, VerdictCode.NO_READINGS, "No turbine publishes"),
        (
            {"topic": WatchedTopicState("readings", unknown="down"), "lag": None},
            VerdictCode.TOPIC_UNKNOWN,
            "Readings reach the platform; the rest",
        ),
        (
            {"topic": replace(TOPIC, rate=0.0, still_seconds=8.0)},
            VerdictCode.NOT_FORWARDED,
            "Readings reach the platform, but not the Kafka topic",
        ),
        (
            {"job": replace(JOB, is_running=False)},
            VerdictCode.JOB_STOPPED,
            "Readings reach the Kafka topic, but the job has stopped",
        ),
        (
            {"job": replace(JOB, is_starting=True)},
            VerdictCode.JOB_STARTING,
            "The job is starting: Spark takes some seconds",
        ),
        (
            {"platform": replace(PLATFORM, analytics=zones(STALE)), "job": NO_JOB, "lag": None},
            VerdictCode.NO_RESULTS,
            "Readings reach the Kafka topic, but no mean comes back",
        ),
        ({"lag": 100_000}, VerdictCode.JOB_BEHIND, "The job is behind: 100,000 records"),
        (
            {"platform": replace(PLATFORM, analytics=zones(STALE))},
            VerdictCode.FIRST_WINDOW,
            "The job counts; the first means",
        ),
        (
            {"platform": replace(PLATFORM, analytics=zones(FRESH, STALE))},
            VerdictCode.GROUPS_STALE,
            "Data moves from end to end, but Zone B has no",
        ),
        ({"job": NO_JOB, "lag": None}, VerdictCode.FLOWING, "Data moves from end to end."),
        (  # the simulation has ended: the rates of both fall, each in its own time
            {
                "platform": replace(PLATFORM, rate=4.0, silent_seconds=7.0),
                "topic": replace(TOPIC, rate=0.0, still_seconds=8.0),
            },
            VerdictCode.FLOWING,
            "Data moves from end to end.",
        ),
    ],
)
def test_the_verdict_names_the_first_place_where_the_data_stops(
    changed: dict[str, Any], code: VerdictCode, beginning: str
) -> None:
    found = verdict(**changed)
    assert found.code is code
    assert found.text.startswith(beginning)


def test_only_a_flow_of_all_zones_is_left_out_of_the_plain_line() -> None:
    """Decided by the verdict's code, not by the beginning of its sentence."""

    def shown(code: VerdictCode) -> str:
        flows = flows_of(PLATFORM, TOPIC, JOB, now_ms=NOW, words=WORDS)
        found = Verdict(code, "Another sentence.")
        return line(Snapshot(NOW, WORDS, PLATFORM, AlarmsState(), TOPIC, JOB, 10, (), flows, found))

    assert "Another sentence." not in shown(VerdictCode.FLOWING)
    assert shown(VerdictCode.GROUPS_STALE).endswith(" | Another sentence.")


def test_unknown_hops_have_reasons_and_unknown_flows_no_rate() -> None:
    unknown = PlatformState("http://localhost:8080", unknown="refused")
    hops = hops_of(unknown, WatchedTopicState("readings", unknown="down"), NO_JOB, None, now_ms=NOW, words=WORDS)
    assert [hop.unknown for hop in hops] == ["refused", "refused", "down", NO_JOB.unknown, "refused"]
    flows = flows_of(unknown, WatchedTopicState("readings"), NO_JOB, now_ms=NOW, words=WORDS)
    assert [flow.text for flow in flows] == ["? readings/s", "? records/s", "? records/s", "? means/min"]
