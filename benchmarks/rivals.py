"""Every engine that is measured: how it is started, what it needs, and how much it is given to do."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.java_peers import FLINK_OPTIONS, JavaPeer, NotPrepared, prepare
from pacifictool.runtime.cache import default_cache_dir

FOLDER = Path(__file__).parent
ENGINES = FOLDER / "engines"
OURS, READING, LIMIT = "pacifictool", "Spark reading only", "Java consumer, hand-written sum"
ONE_CORE, COMMAND = f"{OURS}, one core", f"{OURS} aggregate --available-now"
FLINK, FLINK_SQL, STREAMS = "Flink DataStream", "Flink SQL, batch", "Kafka Streams, repartition"
POLARS = "polars over confluent-kafka"
LIMIT_FUNCTIONS = "Java consumer, hand-written functions"


@dataclass(frozen=True)
class Topic:
    """A filled topic."""

    name: str
    records: int
    """With the closing records."""


@dataclass(frozen=True)
class Engine:
    """One of those that are measured."""

    name: str
    kind: Literal["ours", "peer", "limit", "reading"]
    script: str = ""
    """Of a Python engine, below benchmarks/engines."""
    packages: Literal["ours", "script", "locked"] = "ours"
    """Of a Python engine: those of the project, those that the script names, or those of the lock."""
    java: JavaPeer | None = None
    share: bool = False
    """Given the first tenth of the stream only: 5 to 20 times as slow, and rates are compared."""
    passes: int = 2
    """Topics in one process: the first is cold, the second warm."""
    command: tuple[str, ...] = ()
    """Once it is prepared."""
    environ: tuple[tuple[str, str], ...] = ()


_ALL = (
    Engine(OURS, "ours", "ours.py"),
    Engine(ONE_CORE, "ours", "ours.py", environ=(("BENCH_MASTER", "local[1]"),)),
    Engine(COMMAND, "ours", "command.py", passes=1),
    Engine(LIMIT, "limit", java=JavaPeer("limit", "HandWritten")),
    Engine(LIMIT_FUNCTIONS, "limit", java=JavaPeer("limit", "HandWritten", arguments=("four keys",))),
    Engine(READING, "reading", "spark_reading.py"),
    Engine(FLINK, "peer", java=JavaPeer("flink", "FlinkDataStream", FLINK_OPTIONS)),
    Engine(FLINK_SQL, "peer", java=JavaPeer("flink", "FlinkSql", FLINK_OPTIONS), passes=1),
    Engine(STREAMS, "peer", java=JavaPeer("kafka_streams", "KafkaStreamsMeans"), passes=1),
    Engine(POLARS, "peer", "polars_batches.py", packages="locked"),
    Engine("confluent-kafka loop", "peer", "confluent_loop.py", packages="script", share=True, passes=1),
    Engine("bytewax 0.21", "peer", "bytewax_flow.py", packages="script", share=True, passes=1),
    Engine("quix-streams 3.28", "peer", "quix.py", packages="script", share=True, passes=1),
)
CATALOGUE = {engine.name: engine for engine in _ALL}
PEERS = tuple(engine.name for engine in _ALL if engine.kind == "peer")
LOOPS = tuple(engine.name for engine in _ALL if engine.share)


def prepare_engines(names: Iterable[str]) -> tuple[dict[str, Engine], dict[str, str]]:
    """The engines that can be run, by name; and of the others why not, in a sentence.

    Packages and jars come from the registries at the first call, and from the caches of their clients afterwards.
    """
    ready, failed = {}, {}
    for name in names:
        try:
            ready[name] = _prepared(CATALOGUE[name])
        except NotPrepared as error:
            failed[name] = str(error)
    return ready, failed


def command_of(engine: Engine, bootstrap: str, topics: Sequence[Topic], window_ms: int, folder: Path) -> list[str]:
    """The command over the topics in turn; `folder` is for what it keeps meanwhile."""
    if engine.java is not None:
        tasks = [word for topic in topics for word in (topic.name, str(topic.records))]
        return [*engine.command, bootstrap, str(window_ms), *tasks, *engine.java.arguments]
    argument: dict[str, Any] = {
        "bootstrap": bootstrap,
        "window_ms": window_ms,
        "folder": str(folder),
        "tasks": [{"topic": topic.name, "records": topic.records} for topic in topics],
    }
    return [*engine.command, json.dumps(argument)]


def _prepared(engine: Engine) -> Engine:
    if engine.java is not None:
        return replace(engine, command=tuple(prepare(engine.java)))
    script = str(ENGINES / engine.script)
    python = sys.executable
    if engine.packages == "script":
        _run([*_uv(), "sync", "--quiet", "--script", script])
        python = _run([*_uv(), "python", "find", "--script", script])
    elif engine.packages == "locked":
        python = _locked_environment()
    return replace(engine, command=(python, script))


def _locked_environment() -> str:
    """Python of the environment of benchmarks/requirements.lock, which is made at the first call."""
    lock = FOLDER / "requirements.lock"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    folder = default_cache_dir(os.environ) / "bench" / f"python-{digest}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        _run([*_uv(), "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)])
        _run([*_uv(), "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(lock)])
        (folder / "complete").touch()
    return str(python)


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotPrepared(f"{Path(command[0]).name} could not install its packages: {error}") from error
    if done.returncode:
        words = done.stderr.strip().splitlines() or ["no reason given"]
        raise NotPrepared(f"{Path(command[0]).name} could not install its packages: {words[-1][:300]}")
    return done.stdout.strip()


def _uv() -> list[str]:
    beside = Path(sys.executable).with_name("uv")
    return [str(beside)] if beside.exists() else ["uv"]
