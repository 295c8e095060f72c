"""How soon after a window's end its mean can be read from the platform: `make bench-latency`.

The tutorial's load (three turbines, 10 readings/s each, two zones) goes the whole way on a sandbox of its own: MQTT,
rule, Kafka, Spark, REST. A reader asks each asset for the window's value every 20 ms from the window's end on; the
first response that shows it counts. Prints one JSON document; exit code 1 when a window is missing or the 95th
percentile is above its bar.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import platform as host
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pacifictool.analytics.config import JobConfig
from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.engine.spark import SparkSettings
from pacifictool.analytics.job import AggregationJob
from pacifictool.analytics.sinks.rest import RestSink
from pacifictool.local.stack import LocalStack
from pacifictool.provisioning.apply import apply_plan
from pacifictool.provisioning.entities import look_up_tokens
from pacifictool.provisioning.forwarding import forwarding_spec
from pacifictool.provisioning.setup import Provisioner
from pacifictool.rest import EntityId, Platform
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import SPARK_KAFKA, ensure_jars
from pacifictool.runtime.java import find_java
from pacifictool.scenario import Scenario, tutorial_scenario
from pacifictool.settings import Settings, Sources, resolve
from pacifictool.simulation.fleet import Fleet
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.plan import choose_devices, plan_devices

POLL_SECONDS = 0.02
TIMEOUT_SECONDS = 15.0
BAR_SECONDS = 1.0
"""For the 95th percentile."""
WARM_UP_WINDOWS = 2
"""The first batches of a job take longer; they are measured, but reported apart."""


@dataclasses.dataclass(frozen=True)
class Observation:
    """One window of one zone."""

    zone: str
    window_end_ms: int
    seconds: float | None
    """From the window's end to the first read that showed its value; None: not within the timeout."""
    corrected: bool
    """Whether a late record changed the value afterwards."""


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def watch_zone(platform: Platform, zone: str, ends: Sequence[int], key: str) -> list[Observation]:
    """Waits for each window in turn."""
    observations = []
    asset_id: str | None = None
    for end in ends:
        time.sleep(max(0.0, end / 1000 - time.time()))
        seconds, first = None, None
        while time.time() < end / 1000 + TIMEOUT_SECONDS:
            if asset_id is None:
                asset = platform.assets.find(zone)
                asset_id = None if asset is None else asset.id
            points = [] if asset_id is None else platform.telemetry.range(EntityId.asset(asset_id), key, end, end + 1)
            if points:
                seconds, first = time.time() - end / 1000, points[0].value
                break
            time.sleep(POLL_SECONDS)
        observations.append((end, seconds, first))
    time.sleep(5)  # late records of the last window
    assert asset_id is not None
    final = {
        point.ts_ms: point.value
        for point in platform.telemetry.range(EntityId.asset(asset_id), key, ends[0], ends[-1] + 1)
    }
    return [Observation(zone, end, seconds, first != final.get(end)) for end, seconds, first in observations]


def measure(
    settings: Settings, scenario: Scenario, spark: SparkSettings, folder: Path, windows: int
) -> list[Observation]:
    """Runs everything for `windows` windows and the warm-up."""
    stop = threading.Event()
    running = threading.Event()
    (analytics,) = scenario.analytics
    (key,) = analytics.telemetry
    with Platform.connect(settings) as platform, ThreadPoolExecutor(8) as pool:
        spec = forwarding_spec(settings, scenario)
        apply_plan(Provisioner(platform, settings, scenario, spec).plan())
        tokens = look_up_tokens(platform, [turbine.name for turbine in scenario.devices])
        config = JobConfig(
            settings.kafka, scenario.forwarding.topic, RecordRules.of_scenario(scenario), folder / "job", spark
        )
        sink = RestSink(
            {"asset": platform.assets, "device": platform.devices},
            platform.telemetry,
            url=platform.url,
            entity_type=scenario.asset_type,
        )
        job = AggregationJob(
            config, sink, progress=lambda progress: running.set() if progress.phase == "running" else None
        )
        job_done = pool.submit(job.run, stop)
        try:
            while not running.wait(0.1):
                if job_done.done():
                    job_done.result()
            devices = plan_devices(choose_devices(scenario), tokens.__getitem__)
            fleet_done = pool.submit(Fleet(settings.mqtt, devices, FleetOptions(seed=1)).run, stop)
            first = (math.ceil(time.time() * 1000 / analytics.window_ms) + 1) * analytics.window_ms
            ends = [first + number * analytics.window_ms for number in range(WARM_UP_WINDOWS + windows)]
            watches = [pool.submit(watch_zone, platform, zone, ends, key) for zone in scenario.entities()]
            observations = [observation for watch in watches for observation in watch.result()]
        finally:
            stop.set()
        fleet_done.result()
        job_done.result()
        sink.close()
    return observations


def report(observations: Sequence[Observation], scenario: Scenario) -> dict[str, object]:
    """The figures."""
    ends = sorted({observation.window_end_ms for observation in observations})[WARM_UP_WINDOWS:]
    steady = [observation for observation in observations if observation.window_end_ms in ends]
    seconds = [observation.seconds for observation in steady if observation.seconds is not None]
    missing = len(steady) - len(seconds)
    p95 = percentile(seconds, 0.95)
    return {
        "ok": missing == 0 and p95 <= BAR_SECONDS,
        "window_seconds": scenario.analytics[0].window,
        "windows": len(steady),
        "missing": missing,
        "corrected_later": sum(observation.corrected for observation in steady),
        "seconds_after_window_end": {
            "p50": round(percentile(seconds, 0.5), 3),
            "p95": round(p95, 3),
            "max": round(max(seconds), 3),
        },
        "warm_up_seconds": [
            None if observation.seconds is None else round(observation.seconds, 3)
            for observation in observations
            if observation not in steady
        ],
        "machine": {"processors": os.cpu_count(), "system": host.platform(), "load": os.getloadavg()[0]},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=30, help="windows per zone after the warm-up")
    parser.add_argument("--window", type=float, default=10.0, help="length of a window in seconds")
    arguments = parser.parse_args()
    scenario = tutorial_scenario().with_analytics(window=arguments.window)
    cache_dir = default_cache_dir(os.environ)
    java = find_java(os.environ)
    jars = ensure_jars(SPARK_KAFKA, java=java, cache_dir=cache_dir, environ=os.environ)
    spark = SparkSettings(java_home=java.home, jars=jars, master="local[2]", environ=os.environ)
    with tempfile.TemporaryDirectory(prefix="pacifictool-latency-") as name:
        folder = Path(name)
        base = resolve(Sources({}, {}, folder, folder / "config.toml", lambda: ""))
        with LocalStack(folder / "stack", cache_dir=cache_dir, environ=os.environ) as stack:
            observations = measure(stack.settings(base), scenario, spark, folder, arguments.windows)
    document = report(observations, scenario)
    print(json.dumps(document, indent=2))
    return 0 if document["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
