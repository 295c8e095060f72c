"""How fast the fleet simulation is: part of `make bench`, or `python benchmarks/fleet.py --help`.

Compares pacifictool, paho's `loop_start` and, as the limit of the broker, a socket that sends prepared bytes: each in
its own process, against one Mosquitto on 127.0.0.1, in turn, several times. Rates are messages per second of wall time,
and per second of the client's CPU time: on a busy machine compare the latter.

Also, unless `--quick`: many devices at a steady 10,000 messages per second, with the lag behind the schedule and the
memory per device. `--crowd 100000` does only that, with as many processes of at most 16,700 devices as it takes, and a
Mosquitto for each of them: both open a file for each device. Needs `mosquitto` on the PATH or in /usr/sbin.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import platform
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pacifictool.models.config import UniformModel
from pacifictool.mqtt import TELEMETRY_TOPIC
from pacifictool.mqtt.packets import PublishEncoder
from pacifictool.settings import MqttEndpoint, Secret
from pacifictool.simulation.fleet import Fleet
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.plan import SimulatedDevice

DEVICES = 10
"""At full speed. A window of 100 unacknowledged messages each, for ours and for paho alike."""
IN_FLIGHT = 100
PAYLOAD = b'{"ts":1795477550000,"values":{"windSpeed":"31"}}'
FULL_SPEED = 100_000.0
SPAWN_RATE = 250.0
"""Of the steady load. Connecting takes the same processors: without a limit, 10,000 devices are connected after 6 s,
and the readings that were due meanwhile are up to 2 s late."""
STEADY_RATE = 10_000
"""Messages per second of all devices together."""
MOST_PER_PROCESS = 16_700
CROWD_SETTLES_SECONDS = 30.0
"""Until all processes have connected theirs, and the readings that were due meanwhile are sent."""


def processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def fleet_of(count: int, rate: float) -> list[SimulatedDevice]:
    telemetry = {"windSpeed": UniformModel(min=30, max=35)}
    return [SimulatedDevice(f"Turbine {n:05d}", Secret(f"token-{n}"), telemetry, rate) for n in range(1, count + 1)]


def play_ours(port: int, qos: int, seconds: float, devices: int = DEVICES) -> dict[str, float]:
    """A whole fleet as `simulate` plays it: values, timestamps, JSON, accounting."""
    fleet = Fleet(MqttEndpoint("127.0.0.1", port), fleet_of(devices, FULL_SPEED), FleetOptions(qos=qos))
    stop = threading.Event()
    thread = threading.Thread(target=fleet.run, args=(stop,))
    thread.start()
    while fleet.snapshot().online < devices:
        time.sleep(0.01)
    result = measured(lambda: fleet.counters.delivered, seconds)
    stop.set()
    thread.join()
    return result


def play_paho(port: int, qos: int, seconds: float) -> dict[str, float]:
    """paho as its documentation shows it: `loop_start` and `publish`; a ready payload, as many under way."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    delivered = [0] * DEVICES
    stop = threading.Event()
    clients = []
    room = [threading.Semaphore(IN_FLIGHT) for _ in range(DEVICES)]
    for number in range(DEVICES):
        client = Client(CallbackAPIVersion.VERSION2)
        client.max_inflight_messages = 0

        def on_publish(*_: Any, number: int = number) -> None:
            delivered[number] += 1
            room[number].release()

        client.on_publish = on_publish
        client.connect("127.0.0.1", port)
        client.loop_start()
        clients.append(client)

    def publish() -> None:
        while not stop.is_set():
            for number, client in enumerate(clients):
                while room[number].acquire(blocking=False):
                    client.publish(TELEMETRY_TOPIC, PAYLOAD, qos)
            time.sleep(0)

    thread = threading.Thread(target=publish)
    thread.start()
    result = measured(lambda: sum(delivered), seconds)
    stop.set()
    thread.join()
    for client in clients:
        client.loop_stop()
    return result


def play_bytes(port: int, qos: int, seconds: float) -> dict[str, float]:
    """What the broker takes: one connection, prepared packets, responses counted but not parsed."""
    encoder = PublishEncoder(TELEMETRY_TOPIC, qos)
    block = b"".join(encoder.encode(packet_id, PAYLOAD) for packet_id in range(1, 501))
    delivered = 0
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02pb")
        sock.recv(4)
        stop = threading.Event()

        def blast() -> None:
            nonlocal delivered
            while not stop.is_set():
                sock.sendall(block)
                missing = 500 * 4 if qos else 0
                while missing > 0:
                    missing -= len(sock.recv(min(missing, 65536)))
                delivered += 500

        thread = threading.Thread(target=blast)
        thread.start()
        result = measured(lambda: delivered, seconds)
        stop.set()
        thread.join()
    return result


def measured(count: Callable[[], int], seconds: float) -> dict[str, float]:
    """Messages per second of wall and processor time, after a second of warming up."""
    time.sleep(1)
    before, wall, processor = count(), time.monotonic(), processor_seconds()
    time.sleep(seconds)
    messages = count() - before
    return {
        "per_second": messages / (time.monotonic() - wall),
        "per_cpu_second": messages / (processor_seconds() - processor),
    }


def play_steady(port: int, devices: int, rate: float, seconds: float, settles: float = 0) -> dict[str, float]:
    """Many devices, QoS 1, at a rate that is to be kept: for `seconds`, which are measured, `settles` after all of them
    are connected.

    Readings lost, missed and sent again are those of the whole run.
    """
    process = psutil.Process()
    before = process.memory_info().rss
    fleet = Fleet(
        MqttEndpoint("127.0.0.1", port), fleet_of(devices, rate / devices), FleetOptions(spawn_rate=SPAWN_RATE)
    )
    stop = threading.Event()
    result: dict[str, float] = {}

    def watch() -> None:
        began, processor = time.monotonic(), processor_seconds()
        # Not by a snapshot, which looks at each device: taken ten times a second it makes readings late.
        counters = fleet.counters
        while counters.online < devices:
            time.sleep(0.1)
        result["connected_after_seconds"] = time.monotonic() - began
        result["cpu_seconds_to_connect"] = processor_seconds() - processor
        time.sleep(settles)
        began, processor, delivered = time.monotonic(), processor_seconds(), counters.delivered
        lag, confirmation = counters.lag.copy(), counters.confirmation.copy()
        time.sleep(seconds)
        elapsed = time.monotonic() - began
        result["per_second"] = (counters.delivered - delivered) / elapsed
        result["cpu_seconds_per_second"] = (processor_seconds() - processor) / elapsed
        result["kb_per_device"] = (process.memory_info().rss - before) / 1024 / devices
        lag, confirmation = counters.lag.copy().since(lag), counters.confirmation.copy().since(confirmation)
        for name, durations, percent in (
            ("lag_p50_ms", lag, 50), ("lag_p99_ms", lag, 99), ("acknowledged_p99_ms", confirmation, 99),
        ):  # fmt: skip
            result[name] = (durations.percentile(percent) or 0.0) * 1000
        stop.set()

    threading.Thread(target=watch, daemon=True).start()
    summary = fleet.run(stop)
    counts = ("acknowledged", "lost", "missed", "resent")
    return {"devices": summary.connected, **result, **{key: getattr(summary, key) for key in counts}}


PLAYERS: dict[str, Callable[[int, int, float], dict[str, float]]] = {
    "pacifictool": play_ours,
    "paho loop_start": play_paho,
    "prepared bytes": play_bytes,
}


@contextlib.contextmanager
def mosquitto() -> Iterator[int]:
    """A broker of the system's package on a free port; its port."""
    binary = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    if not Path(binary).exists():
        raise SystemExit("mosquitto is missing: install it with the system's packages (apt-get install mosquitto).")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="bench-fleet-") as folder:
        config = Path(folder, "mosquitto.conf")
        config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type none\nset_tcp_nodelay true\n"
        )
        process = subprocess.Popen([binary, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 10
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise SystemExit("mosquitto does not start.") from None
                    time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait()


def in_a_process(*arguments: str) -> dict[str, float]:
    result = subprocess.run(
        [sys.executable, __file__, "--play", *arguments], stdout=subprocess.PIPE, text=True, check=True, timeout=600
    )
    document: dict[str, float] = json.loads(result.stdout)
    return document


def median_and_spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def full_speed(seconds: float, repetitions: int) -> dict[str, Any]:
    runs: dict[tuple[str, int], list[dict[str, float]]] = {}
    for _ in range(repetitions):
        for qos in (0, 1):
            for player in PLAYERS:
                with mosquitto() as port:
                    run = in_a_process(player, str(port), str(qos), str(seconds))
                runs.setdefault((player, qos), []).append(run)
    results = {
        f"{player}, QoS {qos}": {
            measure: median_and_spread([run[measure] for run in found]) for measure in ("per_second", "per_cpu_second")
        }
        for (player, qos), found in runs.items()
    }
    ratios = {
        f"QoS {qos}, {measure}": median_and_spread(
            [
                ours[measure] / paho[measure]
                for ours, paho in zip(runs["pacifictool", qos], runs["paho loop_start", qos], strict=True)
            ]
        )
        for qos in (0, 1)
        for measure in ("per_second", "per_cpu_second")
    }
    return {"full_speed": results, "ours_to_paho": ratios}


def steady(seconds: float) -> list[dict[str, float]]:
    """1,000 and 10,000 devices at 10,000 messages a second together."""
    runs = []
    for load in ("1000x10000", "10000x10000"):
        with mosquitto() as port:
            runs.append(in_a_process("steady", str(port), load, str(seconds), "0"))
    return runs


def crowd(devices: int, seconds: float) -> dict[str, float]:
    """`devices` at `STEADY_RATE` together, in several processes: sums, and the worst of the others."""
    parts = math.ceil(devices / MOST_PER_PROCESS)
    loads = [f"{len(range(part, devices, parts))}x{STEADY_RATE / parts:g}" for part in range(parts)]
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(parts) as pool:
        ports = [stack.enter_context(mosquitto()) for _ in loads]
        duration = (str(seconds), str(CROWD_SETTLES_SECONDS))
        runs = list(pool.map(lambda port, load: in_a_process("steady", str(port), load, *duration), ports, loads))
    added = (
        "devices",
        "per_second",
        "acknowledged",
        "lost",
        "missed",
        "resent",
        *(key for key in runs[0] if "cpu" in key),
    )
    return {key: (sum if key in added else max)(run[key] for run in runs) for key in runs[0]} | {"processes": parts}


def by_devices(counts: Sequence[int], seconds: float) -> dict[int, float]:
    """Acknowledged messages per second at full speed, QoS 1, by number of devices."""
    rates = {}
    for count in counts:
        with mosquitto() as port:
            rates[count] = in_a_process("devices", str(port), str(count), str(seconds))["per_second"]
    return rates


def show(document: dict[str, Any]) -> None:
    print(f"{'':<26} {'messages/s':>24} {'messages/s of processor':>30}", file=sys.stderr)
    for name, measures in document["full_speed"].items():
        cells = [
            f"{m['median']:>10,.0f} ({m['min']:,.0f}-{m['max']:,.0f})"
            for m in (measures["per_second"], measures["per_cpu_second"])
        ]
        print(f"{name:<26} {cells[0]:>24} {cells[1]:>30}", file=sys.stderr)
    for name, ratio in document["ours_to_paho"].items():
        text = f"{ratio['median']:.1f} ({ratio['min']:.1f}-{ratio['max']:.1f})"
        print(f"pacifictool / paho, {name}: {text}", file=sys.stderr)
    for run in document.get("steady", []):
        print(json.dumps({key: round(value, 2) for key, value in run.items()}), file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="full speed only")
    parser.add_argument("--steady", type=float, default=60, help="seconds of the steady load")
    parser.add_argument("--json", type=Path, help="write the result here; else to standard output")
    parser.add_argument("--play", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--crowd", type=int, metavar="N", help="only the steady load, with N devices")
    options = parser.parse_args()
    if options.crowd:
        print(json.dumps({key: round(value, 2) for key, value in crowd(options.crowd, options.steady).items()}))
        return
    if options.play:
        player, port, second, third, *more = options.play
        if player == "devices":
            print(json.dumps(play_ours(int(port), 1, float(third), int(second))))
        elif player == "steady":
            devices, rate = second.split("x")
            print(json.dumps(play_steady(int(port), int(devices), float(rate), float(third), float(more[0]))))
        else:
            print(json.dumps(PLAYERS[player](int(port), int(second), float(third))))
        return
    document = {
        "machine": {
            "system": platform.platform(),
            "processors": psutil.cpu_count(),
            "python": platform.python_version(),
        },
        **full_speed(options.seconds, options.repetitions),
    }
    if not options.quick:
        document["steady"] = steady(options.steady)
    show(document)
    text = json.dumps(document, indent=2)
    if options.json:
        options.json.write_text(f"{text}\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
