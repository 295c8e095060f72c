"""Java peers: their jars by Maven from Maven Central, their classes by javac, both kept in the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import SPARK_KAFKA, ensure_jars
from pacifictool.runtime.java import find_java

PEERS = Path(__file__).parent / "peers"
_LONGEST_SECONDS = 600
_MISSING = "{tool} is not installed; install a JDK from 17 on and Maven (apt-get install openjdk-17-jdk-headless maven)"

# What Flink's own scripts open, as far as it is used here (conf/config.yaml of its distribution, env.java.opts.all).
FLINK_OPTIONS = tuple(
    word
    for package in ("java.lang", "java.net", "java.io", "java.nio", "java.text", "java.time", "java.util")
    for word in ("--add-opens", f"java.base/{package}=ALL-UNNAMED")
)


class NotPrepared(Exception):
    """A peer cannot be run here; the text says why, in one sentence."""


@dataclass(frozen=True)
class JavaPeer:
    """Sources and how they are started."""

    folder: str
    """Below benchmarks/peers."""
    main: str
    options: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    """After those that say what to read."""


def prepare(peer: JavaPeer) -> list[str]:
    """The words of a command up to the main class. Raises NotPrepared."""
    javac = _tool("javac")
    sources = sorted([*(PEERS / "common").glob("*.java"), *(PEERS / peer.folder).glob("*.java")])
    pom = PEERS / peer.folder / "pom.xml"
    place = default_cache_dir(os.environ) / "bench"
    jars = _copied(pom, place) if pom.exists() else _of_the_project()
    classes = place / f"{peer.folder}-classes-{_digest([*sources, *([pom] if pom.exists() else [])])}"
    class_path = os.pathsep.join(jars)
    if not classes.exists():
        new = classes.with_name(f"{classes.name}.{os.getpid()}")
        _run([javac, "-nowarn", "-d", str(new), "-cp", class_path, *map(str, sources)])
        new.rename(classes)
    java = str(Path(javac).resolve().with_name("java"))
    # A heap that none of them fills; G1, as Java chooses on servers.
    return [java, "-Xmx2g", "-XX:+UseG1GC", *peer.options, "-cp", f"{classes}{os.pathsep}{class_path}", peer.main]


def _of_the_project() -> list[str]:
    java = find_java(os.environ)
    jars = ensure_jars(SPARK_KAFKA, java=java, cache_dir=default_cache_dir(os.environ), environ=os.environ)
    wanted = ("kafka-clients", "slf4j-api", "lz4-java", "snappy-java", "zstd-jni")
    # Spark itself brings what the connector's jars lack.
    import pyspark

    own = [jar for jar in (Path(pyspark.__file__).parent / "jars").glob("*.jar") if jar.name.startswith(wanted)]
    return [str(jar) for jar in (*jars, *own) if Path(jar).name.startswith(wanted)]


def _copied(pom: Path, place: Path) -> list[str]:
    folder = place / f"{pom.parent.name}-jars-{_digest([pom])}"
    if not folder.exists():
        new = folder.with_name(f"{folder.name}.{os.getpid()}")
        new.mkdir(parents=True)
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={new}"]
        _run([_tool("mvn"), "--quiet", "--batch-mode", "-f", str(pom), *goal])
        new.rename(folder)
    return [str(jar) for jar in sorted(folder.glob("*.jar"))]


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NotPrepared(_MISSING.format(tool=name))
    return found


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        raise NotPrepared(f"{Path(command[0]).name} did not end within {_LONGEST_SECONDS} s") from None
    if done.returncode:
        words = [line for line in (done.stdout + done.stderr).splitlines() if "rror" in line] or ["no reason given"]
        raise NotPrepared(f"{Path(command[0]).name} failed: {words[0].strip()[:300]}")


def _digest(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
