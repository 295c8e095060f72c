"""`make bench`: compares pacifictool with other tools in one run. `python -m benchmarks --help`.

Prints one JSON document to standard output and the tables to standard error; both, and a plot, go to the folder given
with --out, too. A peer or a stage that fails is a row that says why. Exit code 1 when a value of ours is wrong, 130
after Ctrl-C, 0 otherwise: a target that is missed is reported, and on another machine it may be. Needs a JDK and Maven
for the Java peers, and `mosquitto` for the stage "simulation" (system packages).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks import expected, report
from benchmarks.rivals import CATALOGUE, prepare_engines
from benchmarks.scale import FULL, QUICK
from benchmarks.stages import NEEDED, STAGES, Bench, broker, run_stage, say
from benchmarks.stream import RECORDS_PER_MS, WINDOW_MS
from benchmarks.targets import target_rows
from pacifictool.runtime.java import find_java

REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"only these, in this order: {', '.join(STAGES)}")
    parser.add_argument("--quick", action="store_true", help="a smaller run of about 6 minutes")
    parser.add_argument("--records", type=int, help="records of a topic (the slowest peers: a tenth)")
    parser.add_argument("--repetitions", type=int, help="of the engines' rates")
    parser.add_argument(
        "--engine", action="append", choices=list(CATALOGUE), metavar="ENGINE", help="only this; repeatable"
    )
    parser.add_argument("--keep", action="store_true", help="keep what --out holds of the other stages")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "test-artifacts" / "bench")
    parser.add_argument("--docs", action="store_true", help="write the numbers into docs/performance.md, too")
    options = parser.parse_args()
    if unknown := [name for name in options.stages if name not in STAGES]:
        parser.error(f"there is no stage {unknown[0]!r}; there are {', '.join(STAGES)}")
    names = options.stages or list(STAGES)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "benchmark.json"
    kept = json.loads(path.read_text())["stages"] if options.keep and path.exists() else {}
    scale = QUICK if options.quick else FULL
    if options.records:
        scale = replace(scale, records=options.records, slow_records=max(1, options.records // 10))
    if options.repetitions:
        scale = replace(scale, repetitions=options.repetitions)
    document: dict[str, Any] = {
        "machine": machine(),
        "versions": versions(),
        "settings": {
            **asdict(scale),
            "records_per_second_of_event_time": RECORDS_PER_MS * 1000,
            "window_ms": WINDOW_MS,
        },
        "stages": kept,
    }
    needed = [name for name in CATALOGUE if any(name in NEEDED.get(stage, ()) for stage in names)]
    ready, unprepared = prepare_engines(name for name in needed if name in (options.engine or CATALOGUE))
    for name, reason in unprepared.items():
        say(f"{name} is left out: {reason}")
    with tempfile.TemporaryDirectory(prefix="bench-kafka-") as folder, broker(Path(folder)) as endpoint:
        bench = Bench(endpoint, ready, scale, unprepared)
        interrupted = False
        for name in names:
            try:
                document["stages"][name] = run_stage(name, bench)
            except KeyboardInterrupt:
                say("Interrupted: here is what was measured before.")
                interrupted = True
                break
            # What has been measured is not lost when the rest is interrupted.
            path.write_text(json.dumps(document, indent=2) + "\n")
    document |= {"ok": not bench.wrong, "wrong": bench.wrong, "tolerance_of_peers": expected.FLOAT_TOLERANCE}
    document["targets"] = target_rows(document)
    text = json.dumps(document, indent=2) + "\n"
    path.write_text(text)
    print(text, end="", flush=True)
    say(report.tables(document))  # last, for whoever looks at a terminal
    report.plot(document["stages"], options.out / "growth.png")
    if options.docs and (missing := [name for name in STAGES if name not in document["stages"]]):
        say(f"docs/performance.md is left as it is: {', '.join(missing)} did not run; --keep adds what ran before.")
    elif options.docs and document["ok"] and not interrupted:
        report.write_page(document, REPOSITORY / "docs" / "performance.md")
        report.plot(document["stages"], REPOSITORY / "docs" / "performance.svg")
    return 130 if interrupted else 0 if document["ok"] else 1


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
        "Flink": _pinned("peers/flink/pom.xml", "<flink.version>(.*?)<"),
        "Kafka Streams": _pinned(
            "peers/kafka_streams/pom.xml",
            "apache.kafka</groupId>\\s*<artifactId>kafka-streams</artifactId>\\s*<version>(.*?)<",
        ),
        "polars": _pinned("requirements.lock", "(?m)^polars==(\\S+)"),
        "confluent-kafka (its loop)": "2.12.2",
        "bytewax": "0.21.1",
        "quixstreams": "3.28.0",
    }


def _pinned(name: str, pattern: str) -> str:
    found = re.search(pattern, (Path(__file__).parent / name).read_text(encoding="utf-8"))
    return found[1] if found else "unknown"


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
