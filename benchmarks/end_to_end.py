"""Whether a fleet's readings all arrive: `make bench-fleet-e2e`, or `python benchmarks/end_to_end.py --help`.

1,000 turbines with 10 readings a second each for five minutes, `setup`, `simulate` and a sandbox as a user runs them:
MQTT with QoS 1, the tutorial's rule, Kafka. Every reading is unique: each turbine is in a zone
of its own, and its wind replays a file that counts, so that the value is the reading's sequence number. In the end the
topic must hold each number of each turbine, and the platform the newest `sequence` of some turbines; repetitions and
disorder are counted, too. Prints one JSON document; exit code 1 when a reading is missing, or the rate is not
kept.

Unless `--rate` is given, a run of some seconds with more than the machine can process determines its limit; where
1,000 × 10 is beyond that, the rate is SHARE_OF_LIMIT of it, and the result says so.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil
from running import Place, cpu_seconds, emit, machine, memory_mb, result_of, sandbox

from pacifictool.kafka.records import read_records
from pacifictool.rest import Platform
from pacifictool.settings import KafkaEndpoint, Sources, resolve

WANTED_HZ = 10.0
SHARE_OF_LIMIT = 0.75
PROBE_SECONDS = 15.0
PROBE_DEVICES = 50
PROBE_OFFERED = 20_000.0
KEPT = 0.99
LOOKED_AT = 20
SPAWN_RATE = 200.0
WATCH_SECONDS = 5.0


def write_scenario(folder: Path, topic: str, devices: int, readings: int) -> str:
    """A scenario in which a value is a sequence number, and a zone a turbine."""
    (folder / "numbers.csv").write_text("n\n" + "\n".join(map(str, range(readings))) + "\n", encoding="utf-8")
    path = folder / f"{topic}.toml"
    path.write_text(
        f'[forwarding]\ntopic = "{topic}"\npartitions = 4\nattributes = ["geoZone"]\ntelemetry = ["windSpeed"]\n'
        f'[fleet]\nname = "Turbine {{number:05d}}"\ngroups = {devices}\nattributes = {{ geoZone = "{{group}}" }}\n'
        'telemetry = { windSpeed = { model = "replay", file = "numbers.csv", column = "n" } }\n',
        encoding="utf-8",
    )
    return str(path)


def limit_of(place: Place) -> float:
    """Readings per second that the machine processes when more are offered.

    With few devices, so that few readings are in flight: a sandbox would continue to process a backlog afterwards.
    """
    scenario = write_scenario(place.folder, "probe", PROBE_DEVICES, 1_000_000)
    place.call("setup", "-s", scenario, "--fleet", str(PROBE_DEVICES))
    result_of(
        place.start(
            "simulate", "-s", scenario, "--fleet", str(PROBE_DEVICES),
            "--rate", str(PROBE_OFFERED / PROBE_DEVICES), "--duration", f"{PROBE_SECONDS}s",
        ),
        may_fail=True,
    )  # fmt: skip
    timestamps = sorted(
        record.timestamp_ms or 0 for record in read_records(KafkaEndpoint(place.stack.broker.bootstrap), "probe")
    )
    # The busiest part: all devices are connected, and none has finished yet.
    tenth = len(timestamps) // 10
    middle = timestamps[3 * tenth : 8 * tenth]
    return len(middle) / (middle[-1] - middle[0]) * 1000


class Watch:
    """Processor time and memory of all three programs, while they run."""

    def __init__(self, programs: dict[str, psutil.Process]) -> None:
        self._programs = programs
        self._began = {name: cpu_seconds(process) for name, process in programs.items()}
        self.samples: list[dict[str, tuple[float, float]]] = []
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._halt.wait(WATCH_SECONDS):
            try:
                self.samples.append(
                    {name: (cpu_seconds(process), memory_mb(process)) for name, process in self._programs.items()}
                )
            except psutil.Error:
                return

    def close(self) -> None:
        self._halt.set()
        self._thread.join()

    def document(self, readings: int) -> dict[str, Any]:
        """By program: processor time per reading, and memory after a sixth of the run and at its end."""
        early, last = self.samples[len(self.samples) // 6], self.samples[-1]
        return {
            name: {
                "cpu_us_per_reading": round((last[name][0] - self._began[name]) / readings * 1e6, 1),
                "memory_mb_early": early[name][1],
                "memory_mb_end": last[name][1],
            }
            for name in self._programs
        }


def count_readings(place: Place, topic: str, devices: int, readings: int) -> dict[str, int]:
    """What the topic holds, turbine by turbine."""
    numbers: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    records = 0
    for record in read_records(KafkaEndpoint(place.stack.broker.bootstrap), topic):
        reading = json.loads(record.value or b"")
        numbers[reading["geoZone"]].append((record.partition, record.offset, int(reading["windSpeed"])))
        records += 1
    expected = {str(number) for number in range(1, devices + 1)}
    missing = doubled = disordered = 0
    for zone in expected:
        found = numbers.get(zone, [])
        distinct = {number for _, _, number in found}
        missing += readings - len(distinct & set(range(readings)))
        doubled += len(found) - len(distinct)
        newest: dict[int, int] = {}
        for partition, _, number in sorted(found):
            disordered += number < newest.get(partition, -1)
            newest[partition] = max(number, newest.get(partition, -1))
    return {
        "expected": devices * readings,
        "records": records,
        "missing": missing,
        "doubled": doubled,
        "out_of_order_within_a_partition": disordered,
        "of_unknown_turbines": sum(len(found) for zone, found in numbers.items() if zone not in expected),
    }


def newest_sequences(place: Place, devices: int) -> dict[str, int]:
    """The newest `sequence` that the platform stored, of some turbines spread over the fleet."""
    settings = resolve(Sources({}, place.environ, place.folder, place.folder / "none.toml", lambda: ""))
    found = {}
    with Platform.connect(settings) as platform:
        for number in range(1, devices + 1, max(1, devices // LOOKED_AT)):
            name = f"Turbine {number:05d}"
            device = platform.devices.find(name)
            assert device is not None
            point = platform.telemetry.latest(device, ["sequence"])["sequence"]
            found[name] = -1 if point is None else int(float(str(point.value)))
    return found


def measure(generation: int, devices: int, rate: float | None, seconds: float) -> dict[str, Any]:
    """The whole run against a sandbox of the generation."""
    with tempfile.TemporaryDirectory(prefix="bench-e2e-") as name, sandbox(Path(name), generation) as place:
        limit = limit_of(place) if rate is None else None
        chosen = rate if rate is not None else min(WANTED_HZ, round(SHARE_OF_LIMIT * (limit or 0) / devices, 2))
        readings = round(chosen * seconds)
        topic = "numbers"
        scenario = write_scenario(place.folder, topic, devices, readings)
        place.call("setup", "-s", scenario, "--fleet", str(devices))
        began = time.monotonic()
        simulator = place.start(
            "simulate", "-s", scenario, "--fleet", str(devices), "--rate", str(chosen), "--count", str(readings),
            "--ramp", str(SPAWN_RATE), "--sequence",
        )  # fmt: skip
        watch = Watch(place.servers() | {"simulator": psutil.Process(simulator.pid)})
        summary = result_of(simulator, may_fail=True)
        watch.close()
        took = time.monotonic() - began
        topic_holds = count_readings(place, topic, devices, readings)
        sequences = newest_sequences(place, devices)
        stale = {name: number for name, number in sequences.items() if number != readings - 1}
        return {
            "generation": generation,
            "devices": devices,
            "limit_readings_per_second": None if limit is None else round(limit),
            "rate_per_device": chosen,
            "as_wanted": chosen >= WANTED_HZ,
            "seconds": round(took, 1),
            "target_rate": summary["target_rate"],
            "achieved_rate": summary["achieved_rate"],
            "schedule_lag_ms": summary["schedule_lag_ms"],
            "acknowledgement_ms": summary["acknowledgement_ms"],
            "acknowledged": summary["acknowledged"],
            "resent": summary["resent"],
            "lost": summary["lost"],
            "missed": summary["missed"],
            "topic": topic_holds,
            "platform": {"devices_looked_at": len(sequences), "without_the_newest_reading": stale},
            "programs": watch.document(devices * readings),
            "ok": (
                summary["complete"]
                and not topic_holds["missing"]
                and not topic_holds["of_unknown_turbines"]
                and not stale
                and summary["achieved_rate"] >= KEPT * summary["target_rate"]
            ),
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generation", type=int, choices=(1, 4), default=1)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--rate", type=float, help="readings per second of each; default: 10, or what is possible")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--json", type=Path, help="write the result here; else to standard output")
    options = parser.parse_args()
    run = measure(options.generation, options.devices, options.rate, options.seconds)
    print(
        f"{run['devices']} turbines x {run['rate_per_device']:g} Hz: {run['topic']['records']:,} of "
        f"{run['topic']['expected']:,} readings in the topic, {run['topic']['missing']} missing",
        file=sys.stderr,
    )
    emit({"ok": run["ok"], "machine": machine(), "run": run}, options.json)
    return 0 if run["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
