from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pacifictool.doctor.checks import CheckContext, CheckResult, DoctorCheck, run_checks
from pacifictool.provisioning.forwarding import forwarding_spec
from pacifictool.runtime import default_cache_dir
from pacifictool.scenario import tutorial_scenario
from pacifictool.settings import KafkaEndpoint, MqttEndpoint, Secret, Settings


@pytest.fixture
def make_context(tmp_path: Path) -> Callable[..., CheckContext]:
    """A context of this machine, with a platform and Kafka that do not exist; arguments replace its fields."""

    def make(**given: Any) -> CheckContext:
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
        return CheckContext(**{**defaults, **given})

    return make


@pytest.fixture
def run_check() -> Callable[[Sequence[DoctorCheck], str, CheckContext], list[CheckResult]]:
    """Runs the one check of that name, as if those that it needs had succeeded."""

    def run(checks: Sequence[DoctorCheck], name: str, context: CheckContext) -> list[CheckResult]:
        [check] = [check for check in checks if check.name == name]
        results = run_checks([DoctorCheck(check.name, check.group, check.title, check.run)], context)
        assert results
        return results

    return run
