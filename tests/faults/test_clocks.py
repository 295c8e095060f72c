"""The servers' clocks differ by an hour from the clock of the job's machine.

The job, its Java process and the turbines keep the machine's clock.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.faketime import faketime_environment
from tests.support.fault_rig import FaultRig

pytestmark = [pytest.mark.long, pytest.mark.spark, pytest.mark.kafka, pytest.mark.timeout(1200)]


@pytest.mark.parametrize(("offset", "seconds"), [("+1h", 3600), ("-1h", -3600)])
def test_windows_follow_the_clock_that_timestamps_the_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: str, seconds: int
) -> None:
    rig = FaultRig(tmp_path)
    with monkeypatch.context() as context:
        for name, value in faketime_environment(offset).items():
            context.setenv(name, value)
        rig.__enter__()
    try:
        rig.set_up()
        rig.start_turbines()
        rig.start_job()
        rig.wait_for_posts(4)
        newest = max(end for _, end in rig.means())
        assert abs(newest / 1000 - (time.time() + seconds)) < 60
        # What the job knows of the clock has to be measured again.
        assert rig.job is not None
        rig.job.kill()
        rig.start_job()
        rig.wait_for_posts(4)

        rig.finish()
    finally:
        rig.__exit__()
