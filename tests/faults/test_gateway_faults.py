"""The gateway's session is cut, stops responding, and ends with its platform: every result arrives, as over REST."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fault_rig import FaultRig

pytestmark = [pytest.mark.long, pytest.mark.spark, pytest.mark.kafka, pytest.mark.timeout(1200)]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[FaultRig]:
    with FaultRig(tmp_path, sink="gateway") as rig:
        rig.set_up("--gateway")
        yield rig


def test_a_lost_session_is_opened_again_and_both_sinks_show_the_same(rig: FaultRig) -> None:
    rig.start_turbines()
    job = rig.start_job()
    rig.wait_for_posts(4)
    rig.mqtt_proxy.break_off()
    job.wait_to_say("results wait; trying again in")
    rig.mqtt_proxy.heal()
    job.wait_to_say("Results are delivered again (gateway ")
    rig.wait_for_posts(4)
    rig.mqtt_proxy.swallow()
    job.wait_to_say("ended: the platform went silent")
    rig.mqtt_proxy.heal()
    job.wait_to_say("Results are delivered again (gateway ", times=2)
    rig.wait_for_posts(4)
    rig.restart_platform(pause_seconds=2)
    rig.wait_for_posts(4)
    verdict = rig.finish()

    on_devices = rig.posted().values
    rig.sink = "rest"
    replay = rig.aggregate("--starting-offsets", "earliest", "--available-now", checkpoint=rig.folder / "rest")
    assert replay.wait().code == 0, replay.said
    assert rig.compare() == verdict
    over_rest = rig.posted().values
    assert {place[1:]: value for place, value in over_rest.items()} == {
        place[1:]: value for place, value in on_devices.items()
    }
