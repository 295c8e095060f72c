"""A power cut at any point loses and duplicates nothing. `make crash-simulation` cuts it hundreds of times."""

from __future__ import annotations

from pathlib import Path

import pytest

from pacifictool.analytics.engine.spark import SparkRuntime
from pacifictool.local.stack import LocalStack
from tests.support.crash_simulation import prepared, simulate

pytestmark = [pytest.mark.spark, pytest.mark.kafka, pytest.mark.usefixtures("strace")]


@pytest.fixture(scope="session")
def strace() -> None:
    """The recorder, a system tool."""
    import subprocess

    script = Path(__file__).parents[2] / "scripts" / "system_tool.sh"
    subprocess.run([script, "strace", "strace"], check=True)


@pytest.mark.parametrize("cases", [8, pytest.param(25, marks=pytest.mark.long)])
def test_after_a_power_cut_at_any_point_every_value_is_right(
    cases: int, stack: LocalStack, spark: SparkRuntime, tmp_path: Path
) -> None:
    with prepared(tmp_path / "simulation", stack.broker.bootstrap, spark) as simulation:
        assert simulation.record() > 200
        outcome = simulate(simulation, cases=cases, seed=7)
    assert outcome.as_document()["first"] == []
    assert outcome.windows > cases * 100
    assert outcome.values > cases * 300
    assert outcome.corrections > 0
    assert outcome.alarms > cases


@pytest.mark.long
def test_the_simulation_notices_a_store_that_does_not_wait_for_the_disk(
    stack: LocalStack, spark: SparkRuntime, tmp_path: Path
) -> None:
    with prepared(tmp_path / "simulation", stack.broker.bootstrap, spark) as simulation:
        simulation.record(careless=True)
        outcome = simulate(simulation, cases=40, seed=7)
    assert outcome.differences
