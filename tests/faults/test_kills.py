"""A job that is killed, or stops by itself, goes on exactly where it was: through the command line, on a platform."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support import killed_command
from tests.support.fault_rig import PATIENCE_SECONDS, ProvingGround

pytestmark = [pytest.mark.long, pytest.mark.spark, pytest.mark.kafka, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProvingGround]:
    with ProvingGround(tmp_path_factory.mktemp("ground")) as ground:
        ground.set_up()
        yield ground


def wait_for_the_end_of_java(folder: Path) -> None:
    """Returns when no Java process works in the folder: whoever started it was killed and could not end it."""
    until = time.monotonic() + PATIENCE_SECONDS
    while found := [
        process.pid
        for process in psutil.process_iter(["name", "cmdline"])
        if (process.info["name"] or "").startswith("java") and str(folder) in " ".join(process.info["cmdline"] or ())
    ]:
        assert time.monotonic() < until, f"Java goes on without its job: {found}"
        time.sleep(0.1)


def test_killed_at_any_moment_it_goes_on_where_it_was(ground: ProvingGround) -> None:
    ground.start_turbines()
    ground.publish(b"garbage")
    for moment in killed_command.MOMENTS:
        job = ground.start_job(launcher=(sys.executable, killed_command.__file__, moment))
        assert job.wait().code == -signal.SIGKILL, f"{moment}: {job.said}"
        wait_for_the_end_of_java(ground.checkpoint)
    ground.start_job()
    ground.wait_for_posts()

    ground.finish()


def test_a_java_process_that_is_killed_ends_the_job_with_a_reason_and_the_next_start_goes_on(
    ground: ProvingGround,
) -> None:
    ground.start_turbines()
    job = ground.start_job()
    ground.wait_for_posts()
    job.java().kill()
    outcome = job.wait()
    assert outcome.code == 1
    error = outcome.document["error"]
    assert error["kind"] == "aggregation-error"
    assert "Spark's Java process has ended" in error["message"]
    assert "the job goes on where it stopped" in error["hint"]
    ground.start_job()
    ground.wait_for_posts()

    ground.finish()


def test_given_up_after_a_while_it_ends_with_a_reason_and_the_next_start_delivers(ground: ProvingGround) -> None:
    ground.start_turbines()
    job = ground.start_job("--give-up-after", "3s")
    ground.wait_for_posts()
    ground.proxy.answer(503, "down for maintenance")
    outcome = job.wait()
    assert outcome.code == 1
    error = outcome.document["error"]
    assert error["kind"] == "delivery-abandoned"
    assert "Results could not be delivered for 3 s" in error["message"]
    assert "down for maintenance" in error["message"]
    assert "start the job again with the same checkpoint" in error["hint"]
    assert "results wait; trying again in" in job.said
    posted = ground.posted()
    ground.proxy.heal()
    time.sleep(1)
    assert ground.posted() == posted
    ground.start_job()
    ground.wait_for_posts()

    ground.finish()
