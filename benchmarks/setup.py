"""How fast a fleet is set up: `make bench-setup`, or `python benchmarks/setup.py --help`.

`pacifictool setup --fleet N` (devices, their access tokens and client attributes) against what people write by hand: a
loop over `requests`, one request after the other, that does the same for a part of the devices; once with
`requests.post` and `requests.get`, once with a session that keeps its connection. All in turn against a new sandbox
each, several times, and once more against a sandbox whose responses take 5 ms longer, as over a network. Then a run
that is killed half-way and run again. Prints one JSON document; exit code 1 when `setup` is less than 3 times as
fast as the plain loop, or a device is missing.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import requests
from running import Place, emit, machine, memory_mb, result_of, sandbox

BAR = 3.0
SCENARIO = """
[forwarding]
topic = "readings"
attributes = ["geoZone"]
telemetry = ["windSpeed"]
[fleet]
groups = 10
attributes = { geoZone = "Zone {group}" }
telemetry = { windSpeed = { min = 30, max = 60 } }
"""
WATCH_SECONDS = 0.2


def by_hand(place: Place, count: int, *, keeps_connection: bool) -> float:
    """Devices per second of the loop."""
    url = place.stack.platform.url
    http: Any = requests.Session() if keeps_connection else requests
    login = http.post(f"{url}/api/auth/login", json={"username": "tenant@thingsboard.org", "password": "tenant"})
    headers = {"X-Authorization": f"Bearer {login.json()['token']}"}
    began = time.monotonic()
    for number in range(1, count + 1):
        body = {"name": f"By hand {number:05d}", "type": "WeatherStation"}
        identifier = http.post(f"{url}/api/device", json=body, headers=headers).json()["id"]["id"]
        credentials = http.get(f"{url}/api/device/{identifier}/credentials", headers=headers).json()
        attributes = {"deviceType": "WeatherStation", "geoZone": f"Zone {number % 10}"}
        http.post(f"{url}/api/v1/{credentials['credentialsId']}/attributes", json=attributes).raise_for_status()
    return count / (time.monotonic() - began)


def ours(place: Place, count: int) -> dict[str, Any]:
    """Devices per second of `setup`, start-up included, and the most memory that it took."""
    began = time.monotonic()
    program = place.start("setup", "-s", scenario_of(place), "--fleet", str(count))
    peak = [0.0]
    thread = threading.Thread(target=watch, args=(psutil.Process(program.pid), peak), daemon=True)
    thread.start()
    document = result_of(program)
    seconds = time.monotonic() - began
    return {
        "devices_per_second": count / seconds,
        "seconds": round(seconds, 1),
        "created": document["created"],
        "unchanged": document["unchanged"],
        "peak_memory_mb": peak[0],
    }


def watch(process: psutil.Process, peak: list[float]) -> None:
    """Notes the most memory that a process took."""
    while True:
        try:
            peak[0] = max(peak[0], memory_mb(process))
        except psutil.Error:
            return
        time.sleep(WATCH_SECONDS)


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def scenario_of(place: Place) -> str:
    path = place.folder / "scenario.toml"
    path.write_text(SCENARIO, encoding="utf-8")
    return str(path)


def killed_and_resumed(place: Place, count: int, seconds: float) -> dict[str, Any]:
    """kill -9 after some seconds, then another run: what it found and what it made."""
    program = place.start("setup", "-s", scenario_of(place), "--fleet", str(count))
    time.sleep(seconds)
    program.send_signal(signal.SIGKILL)
    program.communicate()
    second = ours(place, count)
    third = ours(place, count)
    return {
        "found_by_the_second_run": second["unchanged"],
        "made_by_the_second_run": second["created"],
        "made_by_a_third_run": third["created"],
        "seconds_of_the_third_run": third["seconds"],
        "ok": second["unchanged"] > 0 and second["created"] > 0 and third["created"] == 0,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--by-hand", type=int, default=1000, help="devices of the loop by hand")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--generation", type=int, choices=(1, 4), default=1)
    parser.add_argument("--json", type=Path, help="write the result here; else to standard output")
    options = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {"local": [], "5 ms away": []}
    for repetition in range(options.repetitions + 1):
        # The last repetition is the distant one, with fewer devices: there the loops take long.
        distant = repetition == options.repetitions
        faults = ("--rest-latency-seconds", "0.005") if distant else ()
        part = 10 if distant else 1

        def in_a_new_place(work: Callable[[Place], Any], faults: tuple[str, ...] = faults) -> Any:
            with (
                tempfile.TemporaryDirectory(prefix="bench-setup-") as name,
                sandbox(Path(name), options.generation, faults) as place,
            ):
                return work(place)

        runs["5 ms away" if distant else "local"].append(
            {
                "plain_loop": in_a_new_place(
                    lambda place, count=options.by_hand // part: by_hand(place, count, keeps_connection=False)
                ),
                "loop_with_session": in_a_new_place(
                    lambda place, count=options.by_hand // part: by_hand(place, count, keeps_connection=True)
                ),
                "setup": in_a_new_place(lambda place, count=options.devices // part: ours(place, count)),
            }
        )
    half = 0.5 * statistics.median(run["setup"]["seconds"] for run in runs["local"])
    with tempfile.TemporaryDirectory(prefix="bench-setup-") as name, sandbox(Path(name), options.generation) as place:
        small = ours(place, options.devices // 10)
        resumed = killed_and_resumed(place, options.devices, half)
    ratios = {
        f"{where}, to the {loop.replace('_', ' ')}": spread(
            [run["setup"]["devices_per_second"] / run[loop] for run in found]
        )
        for where, found in runs.items()
        for loop in ("plain_loop", "loop_with_session")
    }
    for name, ratio in ratios.items():
        print(f"setup, {name}: {ratio['median']:.1f} ({ratio['min']:.1f}-{ratio['max']:.1f})", file=sys.stderr)
    complete = all(run["setup"]["created"] >= 2 * options.devices for run in runs["local"])
    document = {
        "ok": complete and resumed["ok"] and ratios["local, to the plain loop"]["median"] >= BAR,
        "bar": BAR,
        "machine": machine(),
        "devices": options.devices,
        "ratios": ratios,
        "runs": runs,
        "setup_of_a_tenth": small,
        "killed_and_resumed": resumed,
    }
    emit(document, options.json)
    return 0 if document["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
