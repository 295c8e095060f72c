"""How fast Spark reads the platform's history: `make bench-data-source`, or `python benchmarks/data_source.py --help`.

A million points of a thousand devices on a sandbox, read by the data source of `pacifictool.spark` into a count and a
sum, against what people write by hand: a loop over `requests`, one request after the other, that pages by time. Twice:
`requests.get` with the server's default of 100 points a request, as such loops are mostly found; and with one
connection that is kept and 10,000 points a request. The loops read a part of the devices. All in turn, several times,
on the same sandbox, which shares the processors. Prints one JSON document; exit code 1 when the data source is less
than 5 times as fast as the plain loop, or a point is missing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import requests
from running import Place, emit, machine, sandbox

import pacifictool.spark
from pacifictool.rest import Platform, Session
from pacifictool.settings import Secret
from pacifictool.tools.threads import run_bounded

BAR = 5.0
START_MS = 1_790_000_000_000
KEY, TYPE = "temperature", "Benchmark"


def fill(url: str, devices: int, points: int) -> dict[str, str]:
    """Creates the devices with their points; their ids by name."""
    with Platform(Session(url, "tenant@thingsboard.org", Secret("tenant"))) as platform:

        def create(number: int) -> tuple[str, str]:
            device = platform.devices.create(f"Sensor {number:05d}", TYPE)
            rows = [(START_MS + 1000 * n, {KEY: (number + n) % 400 / 8}) for n in range(points)]
            platform.telemetry.write(device, rows)
            return device.name, device.id

        first = create(0)  # creates the profile of the type
        return dict([first, *run_bounded(create, range(1, devices), workers=8)])


def expected_sum(devices: int, points: int) -> float:
    return sum((number + n) % 400 / 8 for number in range(devices) for n in range(points))


def by_hand(url: str, ids: list[str], *, limit: int | None, keeps_connection: bool) -> tuple[float, int]:
    """Points per second of the loop, and how many it read."""
    http: Any = requests.Session() if keeps_connection else requests
    login = http.post(f"{url}/api/auth/login", json={"username": "tenant@thingsboard.org", "password": "tenant"})
    headers = {"X-Authorization": f"Bearer {login.json()['token']}"}
    began, count, total = time.monotonic(), 0, 0.0
    for identifier in ids:
        end = 2**52
        while True:
            # A 1.x server requires `interval` and `agg` (docs/servers/1.x.md#telemetry-over-rest, row 15).
            params: dict[str, Any] = {"keys": KEY, "startTs": 1, "endTs": end, "interval": 0, "agg": "NONE"}
            if limit is not None:
                params["limit"] = limit
            page = http.get(
                f"{url}/api/plugins/telemetry/DEVICE/{identifier}/values/timeseries", params=params, headers=headers
            ).json()
            points = page.get(KEY, [])
            if not points:
                break
            count += len(points)
            total += sum(float(point["value"]) for point in points)
            end = points[-1]["ts"]
    return count / (time.monotonic() - began), count


def ours(spark: Any) -> tuple[float, int, float]:
    """Seconds, count and sum of the data source."""
    from pyspark.sql import functions

    began = time.monotonic()
    frame = spark.read.format("pacifictool").options(entity_type=TYPE, keys=KEY).load("timeseries")
    count, total = frame.agg(functions.count("ts"), functions.sum("value")).collect()[0]
    return time.monotonic() - began, int(count), float(total)


def measure(place: Place, devices: int, points: int, part: int, repetitions: int) -> dict[str, Any]:
    url = place.stack.platform.url
    ids = list(fill(url, devices, points).values())
    began = time.monotonic()
    spark = pacifictool.spark.local_session("benchmark", kafka=False, conf={"spark.ui.enabled": "false"})
    pacifictool.spark.register(spark, url=url)
    session_seconds = time.monotonic() - began
    wanted = devices * points, expected_sum(devices, points)
    runs = []
    first = ours(spark)
    for _ in range(repetitions):
        seconds, count, total = ours(spark)
        plain, plain_count = by_hand(url, ids[:part], limit=None, keeps_connection=False)
        strong, strong_count = by_hand(url, ids[: part * 4], limit=10_000, keeps_connection=True)
        runs.append(
            {
                "data_source_points_per_second": count / seconds,
                "data_source_seconds": round(seconds, 2),
                "plain_loop_points_per_second": plain,
                "strong_loop_points_per_second": strong,
                "complete": (count, total) == wanted
                and plain_count == len(ids[:part]) * points
                and strong_count == len(ids[: part * 4]) * points,
            }
        )
        print(runs[-1], file=sys.stderr)
    spark.stop()
    return {
        "points": wanted[0],
        "session_start_seconds": round(session_seconds, 1),
        "first_query_seconds": round(first[0], 1),
        "runs": runs,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--points", type=int, default=1000, help="points of each device")
    parser.add_argument(
        "--by-hand", type=int, default=50, help="devices of the plain loop; the other reads four times as many"
    )
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--generation", type=int, choices=(1, 4), default=4)
    parser.add_argument("--json", type=Path, help="write the result here; else to standard output")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="bench-data-source-") as name,
        sandbox(Path(name), options.generation) as place,
    ):
        result = measure(place, options.devices, options.points, options.by_hand, options.repetitions)
    ratios = {
        loop: [run["data_source_points_per_second"] / run[f"{loop}_points_per_second"] for run in result["runs"]]
        for loop in ("plain_loop", "strong_loop")
    }
    for loop, found in ratios.items():
        print(
            f"data source to the {loop.replace('_', ' ')}: {statistics.median(found):.1f}"
            f" ({min(found):.1f}-{max(found):.1f})",
            file=sys.stderr,
        )
    document = {
        "ok": all(run["complete"] for run in result["runs"]) and statistics.median(ratios["plain_loop"]) >= BAR,
        "bar": BAR,
        "machine": machine(),
        "generation": options.generation,
        "ratios": {loop: statistics.median(found) for loop, found in ratios.items()},
        **result,
    }
    emit(document, options.json)
    return 0 if document["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
