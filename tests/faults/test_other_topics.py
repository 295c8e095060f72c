"""What the topic's offsets mean has changed under the checkpoint: the job says so and never resets by itself."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.settings import KafkaEndpoint
from tests.support.command_line import Outcome
from tests.support.fault_rig import ProvingGround

pytestmark = [pytest.mark.long, pytest.mark.spark, pytest.mark.kafka, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProvingGround]:
    with ProvingGround(tmp_path_factory.mktemp("ground")) as ground:
        ground.set_up()
        yield ground


def is_refused(outcome: Outcome, *words: str) -> None:
    """The job ended with exit code 1, said why, and offered both ways on."""
    assert outcome.code == 1, outcome.stderr
    error = outcome.document["error"]
    assert error["kind"] == "checkpoint-mismatch"
    assert any(text in error["message"] for text in words), error
    assert "--starting-offsets earliest" in error["hint"]
    assert "--starting-offsets latest" in error["hint"]


def both_ways_on(ground: ProvingGround, name: str) -> None:
    """Takes the two ways that the hint offers. What was posted of records that are gone stays."""
    gone = ground.posted().values
    ground.checkpoint = ground.folder / f"{name}-earliest"
    ground.start_turbines()
    ground.start_job()
    ground.wait_for_posts()
    ground.stop_turbines()
    ground.verify(besides=gone)
    assert ground.job is not None
    ground.job.interrupt()

    known = ground.posted().values
    ground.checkpoint = ground.folder / f"{name}-latest"
    ground.job = ground.aggregate("--starting-offsets", "latest")
    ground.job.wait_to_say("0 open windows")
    time.sleep(ground.scenario.aggregation.window)  # the windows of the old and the new records are apart
    ground.start_turbines()
    ground.wait_for_posts()
    ground.verify(besides=known)
    ground.job.interrupt()


def test_a_topic_that_was_deleted_and_created_again(ground: ProvingGround) -> None:
    ground.start_turbines()
    job = ground.start_job()
    ground.wait_for_posts()
    ground.verify()
    admin = KafkaAdmin(KafkaEndpoint(ground.broker.bootstrap))
    admin.delete(ground.topic)
    time.sleep(3)
    ground.set_up()
    is_refused(job.wait(), "was deleted and created again", "no longer holds the records")
    is_refused(ground.start_job().wait(), "Topic winds was deleted and created again")

    both_ways_on(ground, "recreated")


def test_a_checkpoint_that_is_ahead_of_the_topic(ground: ProvingGround) -> None:
    before = ground.posted().values
    ground.checkpoint = ground.folder / "ahead"
    ground.start_turbines()
    job = ground.start_job()
    ground.wait_for_posts()
    ground.verify(besides=before)
    ground.broker.stop()
    saved = ground.folder / "saved"
    shutil.copytree(ground.broker.data_dir, saved)
    ground.broker.start()
    ground.start_turbines()
    ground.wait_for_posts()
    ground.stop_turbines()
    time.sleep(3)
    job.interrupt()
    ground.broker.stop(graceful=False)
    shutil.rmtree(ground.broker.data_dir)
    Path(saved).rename(ground.broker.data_dir)
    ground.broker.start()
    is_refused(ground.start_job().wait(), "is ahead of topic winds (partition ")

    both_ways_on(ground, "ahead")
