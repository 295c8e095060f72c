"""Does the job keep up with a function for 1,000 groups at 10,000 readings a second? Part of `make bench-functions`.

Readings come for a minute in real time; the real `pacifictool aggregate` calls the function for each group and window
of 10 s and writes results to a topic whose broker dates them. Prints one JSON document: how long after the end of each
window its last result came. The job keeps up when every window is complete, and none waits for longer than the next one
takes. Exit code 1 when it does not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from benchmarks.functions import FUNCTION
from benchmarks.running import emit, machine
from benchmarks.stages import broker
from pacifictool.kafka.records import read_records
from pacifictool.kafka.topics import KafkaAdmin
from pacifictool.settings import KafkaEndpoint

WINDOW_MS = 10_000
SCENARIO = """
[forwarding]
topic = "readings"
attributes = ["site"]
telemetry = ["t", "h"]
device = true

[[analytics]]
name = "own"
group_by = ["site"]
window = "10s"
function = "own:score"
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=10_000, help="readings a second")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--json", type=Path, help="write the result here; else to standard output")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-functions-") as name, broker(Path(name) / "kafka") as endpoint:
        folder = Path(name)
        (folder / "own.py").write_text(FUNCTION)
        (folder / "own.toml").write_text(SCENARIO)
        admin = KafkaAdmin(endpoint)
        admin.create("readings", partitions=2, replication=1, timestamp_type="CreateTime")
        admin.create("results", partitions=1, replication=1, timestamp_type="LogAppendTime")
        job = start(folder, endpoint)
        try:
            sent = play(endpoint, options.groups, options.rate, options.seconds)
            # The last windows end, and are evaluated.
            time.sleep(3 * WINDOW_MS / 1000)
        finally:
            job.terminate()
            out, _ = job.communicate(timeout=60)
        summary = json.loads(out)
        waits = waits_of(endpoint, sent)
    expected = {end for end in waits if waits[end] is not None}
    longest = max((wait for wait in waits.values() if wait is not None), default=None)
    document = {
        "ok": len(expected) == len(waits) and longest is not None and longest < WINDOW_MS / 1000,
        "machine": machine(),
        "groups": options.groups,
        "readings": sum(sum(each.values()) for each in sent.values()),
        "readings_per_second": options.rate,
        "windows": len(waits),
        "incomplete_windows": sorted(set(waits) - expected),
        "seconds_from_end_to_last_result": [None if wait is None else round(wait, 2) for wait in waits.values()],
        "summary": {key: summary.get(key) for key in ("records", "windows_posted", "function_failures", "lag")},
    }
    emit(document, options.json)
    return 0 if document["ok"] else 1


def start(folder: Path, endpoint: KafkaEndpoint) -> subprocess.Popen[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PACIFICTOOL_")}
    environ |= {"PACIFICTOOL_KAFKA": endpoint.bootstrap, "PACIFICTOOL_STATE": str(folder / "state")}
    arguments = ["aggregate", "-s", "own.toml", "--sink", "kafka", "--result-topic", "results", "-o", "json"]
    arguments += ["--starting-offsets", "earliest"]
    command = [sys.executable, "-m", "pacifictool", *arguments]
    return subprocess.Popen(command, env=environ, cwd=folder, stdout=subprocess.PIPE, text=True)


def play(endpoint: KafkaEndpoint, groups: int, rate: int, seconds: int) -> Mapping[int, Counter[str]]:
    """Sends readings in real time; returns how many each window has of each group. Whole windows only."""
    producer = Producer({"bootstrap.servers": endpoint.bootstrap, "linger.ms": 50})
    values = [
        json.dumps(
            {"deviceName": f"Device {group}", "ts": 0, "site": f"Site {group}", "t": 20 + group % 7 / 10, "h": 50}
        )
        for group in range(groups)
    ]
    time.sleep(-time.time() % (WINDOW_MS / 1000))
    began = time.time()
    sent: dict[int, Counter[str]] = {}
    for number in range(rate * seconds):
        due = began + number / rate
        if (ahead := due - time.time()) > 0.02:
            producer.poll(0)
            time.sleep(ahead)
        at, group = int(due * 1000), number % groups
        producer.produce("readings", values[group], partition=group % 2, timestamp=at)
        sent.setdefault(at // WINDOW_MS * WINDOW_MS + WINDOW_MS, Counter())[f"Site {group}"] += 1
    assert producer.flush(60) == 0
    return sent


def waits_of(endpoint: KafkaEndpoint, sent: Mapping[int, Counter[str]]) -> dict[int, float | None]:
    """Seconds from the end of each window to its last result that counts; None when results are missing or wrong."""
    counts: dict[int, Counter[str]] = {end: Counter() for end in sent}
    last: dict[int, int] = {}
    for record in sorted(read_records(endpoint, "results"), key=lambda each: each.offset):
        result: dict[str, Any] = json.loads(record.value or b"")
        end = int(result["ts"])
        if end in counts and counts[end][result["site"]] != result["count"]:
            counts[end][result["site"]] = result["count"]
            last[end] = record.timestamp_ms or 0
    return {end: (last[end] - end) / 1000 if counts[end] == sent[end] else None for end in sorted(sent)}


if __name__ == "__main__":
    raise SystemExit(main())
