from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pacifictool.diagnosis.checks import Check, Finding, Line, run_checks
from pacifictool.diagnosis.surroundings import Surroundings
from pacifictool.runtime import default_cache_dir
from pacifictool.scenario import tutorial_scenario
from pacifictool.settings import KafkaEndpoint, MqttEndpoint, Secret, Settings

MakeSurroundings = Callable[..., Surroundings]


@pytest.fixture
def surroundings(tmp_path: Path) -> MakeSurroundings:
    """This machine, and a platform and Kafka that are not there; whatever is given differs."""

    def make(**given: Any) -> Surroundings:
        from pacifictool.provisioning.forwarding import forwarding_spec

        settings = Settings(
            url="http://127.0.0.1:1",
            username="tenant@thingsboard.org",
            password=Secret("tenant"),
            mqtt=MqttEndpoint("127.0.0.1", 1),
            kafka=KafkaEndpoint("127.0.0.1:1"),
            platform_kafka="127.0.0.1:1",
        )
        scenario = tutorial_scenario()
        defaults = {
            "settings": settings,
            "scenario": scenario,
            "spec": forwarding_spec(settings, scenario),
            "environ": dict(os.environ),
            "cache_dir": default_cache_dir(os.environ),
            "state_dir": tmp_path / "state",
        }
        return Surroundings(**{**defaults, **given})

    return make


@pytest.fixture
def look() -> Callable[[list[Check], str], list[Line]]:
    """Runs the one check of that name, as if those that it needs were through."""

    def run(checks: list[Check], name: str) -> list[Line]:
        [check] = [check for check in checks if check.name == name]
        found: list[Finding] = []
        lines = run_checks([Check(check.name, check.group, check.title, check.run)])
        assert lines, found
        return lines

    return run
