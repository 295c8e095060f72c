"""Which job belongs to a scenario and a platform."""

from __future__ import annotations

import pytest

from pacifictool.analytics.state.fitting import WantedJob
from pacifictool.analytics.state.reader import JobIdentity
from pacifictool.scenario import tutorial_scenario
from pacifictool.settings import MqttEndpoint

ZONES = {"zones": {"group_by": ["geoZone"], "entity": "{geoZone}"}}
HERE = "http://localhost:8080"


@pytest.mark.parametrize(
    ("target", "analytics", "topic_id", "expected"),
    [
        (f"rest {HERE}", ZONES, "id", None),
        ("rest http://127.0.0.1:8080/", ZONES, None, None),
        ("rest http://localhost:9090", ZONES, "id", "posts to http://localhost:9090"),
        ("rest https://other.example", ZONES, "id", "posts to https://other.example"),
        ("gateway localhost:1883 as Analytics Gateway", ZONES, "id", None),
        ("gateway localhost:1884 as Analytics Gateway", ZONES, "id", "posts to localhost:1884"),
        ("console", ZONES, "id", None),
        ("console", ZONES, None, "writes to console, and the topic is not known"),
        (f"rest {HERE}", ZONES, "another", "reads an earlier topic of this name"),
        (f"rest {HERE}", {"rooms": ZONES["zones"]}, "id", "computes other analytics (rooms)"),
        (
            f"rest {HERE}",
            {"zones": {"group_by": ["room"], "entity": "{room}"}},
            "id",
            "computes other analytics (zones)",
        ),
        (f"rest {HERE}", {**ZONES, "more": {"group_by": [], "entity": "All"}}, "id", None),
    ],
)
def test_only_a_job_of_the_same_platform_and_scenario_belongs(
    target: str, analytics: dict[str, dict[str, object]], topic_id: str | None, expected: str | None
) -> None:
    wanted = WantedJob.from_scenario(tutorial_scenario(), HERE, MqttEndpoint("127.0.0.1", 1883))
    identity = JobIdentity(wanted.topic, "id", target, analytics)
    assert wanted.refusal(identity, topic_id) == expected
