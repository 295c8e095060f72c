"""Regenerates pacifictool/resources/jars.lock.json; for maintainers, after a change of the versions below.

Run it with a network and any Java: `python scripts/lock_jars.py`. Resolves each set's roots with all their runtime
dependencies by Ivy, omits what PySpark contains and what is listed in NOT_NEEDED, and writes coordinate, size and
SHA-256 of the rest. Review the difference before committing it: the first download is trusted from then on.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import quoteattr

from pacifictool.runtime.ivy import Coordinate, ivy_jar, proxy_options
from pacifictool.runtime.java import JavaRuntime, find_java
from pacifictool.runtime.truststore import STORE_PASSWORD, machine_certificates, write_truststore

LOCK_FILE = Path(__file__).parent.parent / "pacifictool" / "resources" / "jars.lock.json"

SETS: dict[str, tuple[str, list[str]]] = {
    # The connector must be of PySpark's own version.
    "spark-kafka": ("Spark's Kafka connector", ["org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0"]),
    # 3.9 is the last line that Kafka clients 0.9 (servers of the 1.x generation) can talk to. Without a logging
    # backend such as slf4j-simple the broker says nothing, not even why it does not start.
    "kafka-broker": ("the Kafka broker", ["org.apache.kafka:kafka_2.13:3.9.2", "org.slf4j:slf4j-simple:1.7.36"]),
}

NOT_NEEDED: dict[str, dict[str, str]] = {
    "spark-kafka": {},
    # Found by watching class loading (-Xlog:class+load) while the broker was put through topics, all compressions,
    # groups, transactions and configuration; nothing of these was loaded, and the tests run without them. 10 MB less.
    "kafka-broker": {
        "netty-": "TLS to ZooKeeper",
        "zookeeper-jute": "ZooKeeper's wire format; KRaft uses none of it",
        "metrics-core:4.": "ZooKeeper's metrics (Kafka itself uses com.yammer.metrics 2.2)",
        "audience-annotations": "annotations of ZooKeeper",
        "caffeine": "tiered storage",
        "error_prone_annotations": "annotations of caffeine",
        "jackson-dataformat-csv": "command line tools",
        "jackson-module-scala": "not used by the broker",
        "paranamer": "jackson-module-scala",
        "scala-reflect": "jackson-module-scala and macros at compile time",
        "scala-collection-compat": "cross-building",
        "commons-cli": "command line tools",
        "commons-io": "command line tools",
        "kafka-tools-api": "command line tools",
        "commons-beanutils": "parts of commons-validator that read XML",
        "commons-collections": "the same",
        "commons-digester": "the same",
        "commons-logging": "the same",
        "jose4j": "OAUTHBEARER",
    },
}


def main() -> None:
    """Writes the lock file."""
    java = find_java(os.environ)
    shipped = {path.name for path in ivy_jar().parent.glob("*.jar")}
    sets: dict[str, object] = {}
    for name, (title, roots) in SETS.items():
        is_needed = _filter(name, shipped)
        with tempfile.TemporaryDirectory() as folder:
            resolved = _resolve([Coordinate.parse(root) for root in roots], Path(folder), java)
            sets[name] = {
                "title": title,
                "roots": roots,
                "jars": [
                    {
                        "jar": str(coordinate),
                        "size": path.stat().st_size,
                        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                    }
                    for coordinate, path in sorted(resolved.items())
                    if is_needed(coordinate)
                ],
            }
    document = {"made_by": "scripts/lock_jars.py", "sets": sets}
    LOCK_FILE.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _filter(name: str, shipped: set[str]) -> Callable[[Coordinate], bool]:
    def is_needed(coordinate: Coordinate) -> bool:
        if name == "spark-kafka" and any(
            jar.startswith(f"{coordinate.artifact}-") and jar[len(coordinate.artifact) + 1].isdigit() for jar in shipped
        ):
            return False
        label = f"{coordinate.artifact}:{coordinate.version}"
        return not any(label.startswith(prefix) for prefix in NOT_NEEDED[name])

    return is_needed


def _resolve(roots: list[Coordinate], folder: Path, java: JavaRuntime) -> dict[Coordinate, Path]:
    module = folder / "ivy.xml"
    # Of each root what it needs at run time; slf4j-simple alone would do without its own dependencies, but they are
    # the same.
    dependencies = "".join(
        f"<dependency org={quoteattr(group)} name={quoteattr(artifact)} rev={quoteattr(version)}"
        f' conf="default->default"/>'
        for group, artifact, version in roots
    )
    module.write_text(
        f'<ivy-module version="2.0"><info organisation="pacifictool" module="lock"/>'
        f'<configurations><conf name="default"/></configurations>'
        f"<dependencies>{dependencies}</dependencies></ivy-module>",
        encoding="utf-8",
    )
    trust = folder / "trust.jks"
    write_truststore(trust, machine_certificates(os.environ))
    subprocess.run(
        [
            java.java,
            *proxy_options(os.environ),
            f"-Djavax.net.ssl.trustStore={trust}",
            f"-Djavax.net.ssl.trustStorePassword={STORE_PASSWORD}",
            f"-Divy.default.ivy.user.dir={folder / 'user'}",
            "-jar",
            ivy_jar(),
            "-ivy",
            module,
            "-cache",
            folder / "cache",
        ],
        check=True,
        stdout=sys.stderr,
    )
    report = ET.parse(folder / "cache" / "pacifictool-lock-default.xml").getroot()  # noqa: S314 - Ivy's own report
    resolved: dict[Coordinate, Path] = {}
    for entry in report.iterfind("./dependencies/module"):
        for revision in entry.iterfind("revision"):
            for artifact in revision.iterfind("artifacts/artifact[@ext='jar']"):
                if revision.get("evicted") is None:
                    coordinate = Coordinate(entry.attrib["organisation"], entry.attrib["name"], revision.attrib["name"])
                    resolved[coordinate] = Path(artifact.attrib["location"])
    return resolved


if __name__ == "__main__":
    main()
