from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

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


def scenario_text(unique: str) -> str:
    """Two turbines in two zones, of a type of their own, so that tests do not see one another's."""
    return (
        f'[platform]\ndevice_type = "Type {unique}"\n'
        f'[forwarding]\ntopic = "topic-{unique}"\nattributes = ["geoZone"]\ntelemetry = ["windSpeed"]\n'
        '[[analytics]]\nname = "zones"\ngroup_by = ["geoZone"]\nwindow = "2s"\n'
        'telemetry = { windSpeed = "mean(windSpeed)" }\n'
        '[labels]\ndevice = "turbine"\ngeoZone = "zone"\nwindSpeed = "wind speed"\n'
        + "".join(
            f'[[devices]]\nname = "Turbine {unique} {number}"\nattributes = {{ geoZone = "Zone {unique} {number}" }}\n'
            "telemetry = { windSpeed = { min = 30, max = 35 } }\n"
            for number in (1, 2)
        )
    )


@pytest.fixture
def scenario(unique: str) -> Scenario:
    return parse_scenario(scenario_text(unique), source="test")


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
