"""Example configuration files: what they name exists, and what they describe happens."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import yaml

from pacifictool.models.generators import generator_for
from pacifictool.runtime.metrics_server import metrics_endpoint
from pacifictool.scenario import load_scenario
from pacifictool.settings import MqttEndpoint, Secret
from pacifictool.simulation.fleet import Fleet
from pacifictool.simulation.metrics import PREFIX, fleet_metrics
from pacifictool.simulation.plan import SimulatedDevice
from tests.support.documents import ROOT, command_lines, parse

EXAMPLES = ROOT / "examples"


def test_the_pipeline_plays_the_fast_demo_and_keeps_its_report() -> None:
    pipeline = yaml.safe_load((EXAMPLES / "ci.yml").read_text(encoding="utf-8"))
    steps = pipeline["jobs"]["demo"]["steps"]
    commands = [words for step in steps for words in command_lines(step.get("run", ""))]
    assert commands == [["demo", "--fast", "--report", "demo.html", "-o", "json"]]
    parse(commands[0])
    kept = next(step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", ""))
    assert kept.split() == ["demo.json", "demo.html"]
    cached = next(step["with"] for step in steps if "cache" in step.get("uses", ""))
    assert pipeline["jobs"]["demo"]["env"]["PACIFICTOOL_CACHE"].endswith(cached["path"])
    assert (ROOT / "pacifictool" / "resources" / "jars.lock.json").is_file()


def test_prometheus_finds_what_a_fleet_offers() -> None:
    config = yaml.safe_load((EXAMPLES / "prometheus.yml").read_text(encoding="utf-8"))
    job, _ = config["scrape_configs"]
    assert job["static_configs"][0]["targets"] == ["127.0.0.1:9100"]  # as `simulate --metrics 9100` listens
    device = SimulatedDevice(name="T", token=Secret("t"), telemetry={}, rate=1.0)
    fleet = Fleet(MqttEndpoint("127.0.0.1", 1), [device])
    with (
        metrics_endpoint(lambda: fleet_metrics(fleet.snapshot()), 0) as url,
        urlopen(f"{url}{job['metrics_path']}", timeout=10) as response,
    ):
        assert f"{PREFIX}_" in response.read().decode("utf-8")


def test_a_thousand_turbines_in_twenty_zones() -> None:
    scenario = load_scenario(EXAMPLES / "thousand_turbines.toml").with_fleet(1000)
    assert (len(scenario.devices), len(scenario.entities())) == (1000, 20)
    assert scenario.entities()[0] == "District 01"
    assert scenario.devices[999].name == "Station 1000"
    models = {type(device.telemetry["windSpeed"]).__name__ for device in scenario.devices}
    assert len(models) == 5
    for device in scenario.devices[:20]:
        source = generator_for(device.telemetry["windSpeed"], seed=1, device=device.name, key="windSpeed")
        assert all(0 <= (source.value(number, number * 1.0) or 0) <= 120 for number in range(100))


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def test_a_model_of_ones_own() -> None:
    example = load(EXAMPLES / "custom_model.py")
    spec = example.GustyWind(calm=12, gust=31.5, every=50, length=8)
    source = generator_for(spec, seed=1, device="Wind Turbine 1", key="windSpeed")
    values = [source.value(number, number / 20) for number in range(5000)]
    assert values.count(31.5) == 100 * 8  # one gust in each cycle, as long as it says
    assert set(values) == {12, 31.5}
    again = generator_for(spec, seed=1, device="Wind Turbine 1", key="windSpeed")
    assert [again.value(number, 0) for number in reversed(range(5000))] == values[::-1]
