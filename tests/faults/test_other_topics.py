"""The meaning of the topic's offsets has changed under the checkpoint: the job reports it and never resets by itself."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.settings import KafkaEndpoint
from tests.support.command_line import Outcome
from tests.support.fault_rig import FaultRig
from tests.support.four_analytics import LONGEST_WINDOW

pytestmark = [pytest.mark.long, pytest.mark.spark, pytest.mark.kafka, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultRig]:
    with FaultRig(tmp_path_factory.mktemp("rig")) as rig:
        rig.set_up()
        yield rig


def is_refused(outcome: Outcome, *words: str) -> None:
    """The job ended with exit code 1, said why, and offered both solutions."""
    assert outcome.code == 1, outcome.stderr
    error = outcome.document["error"]
    assert error["kind"] == "checkpoint-mismatch"
    assert any(text in error["message"] for text in words), error
    assert "--starting-offsets earliest" in error["hint"]
    assert "--starting-offsets latest" in error["hint"]


def both_ways_on(rig: FaultRig, name: str) -> None:
    """Tries both solutions of the hint. Values of records that no longer exist stay on the platform."""
    gone = rig.posted().values
    rig.checkpoint = rig.folder / f"{name}-earliest"
    rig.start_turbines()
    rig.start_job()
    rig.wait_for_posts()
    rig.stop_turbines()
    rig.verify(besides=gone)
    assert rig.job is not None
    rig.job.interrupt()

    known = rig.posted().values
    rig.checkpoint = rig.folder / f"{name}-latest"
    rig.job = rig.aggregate("--starting-offsets", "latest")
    rig.job.wait_to_say("0 open windows")
    time.sleep(LONGEST_WINDOW)  # the windows of the old and the new records are apart
    rig.start_turbines()
    rig.wait_for_posts()
    rig.verify(besides=known)
    rig.job.interrupt()


def test_a_topic_that_was_deleted_and_created_again(rig: FaultRig) -> None:
    rig.start_turbines()
    job = rig.start_job()
    rig.wait_for_posts()
    rig.verify()
    admin = KafkaAdmin(KafkaEndpoint(rig.broker.bootstrap))
    admin.delete(rig.topic)
    time.sleep(3)
    rig.set_up()
    is_refused(job.wait(), "was deleted and created again", "no longer holds the records")
    is_refused(rig.start_job().wait(), "Topic winds was deleted and created again")

    both_ways_on(rig, "recreated")


def test_a_checkpoint_that_is_ahead_of_the_topic(rig: FaultRig) -> None:
    before = rig.posted().values
    rig.checkpoint = rig.folder / "ahead"
    rig.start_turbines()
    job = rig.start_job()
    rig.wait_for_posts()
    rig.verify(besides=before)
    rig.broker.stop()
    saved = rig.folder / "saved"
    shutil.copytree(rig.broker.data_dir, saved)
    rig.broker.start()
    rig.start_turbines()
    rig.wait_for_posts()
    rig.stop_turbines()
    time.sleep(3)
    job.interrupt()
    rig.broker.stop(graceful=False)
    shutil.rmtree(rig.broker.data_dir)
    Path(saved).rename(rig.broker.data_dir)
    rig.broker.start()
    is_refused(rig.start_job().wait(), "is ahead of topic winds (partition ")

    both_ways_on(rig, "ahead")
