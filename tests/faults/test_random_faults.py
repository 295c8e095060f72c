"""Faults of every kind at random times; `make soak` does the same for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fault_schedule import scheduled

pytestmark = [pytest.mark.long, pytest.mark.spark, pytest.mark.kafka, pytest.mark.timeout(1800)]

SEED = 20_261


def test_random_faults_lose_and_double_nothing(tmp_path: Path) -> None:
    injected: list[str] = []
    with scheduled(tmp_path, seed=SEED, tell=injected.append) as schedule:
        # A half-open connection is noticed after 30 s: test_outages.py waits for that.
        verdict = schedule.run(90, besides=("connections half-open",))

    assert verdict.differences == ()
    assert verdict.windows > 0
    assert schedule.injected.total() >= 5, injected
