"""A job that is killed, or stops by itself, continues exactly where it was: with the command line, on a platform."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support import killed_command
from tests.support.fault_rig import TIMEOUT_SECONDS, FaultRig
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.spark, pytest.mark.kafka, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultRig]:
    with FaultRig(tmp_path_factory.mktemp("rig")) as rig:
        rig.set_up()
        yield rig


def wait_for_the_end_of_java(folder: Path) -> None:
    """Returns when no Java process works in the folder; its parent was killed and could not end it."""

    def java() -> list[int]:
        return [
            process.pid
            for process in psutil.process_iter(["name", "cmdline"])
            if (process.info["name"] or "").startswith("java")
            and str(folder) in " ".join(process.info["cmdline"] or ())
        ]

    wait_until(lambda: not java(), lambda: f"the end of Java: {java()}", TIMEOUT_SECONDS)


def test_killed_at_any_point_it_continues_where_it_was(rig: FaultRig) -> None:
    rig.start_turbines()
    rig.publish(b"garbage")
    for kill_point in killed_command.KILL_POINTS:
        job = rig.start_job(launcher=(sys.executable, killed_command.__file__, kill_point))
        assert job.wait().code == -signal.SIGKILL, f"{kill_point}: {job.said}"
        wait_for_the_end_of_java(rig.checkpoint)
    rig.start_job()
    rig.wait_for_posts()

    rig.finish()


def test_a_java_process_that_is_killed_ends_the_job_with_a_reason_and_the_next_start_goes_on(
    rig: FaultRig,
) -> None:
    rig.start_turbines()
    job = rig.start_job()
    rig.wait_for_posts()
    job.java().kill()
    outcome = job.wait()
    assert outcome.code == 1
    error = outcome.document["error"]
    assert error["kind"] == "aggregation-error"
    assert "Spark's Java process has ended" in error["message"]
    assert "the job goes on where it stopped" in error["hint"]
    rig.start_job()
    rig.wait_for_posts()

    rig.finish()


def test_given_up_after_a_while_it_ends_with_a_reason_and_the_next_start_delivers(rig: FaultRig) -> None:
    rig.start_turbines()
    job = rig.start_job("--give-up-after", "3s")
    rig.wait_for_posts()
    rig.proxy.respond(503, "down for maintenance")
    outcome = job.wait()
    assert outcome.code == 1
    error = outcome.document["error"]
    assert error["kind"] == "delivery-abandoned"
    assert "Results could not be delivered for 3 s" in error["message"]
    assert "down for maintenance" in error["message"]
    assert "start the job again with the same checkpoint" in error["hint"]
    assert "results wait; trying again in" in job.said
    posted = rig.posted()
    rig.proxy.heal()
    time.sleep(1)
    assert rig.posted() == posted
    rig.start_job()
    rig.wait_for_posts()

    rig.finish()
