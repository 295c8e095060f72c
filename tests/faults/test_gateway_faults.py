"""The gateway's one session is cut, goes dumb, and dies with its platform: every mean arrives, as over REST."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fault_rig import ProvingGround
from tests.support.oracle import read_platform

pytestmark = [pytest.mark.long, pytest.mark.spark, pytest.mark.kafka, pytest.mark.timeout(1200)]


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[ProvingGround]:
    with ProvingGround(tmp_path, sink="gateway") as ground:
        ground.set_up("--gateway")
        yield ground


def test_a_lost_session_is_opened_again_and_both_sinks_show_the_same(ground: ProvingGround) -> None:
    ground.start_turbines()
    job = ground.start_job()
    ground.wait_for_posts(4)
    ground.mqtt_proxy.break_off()
    job.wait_to_say("results wait; trying again in")
    ground.mqtt_proxy.heal()
    job.wait_to_say("Results are delivered again (gateway ")
    ground.wait_for_posts(4)
    ground.mqtt_proxy.swallow()
    job.wait_to_say("ended: the platform went silent")
    ground.mqtt_proxy.heal()
    job.wait_to_say("Results are delivered again (gateway ", times=2)
    ground.wait_for_posts(4)
    ground.restart_platform(pause_seconds=2)
    ground.wait_for_posts(4)
    verdict = ground.finish()

    ground.sink = "rest"
    replay = ground.aggregate("--starting-offsets", "earliest", "--available-now", checkpoint=ground.folder / "rest")
    assert replay.wait().code == 0, replay.said
    on_devices = read_platform(ground.platform.url, devices=ground.scenario.zones)
    assert sum(map(len, on_devices.values.values())) == verdict.windows
    assert ground.posted().values == on_devices.values
