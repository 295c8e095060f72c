"""A fleet in several processes: one summary, the same readings, and no process that outlives the main one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import psutil
import pytest

from pacifictool.errors import MqttError
from pacifictool.models.config import UniformModel
from pacifictool.settings import MqttEndpoint, Secret
from pacifictool.simulation.fleet import Fleet
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.plan import SimulatedDevice
from pacifictool.simulation.processes import FleetProcesses
from tests.support.mqtt_peer import Reaction, ScriptedPeer
from tests.support.recorders import RecordingReporter
from tests.support.waiting import wait_until

PROGRAM = """
import sys
from tests.integration.simulation.test_processes import devices
from pacifictool.settings import MqttEndpoint
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.processes import FleetProcesses
if __name__ == "__main__":
    FleetProcesses(2, MqttEndpoint("127.0.0.1", int(sys.argv[1])), devices(4, 10), FleetOptions()).run()
"""


def devices(count: int, rate: float) -> list[SimulatedDevice]:
    telemetry = {"windSpeed": UniformModel(min=30, max=60)}
    return [
        SimulatedDevice(f"Turbine {number}", Secret(f"token-{number}"), telemetry, rate)
        for number in range(1, count + 1)
    ]


def values(peer: ScriptedPeer) -> Counter[tuple[str, bytes]]:
    """By token; without timestamps."""
    return Counter((message.user_name, message.payload.partition(b'"values"')[2]) for message in peer.received)


def test_three_processes_publish_and_report_what_one_does(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    options = FleetOptions(count=10, seed=7)
    alone = Fleet(endpoint, devices(7, 100), options).run()
    of_one = values(peer)
    peer.received.clear()
    summary = FleetProcesses(3, endpoint, devices(7, 100), options).run()
    assert values(peer) == of_one
    assert summary.complete
    for field in (
        "devices",
        "connected",
        "generated",
        "acknowledged",
        "online",
        "unconfirmed",
        "missed",
        "seed",
        "qos",
    ):
        assert getattr(summary, field) == getattr(alone, field), field
    assert summary.target_rate == pytest.approx(700)
    assert summary.acknowledgement.count == summary.lag.count == 70
    assert summary.as_document().keys() == alone.as_document().keys()


def test_a_stop_ends_all_processes_and_a_killed_one_makes_the_summary_incomplete(
    peer: ScriptedPeer, endpoint: MqttEndpoint
) -> None:
    reporter = RecordingReporter()
    fleet = FleetProcesses(2, endpoint, devices(4, 50), FleetOptions(seed=1), reporter)
    stop = threading.Event()
    before = {child.pid for child in psutil.Process().children()}
    thread = threading.Thread(target=fleet.run, args=(stop,))
    thread.start()
    wait_until(lambda: fleet.snapshot().online == 4)
    started = [child for child in psutil.Process().children() if child.pid not in before and is_part(child)]
    assert len(started) == 2
    for process in started:
        process.send_signal(signal.SIGINT)  # as with Ctrl-C: only the main process may stop them
    started[0].kill()
    wait_until(lambda: fleet.snapshot().online == 2)
    stop.set()
    thread.join()
    summary = fleet.snapshot()
    assert (summary.devices, summary.connected, summary.online, summary.complete) == (4, 4, 0, False)
    assert summary.acknowledged > 0
    assert any("of 2 of the fleet ended unexpectedly" in message for _, message in reporter.reported)
    assert not any(child.is_running() for child in started)


def test_when_no_part_can_start_its_error_is_raised(endpoint: MqttEndpoint, peer: ScriptedPeer) -> None:
    peer.on_connect = lambda _user_name, _connection: 5
    with pytest.raises(MqttError, match="refused all 2 devices"):
        FleetProcesses(2, endpoint, devices(4, 10), FleetOptions()).run()


def test_the_processes_end_with_a_command_that_is_killed(peer: ScriptedPeer, tmp_path: Path) -> None:
    peer.on_publish = lambda _message: Reaction.ACKNOWLEDGE
    script = tmp_path / "fleet.py"
    script.write_text(PROGRAM, encoding="utf-8")
    main = subprocess.Popen(
        [sys.executable, str(script), str(peer.port)], env={**os.environ, "PYTHONPATH": str(Path.cwd())}
    )
    try:
        wait_until(lambda: peer.connections == 4)
        parts = [child for child in psutil.Process(main.pid).children() if is_part(child)]
        assert len(parts) == 2
        main.send_signal(signal.SIGKILL)
        main.wait()
        wait_until(lambda: not any(part.is_running() for part in parts))
    finally:
        main.kill()
        main.wait()


def is_part(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return "spawn_main" in " ".join(process.cmdline())
    return False


def test_connections_come_from_the_source_addresses_in_turn(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    sources: set[str] = set()

    def note(_user_name: str, _connection: int) -> int:
        sources.update(
            connection.raddr.ip
            for connection in psutil.Process().net_connections("tcp")
            if connection.laddr.port == peer.port and connection.raddr
        )
        return 0

    peer.on_connect = note
    options = FleetOptions(count=1, source_addresses=("127.0.0.2", "127.0.0.3"))
    assert Fleet(endpoint, devices(4, 10), options).run().complete
    assert sources == {"127.0.0.2", "127.0.0.3"}
