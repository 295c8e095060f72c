"""The servers' clocks are an hour away from the clock of the machine that the job runs on.

libfaketime shifts what broker and platform are told by the C library; a time namespace could not, as it leaves the
calendar's clock alone. The job, its Java process and the turbines keep the machine's clock.
"""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import pytest
from proving_ground import ProvingGround

pytestmark = [pytest.mark.long, pytest.mark.spark, pytest.mark.kafka, pytest.mark.timeout(1200)]


def faketime_environment(offset: str) -> dict[str, str]:
    """For a process whose clock is to be off by "+1h" or "-1h"."""
    package = importlib.util.find_spec("libfaketime")
    assert package is not None
    assert package.origin is not None
    library = Path(package.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    assert library.exists()
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": offset,
        # Waits are measured on the monotonic clock, which stays as it is; else Java waits too short, and in circles.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }


@pytest.mark.parametrize(("offset", "seconds"), [("+1h", 3600), ("-1h", -3600)])
def test_windows_follow_the_clock_that_stamps_the_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: str, seconds: int
) -> None:
    ground = ProvingGround(tmp_path)
    with monkeypatch.context() as context:
        for name, value in faketime_environment(offset).items():
            context.setenv(name, value)
        ground.__enter__()
    try:
        ground.set_up()
        ground.start_turbines()
        ground.start_job()
        ground.wait_for_posts(4)
        newest = max(end for ends in ground.posted().values.values() for end in ends)
        assert abs(newest / 1000 - (time.time() + seconds)) < 60
        # What was learnt about the clock has to be learnt anew.
        assert ground.job is not None
        ground.job.kill()
        ground.start_job()
        ground.wait_for_posts(4)

        ground.finish()
    finally:
        ground.__exit__()
