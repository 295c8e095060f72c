"""How long the means of many zones take to reach the platform, through each sink: `python benchmarks/sinks.py`.

Starts a sandbox and delivers 10,000 zones in one window as the job does. For the first window no asset or device
exists, for the second all of them. Then the values of both sinks are compared, zone by zone. Prints one JSON document;
exit code 1 when a value differs or a first window takes longer than its limit (rest 30 s, gateway 10 s).

`--generation 4 --telemetry-latency 0.1 --queue 0.1` stores as slowly as a 4.3.1 server does
(docs/servers/4.x.md#telemetry-over-rest, row 2).
"""

from __future__ import annotations

import argparse
import json
import os
import platform as host
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from pacifictool.analytics.delivery import CHUNK
from pacifictool.analytics.sinks.base import DeliveryCallback
from pacifictool.analytics.sinks.registry import SINKS, SinkOptions
from pacifictool.analytics.windows import WindowResult
from pacifictool.local.launcher import SandboxProcess
from pacifictool.mqtt import ANALYTICS_GATEWAY
from pacifictool.rest import Platform
from pacifictool.scenario import tutorial_scenario
from pacifictool.settings import Settings, Sources, resolve

BARS = {"rest": 30.0, "gateway": 10.0}
START_MS = 1_795_477_540_000
WINDOW_MS = 10_000


class Book(DeliveryCallback):
    """Counts. Sinks call it from several threads."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def accepted(self, results: Iterable[WindowResult]) -> None:
        with self._lock:
            self.count += sum(1 for _ in results)

    def refused(self, results: Iterable[WindowResult], reason: str) -> None:
        raise AssertionError(reason)


def result(zone: str, end_ms: int, mean: float) -> WindowResult:
    """The result of one zone."""
    return WindowResult(
        analytics="zones",
        group=(zone,),
        entity_kind="asset",
        entity=zone,
        window_start_ms=end_ms - WINDOW_MS,
        window_end_ms=end_ms,
        ts_ms=end_ms,
        count=200,
        values={"windSpeed": mean},
    )


def window(number: int, zones: int) -> list[WindowResult]:
    """The results of one window."""
    end = START_MS + number * WINDOW_MS
    return [result(f"Zone {n:05d}", end, 30 + n / 7 + number) for n in range(zones)]


def deliver(name: str, options: SinkOptions, windows: Sequence[Sequence[WindowResult]]) -> list[dict[str, float]]:
    """Seconds, and CPU seconds of this process and of the sandbox, for each window."""
    measured = []
    with SINKS[name].open(options) as sink:
        for results in windows:
            book = Book()
            began, own, servers = time.monotonic(), time.process_time(), sandbox_cpu_seconds()
            for start in range(0, len(results), CHUNK):
                sink.deliver(results[start : start + CHUNK], book)
            measured.append(
                {
                    "seconds": round(time.monotonic() - began, 2),
                    "cpu_seconds": round(time.process_time() - own, 2),
                    "sandbox_cpu_seconds": round(sandbox_cpu_seconds() - servers, 2),
                }
            )
            assert book.count == len(results)
    return measured


def sandbox_cpu_seconds() -> float:
    """CPU time of our child processes."""
    return sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children(recursive=True))


def differing(platform: Platform, zones: int) -> int:
    """How many zones' values differ between the asset and the device."""
    devices = {device.name: device for device in platform.devices.list()}

    def differs(asset: object) -> bool:
        device = devices[asset.name]  # type: ignore[attr-defined]
        both = [
            [(point.ts_ms, point.value) for point in platform.telemetry.range(entity, "windSpeed", 0, 2 * START_MS)]  # type: ignore[arg-type]
            for entity in (asset, device)
        ]
        return both[0] != both[1] or len(both[0]) != 2

    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(differs, platform.assets.list()))
    return sum(found) + zones - len(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zones", type=int, default=10_000)
    parser.add_argument("--generation", choices=["1", "4"], default="1", help="of the sandbox")
    parser.add_argument("--telemetry-latency", default="0", metavar="SECONDS", help="every write over REST waits")
    parser.add_argument("--rest-latency", default="0", metavar="SECONDS", help="every REST call waits")
    parser.add_argument(
        "--queue",
        default="0",
        metavar="SECONDS",
        help="generation 4: messages are stored so long after their PUBACK",
    )
    arguments = parser.parse_args()
    more = (
        "--generation",
        arguments.generation,
        "--telemetry-latency-seconds",
        arguments.telemetry_latency,
        "--rest-latency-seconds",
        arguments.rest_latency,
        "--queue-seconds",
        arguments.queue,
    )
    with tempfile.TemporaryDirectory() as folder:
        sandbox = SandboxProcess(Path(folder) / "platform", options=more)
        sandbox.start()
        try:
            options = options_for(sandbox, Path(folder))
            with options.connect() as platform:
                platform.devices.create(ANALYTICS_GATEWAY, "gateway", {"gateway": True})
                windows = [window(number, arguments.zones) for number in (1, 2)]
                sinks = {name: deliver(name, options, windows) for name in BARS}
                differences = differing(platform, arguments.zones)
        finally:
            sandbox.stop()
    ok = not differences and all(sinks[name][0]["seconds"] <= bar for name, bar in BARS.items())
    print(
        json.dumps(
            {
                "ok": ok,
                "zones": arguments.zones,
                "sandbox": " ".join(more),
                "new_zones": {name: measured[0] for name, measured in sinks.items()},
                "known_zones": {name: measured[1] for name, measured in sinks.items()},
                "bars_seconds": BARS,
                "differences": differences,
                "machine": {"python": host.python_version(), "cpus": os.cpu_count(), "load": os.getloadavg()[0]},
            },
            indent=2,
        )
    )
    return 0 if ok else 1


def options_for(sandbox: SandboxProcess, folder: Path) -> SinkOptions:
    settings: Settings = resolve(
        Sources(
            flags={"url": sandbox.url, "mqtt": f"127.0.0.1:{sandbox.mqtt_port}"},
            environ={},
            folder=folder,
            user_file=folder / "none.toml",
            read_stdin=str,
        )
    )
    return SinkOptions(
        settings=settings,
        scenario=tutorial_scenario(),
        connect=lambda: Platform.connect(settings),
        write=print,
    )


if __name__ == "__main__":
    sys.exit(main())
