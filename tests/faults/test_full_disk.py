"""A disk without space for the checkpoint ends the job with a reason; with space, it goes on exactly."""

from __future__ import annotations

import pytest

from tests.support.fault_rig import FaultRig
from tests.support.small_disk import SmallDisk

pytestmark = [pytest.mark.long, pytest.mark.spark, pytest.mark.kafka, pytest.mark.timeout(1200)]


def test_a_full_disk_ends_the_job_and_with_space_it_goes_on_where_it_stopped(rig: FaultRig) -> None:
    rig.set_up()
    with SmallDisk(rig.folder / "disk", megabytes=32) as disk:
        rig.checkpoint = disk.folder / "job"
        rig.start_turbines()
        job = rig.start_job()
        rig.wait_for_posts()
        disk.fill(job.process.pid)
        rig.publish(b"not a record: has to be kept")
        outcomes = [job.wait()]
        if disk.is_mounted:
            # It cannot start either.
            outcomes.append(rig.start_job().wait())
        for outcome in outcomes:
            assert outcome.code == 1, outcome.stderr
            error = outcome.document["error"]
            assert error["kind"] == "storage-full", error
            assert error["message"].startswith("No space is left for the")
            assert str(rig.checkpoint) in error["message"]
            assert error["hint"] == "Free some space and start again: the job goes on where it stopped."
        disk.free()
        rig.start_job()
        rig.wait_for_posts()

        rig.finish()
