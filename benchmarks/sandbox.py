"""How many readings per second the sandbox processes: `make bench-sandbox`, or `python benchmarks/sandbox.py --help`.

A fleet offers more than the sandbox can process, QoS 1, the tutorial's rule: MQTT, rule, Kafka. The records of the
topic are counted per second of the broker's timestamps, without the first and the last seconds; for 1.x servers a
PUBACK means that Kafka has the reading, for 4.x that it is queued. Simulator, sandbox and broker share the processors.
Prints one JSON document; exit code 1 below 5,000 readings per second, or when one is lost.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from running import cpu_seconds, emit, machine, memory_mb, result_of, sandbox

from pacifictool.kafka.records import read_records
from pacifictool.settings import KafkaEndpoint

BAR = 5_000.0
TOPIC = "readings"
SCENARIO = f"""
[forwarding]
topic = "{TOPIC}"
partitions = 2
attributes = ["geoZone"]
telemetry = ["windSpeed"]
[fleet]
groups = 10
attributes = {{ geoZone = "Zone {{group}}" }}
telemetry = {{ windSpeed = {{ min = 30, max = 60 }} }}
"""
EDGE_SECONDS = 3


def measure(generation: int, devices: int, offered: float, seconds: float) -> dict[str, Any]:
    """One run against a sandbox of the generation."""
    with tempfile.TemporaryDirectory(prefix="bench-sandbox-") as name, sandbox(Path(name), generation) as place:
        scenario = place.folder / "scenario.toml"
        scenario.write_text(SCENARIO, encoding="utf-8")
        place.call("setup", "-s", str(scenario), "--fleet", str(devices))
        servers = place.servers()
        before = {name: cpu_seconds(process) for name, process in servers.items()}
        summary = result_of(
            place.start(
                "simulate", "-s", str(scenario), "--fleet", str(devices),
                "--rate", str(offered / devices), "--duration", f"{seconds}s",
            ),
            may_fail=True,
        )  # fmt: skip
        spent = {name: cpu_seconds(process) - before[name] for name, process in servers.items()}
        memory = {name: memory_mb(process) for name, process in servers.items()}
        timestamps = Counter(
            (record.timestamp_ms or 0) // 1000
            for record in read_records(KafkaEndpoint(place.stack.broker.bootstrap), TOPIC)
        )
    records = timestamps.total()
    by_second = [timestamps[second] for second in range(min(timestamps) + EDGE_SECONDS, max(timestamps) - EDGE_SECONDS)]
    return {
        "generation": generation,
        "devices": devices,
        "offered_per_second": offered,
        "readings_per_second": {
            "median": statistics.median(by_second),
            "min": min(by_second),
            "max": max(by_second),
        },
        "acknowledged": summary["acknowledged"],
        "records": records,
        "lost": summary["lost"] + max(0, summary["acknowledged"] - records),
        "acknowledgement_ms": summary["acknowledgement_ms"],
        "cpu_us_per_reading": {name: round(value / records * 1e6, 1) for name, value in spent.items()},
        "memory_mb": memory,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generation", type=int, choices=(1, 4), action="append", help="repeatable; default: both")
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--offered", type=float, default=20_000, help="readings per second of all devices together")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--json", type=Path, help="write the result here; else to standard output")
    options = parser.parse_args()
    runs = [
        measure(generation, options.devices, options.offered, options.seconds)
        for generation in options.generation or (1, 4)
    ]
    for run in runs:
        rate = run["readings_per_second"]["median"]
        print(f"generation {run['generation']}: {rate:,.0f} readings/s, {run['lost']} lost", file=sys.stderr)
    ok = all(run["readings_per_second"]["median"] >= BAR and not run["lost"] for run in runs)
    emit({"ok": ok, "bar_per_second": BAR, "machine": machine(), "runs": runs}, options.json)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
