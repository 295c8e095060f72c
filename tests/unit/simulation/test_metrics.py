from __future__ import annotations

import threading

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from pacifictool.models.config import UniformModel
from pacifictool.runtime.metrics_server import metrics_endpoint
from pacifictool.settings import MqttEndpoint, Secret
from pacifictool.simulation.fleet import Fleet
from pacifictool.simulation.metrics import fleet_metrics
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.plan import SimulatedDevice
from tests.support.mqtt_peer import ScriptedPeer
from tests.support.waiting import wait_until

DEVICES = [
    SimulatedDevice(f"Turbine {n}", Secret(f"t{n}"), {"windSpeed": UniformModel(min=30, max=35)}, 50.0)
    for n in range(4)
]


def scrape(url: str) -> dict[str, float]:
    """By name and labels, as Prometheus itself reads it."""
    response = requests.get(f"{url}/metrics", timeout=60)
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
    with metrics_endpoint(lambda: fleet_metrics(fleet.snapshot()), 0) as url:
        assert scrape(url)["devices online"] == 0
        thread.start()
        wait_until(lambda: fleet.snapshot().acknowledged >= 100)
        running = scrape(url)
        stop.set()
        thread.join()
        ended = scrape(url)
    assert (running["devices planned"], running["devices online"], running["devices refused"]) == (4, 4, 0)
    assert running["target_readings_per_second"] == 200
    assert running["readings_total acknowledged"] >= 100
    assert 0 < running["schedule_lag_seconds 0.5"] <= running["schedule_lag_seconds 0.999"] < 5
    assert running["acknowledgement_seconds 0.99"] > 0
    summary = fleet.snapshot()
    assert ended["devices online"] == ended["unconfirmed"] == ended["readings_total lost"] == 0
    assert ended["readings_total generated"] == ended["readings_total acknowledged"] == summary.acknowledged
    with pytest.raises(requests.ConnectionError):
        scrape(url)
