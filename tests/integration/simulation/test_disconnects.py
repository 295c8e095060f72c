"""Causes of disconnects, on a sandbox of generation 4 (docs/servers/4.x.md#mqtt, row 4; docs/servers/4.x.md#limits, row 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pacifictool.local.launcher import SandboxProcess
from pacifictool.models.config import UniformModel
from pacifictool.settings import MqttEndpoint, Secret
from pacifictool.simulation.disconnects import SESSIONS_NEEDED, DisconnectCause, EarlyDisconnects
from pacifictool.simulation.fleet import Fleet
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.plan import SimulatedDevice
from tests.support.recorders import RecordingReporter
from tests.support.sandbox_clients import Tenant

StartSandbox = Callable[..., tuple[MqttEndpoint, Secret]]


@pytest.fixture
def start_sandbox(tmp_path: Path) -> Iterator[StartSandbox]:
    """Starts a sandbox of generation 4 with these options; returns its MQTT endpoint and the token of a device."""
    started: list[SandboxProcess] = []

    def start(*options: str) -> tuple[MqttEndpoint, Secret]:
        sandbox = SandboxProcess(tmp_path / "data", options=("--generation", "4", *options))
        started.append(sandbox)
        sandbox.start()
        tenant = Tenant(sandbox.url)
        device = tenant.post("/api/device", {"name": "Turbine", "type": "WeatherStation"})
        credentials = tenant.get(f"/api/device/{device['id']['id']}/credentials")
        return MqttEndpoint("127.0.0.1", sandbox.mqtt_port), Secret(credentials["credentialsId"])

    yield start
    for sandbox in started:
        sandbox.stop()


def fleet(endpoint: MqttEndpoint, token: Secret, reporter: RecordingReporter, *, rate: float) -> Fleet:
    device = SimulatedDevice("Turbine", token, {"windSpeed": UniformModel(min=30, max=35)}, rate)
    return Fleet(endpoint, [device], FleetOptions(duration_seconds=4), reporter)


def test_two_simulators_with_one_token_each_report_the_other_once(start_sandbox: StartSandbox) -> None:
    endpoint, token = start_sandbox()
    reporters = [RecordingReporter(), RecordingReporter()]
    with ThreadPoolExecutor(2) as pool:
        summaries = list(pool.map(lambda reporter: fleet(endpoint, token, reporter, rate=10).run(), reporters))
    for reporter, summary in zip(reporters, summaries, strict=True):
        warnings = [text for text in reporter.warnings if "another program seems to use its access token" in text]
        assert len(warnings) == 1
        assert "from 2.0 on a platform allows one session per token" in warnings[0]
        assert summary.interrupted.keys() == {"Turbine"}
        [entry] = summary.as_document()["interrupted"]
        assert entry["device"] == "Turbine"
        assert "they disconnect each other" in entry["reason"]
        assert summary.refused == {}


@pytest.mark.long
def test_a_rate_limit_of_the_platform_is_reported(start_sandbox: StartSandbox) -> None:
    endpoint, token = start_sandbox("--device-rate-limit", "5:1")
    reporter = RecordingReporter()
    summary = fleet(endpoint, token, reporter, rate=50).run()
    warnings = [text for text in reporter.warnings if "a limited number of messages from a device" in text]
    assert len(warnings) == 1
    assert summary.interrupted == {"Turbine": warnings[0]}


def add_all(*sessions: tuple[float, float, bool, int]) -> list[DisconnectCause | None]:
    disconnects = EarlyDisconnects()
    return [
        disconnects.add(began, ended, in_readings=in_readings, delivered=delivered)
        for began, ended, in_readings, delivered in sessions
    ]


def test_no_cause_is_named_before_there_is_a_pattern() -> None:
    idle = [(float(n), n + 0.5, False, 1) for n in range(SESSIONS_NEEDED)]
    assert add_all(*idle) == [None] * (SESSIONS_NEEDED - 1) + [DisconnectCause.SHARED_TOKEN]
    busy = [(float(n), n + 0.5, True, 1) for n in range(SESSIONS_NEEDED)]
    assert add_all(*busy)[-1] is DisconnectCause.RATE_LIMIT


def test_sessions_without_a_pattern() -> None:
    poison = [(float(n), n + 0.5, True, 0) for n in range(SESSIONS_NEEDED)]
    assert set(add_all(*poison)) == {None}
    undecided = [(float(n), n + 0.5, n > 0, 1) for n in range(SESSIONS_NEEDED)]
    assert set(add_all(*undecided)) == {None}
    # A proxy that closes idle connections, and a server that is restarted now and then.
    long = [(100.0 * n, 100.0 * n + 60, False, 1) for n in range(8)]
    seldom = [(100.0 * n, 100.0 * n + 1, False, 1) for n in range(8)]
    assert set(add_all(*long)) == set(add_all(*seldom)) == {None}
