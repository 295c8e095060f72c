from __future__ import annotations

import threading

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from pacifictool.errors import UsageError
from pacifictool.models.config import UniformModel
from pacifictool.runtime import peer as whose
from pacifictool.settings import MqttEndpoint, Secret
from pacifictool.simulation.fleet import Fleet
from pacifictool.simulation.metrics import metrics_endpoint
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.plan import SimulatedDevice
from tests.support.mqtt_peer import ScriptedPeer
from tests.support.waiting import wait_until

DEVICES = [
    SimulatedDevice(f"Turbine {n}", Secret(f"t{n}"), {"windSpeed": UniformModel(min=30, max=35)}, 50.0)
    for n in range(4)
]


def scrape(port: int) -> dict[str, float]:
    """By name and labels, as Prometheus itself reads it."""
    response = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=60)
    assert response.headers["Content-Type"].startswith("text/plain")
    return {
        sample.name.removeprefix("pacifictool_simulate_")
        + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_a_running_fleet_is_scraped(peer: ScriptedPeer, endpoint: MqttEndpoint) -> None:
    fleet = Fleet(endpoint, DEVICES, FleetOptions(qos=1))
    stop = threading.Event()
    thread = threading.Thread(target=fleet.run, args=(stop,))
    with metrics_endpoint(fleet.snapshot, 0) as port:
        assert scrape(port)["devices online"] == 0
        thread.start()
        wait_until(lambda: fleet.snapshot().acknowledged >= 100)
        running = scrape(port)
        stop.set()
        thread.join()
        ended = scrape(port)
    assert (running["devices planned"], running["devices online"], running["devices refused"]) == (4, 4, 0)
    assert running["target_readings_per_second"] == 200
    assert running["readings_total acknowledged"] >= 100
    assert 0 < running["schedule_lag_seconds 0.5"] <= running["schedule_lag_seconds 0.999"] < 5
    assert running["acknowledgement_seconds 0.99"] > 0
    summary = fleet.snapshot()
    assert ended["devices online"] == ended["unconfirmed"] == ended["readings_total lost"] == 0
    assert ended["readings_total generated"] == ended["readings_total acknowledged"] == summary.acknowledged
    with pytest.raises(requests.ConnectionError):
        scrape(port)


def test_a_port_that_is_taken_is_reported(peer: ScriptedPeer) -> None:
    with (
        pytest.raises(UsageError, match=f"Metrics cannot be offered at 127.0.0.1:{peer.port}") as caught,
        metrics_endpoint(lambda: pytest.fail("never asked"), peer.port),
    ):
        pass
    assert "--metrics" in (caught.value.hint or "")


def test_other_users_of_the_machine_are_refused_unless_everybody_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whose, "IS_CHECKED", True)
    monkeypatch.setattr(whose, "peer_uid", lambda *_: 54321)
    warnings: list[str] = []
    with metrics_endpoint(
        Fleet(MqttEndpoint("127.0.0.1", 1), DEVICES, FleetOptions()).snapshot, 0, warn=warnings.append
    ) as port:
        assert requests.get(f"http://127.0.0.1:{port}/metrics", timeout=60).status_code == 403
    assert len(warnings) == 1
    with metrics_endpoint(
        Fleet(MqttEndpoint("127.0.0.1", 1), DEVICES, FleetOptions()).snapshot, 0, "0.0.0.0", warnings.append
    ) as port:
        assert requests.get(f"http://127.0.0.1:{port}/metrics", timeout=60).status_code == 200
    assert len(warnings) == 1
