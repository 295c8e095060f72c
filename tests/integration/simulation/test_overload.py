"""A fleet against a peer that is slower than the fleet: the load must not grow because of it."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from pacifictool.models.config import UniformModel
from pacifictool.settings import MqttEndpoint, Secret
from pacifictool.simulation.find_limit import LimitFinder, LimitOptions
from pacifictool.simulation.fleet import Fleet
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.plan import SimulatedDevice
from pacifictool.simulation.reading import Reading
from pacifictool.simulation.series import SeriesWriter
from tests.support.mqtt_peer import Paced, Reaction, Received, ScriptedPeer


def devices(count: int, rate: float) -> list[SimulatedDevice]:
    return [
        SimulatedDevice(
            f"Turbine {number}", Secret(f"token-{number}"), {"windSpeed": UniformModel(min=30, max=35)}, rate
        )
        for number in range(1, count + 1)
    ]


def test_an_overloaded_platform_gets_no_more_than_it_acknowledges(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_publish = Paced(100)
    options = FleetOptions(duration_seconds=3, ack_timeout_seconds=1)
    summary = Fleet(endpoint, devices(50, rate=10), options).run()
    assert summary.lost == 0
    assert summary.acknowledged == summary.generated
    assert summary.resent <= 0.1 * summary.generated
    assert summary.missed > 0
    assert summary.generated + summary.missed == 50 * 10 * 3
    assert not summary.complete


def test_a_platform_that_acknowledges_nothing_gets_few_repetitions(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_publish = lambda _message: Reaction.IGNORE
    options = FleetOptions(duration_seconds=3, ack_timeout_seconds=0.2, give_up_after_seconds=3)
    summary = Fleet(endpoint, devices(20, rate=50), options).run()
    assert summary.acknowledged == 0
    assert summary.lost == summary.generated
    # Each device tries one reading after 0.2, 0.6, 1.4 and 3 s; before, each of its readings was sent five times a second.
    assert summary.resent <= 20 * 5
    assert len(peer.received) == summary.generated + summary.resent


def test_messages_without_a_time_are_never_repeated_next_to_another(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_publish = lambda _message: Reaction.IGNORE
    options = FleetOptions(duration_seconds=1, ack_timeout_seconds=0.2, bare=True)
    summary = Fleet(endpoint, devices(1, rate=50), options).run()
    assert (summary.generated, summary.lost) == (1, 1)
    assert summary.resent > 0


@pytest.mark.parametrize("in_flight", [10_000, 100], ids=["room for every device", "devices wait for each other"])
def test_after_a_pause_of_the_platform_everything_is_delivered(
    peer: ScriptedPeer, endpoint: MqttEndpoint, in_flight: int
) -> None:
    forgotten = 0
    again = threading.Event()

    def forget_the_first(_message: Received) -> Reaction:
        nonlocal forgotten
        if again.is_set():
            return Reaction.ACKNOWLEDGE
        forgotten += 1
        if forgotten == 105:
            again.set()
        return Reaction.IGNORE

    peer.on_publish = forget_the_first
    finished: list[Reading] = []
    options = FleetOptions(count=20, ack_timeout_seconds=0.5, max_in_flight_of_fleet=in_flight)
    summary = Fleet(endpoint, devices(30, rate=100), options, on_reading=finished.append).run()
    assert (summary.acknowledged, summary.lost, summary.missed) == (600, 0, 0)
    assert len({(reading.device, reading.number) for reading in finished}) == 600


def test_the_summary_says_that_the_platform_is_the_limit(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_publish = Paced(40)
    summary = Fleet(endpoint, devices(2, rate=100), FleetOptions(duration_seconds=2, max_in_flight=20)).run()
    limit = summary.as_document()["limit"]
    assert limit["by"] == "platform"
    assert "of 200 readings/s" in limit["sentence"]
    assert summary.held_back > 0.05
    assert summary.as_document()["acknowledgement_ms"]["p99"] > 100


def test_a_fleet_that_keeps_up_has_no_limit(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    summary = Fleet(endpoint, devices(3, rate=10), FleetOptions(duration_seconds=2)).run()
    assert summary.bottleneck is None
    assert summary.complete
    document = summary.as_document()
    assert document["acknowledgement_ms"]["histogram"]["count"] == 60
    assert document["rates"]["acknowledged"] <= 60 / 1.9  # 20 readings of a device are due within 1.9 s


def test_the_limit_of_a_platform_is_found(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    peer.on_publish = Paced(150)
    plans = devices(4, rate=10)
    finder = LimitFinder(plans, LimitOptions(hold_seconds=0.8, factor=2, max_latency_seconds=0.5))
    fleet = Fleet(endpoint, plans, FleetOptions(), observers=[finder])
    finder.control(fleet.change_rate, fleet.finish)
    summary = fleet.run()
    document = finder.as_document()
    assert document["complete"]
    # The peer acknowledges 150 a second. On a busy machine steps fail earlier, or a delay before a step adds to it.
    assert document["limit"] is not None, document["steps"]
    assert 10 <= document["limit"]["rate"] <= 200
    assert document["limit"]["next_rate"] <= 1.051 * document["limit"]["rate"]
    assert document["limit"]["reason"]
    rates = [step["rate"] for step in document["steps"]]
    assert rates[:2] == [40, 80] or not document["steps"][0]["held"]
    assert summary.stopped_by == "end"


def test_the_series_of_a_run_adds_up_to_its_summary(peer: ScriptedPeer, endpoint: MqttEndpoint, tmp_path: Path) -> None:
    peer.on_publish = lambda _message: Reaction.IGNORE if len(peer.received) % 10 == 3 else Reaction.ACKNOWLEDGE
    file = tmp_path / "run.jsonl"
    options = FleetOptions(duration_seconds=2, ack_timeout_seconds=0.3)
    with SeriesWriter(file, 0.5, confirmed=True) as writer:
        summary = Fleet(endpoint, devices(3, rate=20), options, observers=[writer]).run()
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == writer.rows >= 4
    for column, total in (("sent", summary.sent), ("acknowledged", summary.acknowledged), ("resent", summary.resent)):
        assert sum(row[column] for row in rows) == total
    assert rows[-1]["in_flight"] == 0
    assert max(row["connected"] for row in rows) == 3
    assert summary.resent > 0
