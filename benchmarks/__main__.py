"""`make bench`: compares pacifictool with other tools in one run. `python -m benchmarks --help`.

Prints one JSON document to standard output and the tables to standard error; both, and a plot, go to the folder given
with --out, too. Exit code 1 when an engine's values differ, 0 otherwise: a bar that is missed is reported, and on
another machine it may be. Needs `mosquitto` for the stage "simulation" (a system package).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks import expected, report
from benchmarks.bars import check_bars
from benchmarks.rivals import prepare_environments
from benchmarks.stages import FULL, QUICK, STAGES, Bench, WrongMeans, broker
from benchmarks.stream import RECORDS_PER_MS, WINDOW_MS
from pacifictool.runtime.java import find_java

REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller run of about 6 minutes")
    parser.add_argument("--records", type=int, help="records of a topic (peers: a tenth)")
    parser.add_argument("--repetitions", type=int, help="of the engines' rates")
    parser.add_argument("--stage", action="append", choices=list(STAGES), help="only this; may be given several times")
    parser.add_argument("--keep", action="store_true", help="keep what --out holds of the other stages")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "test-artifacts" / "bench")
    parser.add_argument("--docs", action="store_true", help="write the numbers into docs/performance.md, too")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "benchmark.json"
    kept = json.loads(path.read_text())["stages"] if options.keep and path.exists() else {}
    scale = QUICK if options.quick else FULL
    if options.records:
        scale = replace(scale, records=options.records, peer_records=max(1, options.records // 10))
    if options.repetitions:
        scale = replace(scale, repetitions=options.repetitions)
    document: dict[str, Any] = {
        "ok": True,
        "machine": machine(),
        "versions": versions(),
        "settings": {
            **asdict(scale),
            "records_per_second_of_event_time": RECORDS_PER_MS * 1000,
            "window_ms": WINDOW_MS,
        },
        "stages": kept,
    }
    with tempfile.TemporaryDirectory(prefix="bench-kafka-") as folder, broker(Path(folder)) as endpoint:
        bench = Bench(endpoint, prepare_environments(), scale)
        for name in options.stage or STAGES:
            print(f"== {name}", file=sys.stderr, flush=True)
            began, load = time.monotonic(), os.getloadavg()[0]
            try:
                found = STAGES[name](bench)
            except WrongMeans as error:
                document |= {"ok": False, "error": str(error)}
                print(error, file=sys.stderr)
                break
            document["stages"][name] = {
                **found,
                "load_before": round(load, 2),
                "minutes": round((time.monotonic() - began) / 60, 1),
            }
    document["verified"] = document["ok"]
    document["tolerance_of_peers"] = expected.FLOAT_TOLERANCE
    document["bars"] = check_bars(document["stages"])
    text = json.dumps(document, indent=2) + "\n"
    path.write_text(text)
    print(report.tables(document), file=sys.stderr)
    report.plot(document["stages"], options.out / "growth.png")
    if options.docs and document["ok"]:
        report.write_page(document, REPOSITORY / "docs" / "performance.md")
        report.plot(document["stages"], REPOSITORY / "docs" / "performance.svg")
    print(text, end="")
    return 0 if document["ok"] else 1


def machine() -> dict[str, Any]:
    """What the numbers were measured on; nothing that names this one machine."""
    return {
        "processors": psutil.cpu_count(),
        "processor": _processor(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Of what was measured."""
    packages = ("pacifictool", "pyspark", "paho-mqtt")
    return {
        "Python": platform.python_version(),
        "Java": find_java(os.environ).full_version,
        **{name: version(name) for name in packages},
        "Kafka": "3.9.2",
        "Mosquitto": _mosquitto(),
        "confluent-kafka (its loop)": "2.12.2",
        "bytewax": "0.21.1",
        "quixstreams": "3.28.0",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _mosquitto() -> str:
    for binary in ("mosquitto", "/usr/sbin/mosquitto"):
        try:
            said = subprocess.run([binary, "-h"], capture_output=True, text=True, check=False).stdout
        except OSError:
            continue
        return said.splitlines()[0].removeprefix("mosquitto version ") if said else "unknown"
    return "missing"


if __name__ == "__main__":
    sys.exit(main())
