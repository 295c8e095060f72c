"""Checks of this machine: Python, Java, Spark and its connector, cached jars, open files, disk space."""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from pacifictool.diagnosis.causes import Cause
from pacifictool.diagnosis.checks import Check, Finding, failed, ok, warning
from pacifictool.diagnosis.surroundings import Surroundings
from pacifictool.errors import MqttError, file_fault
from pacifictool.runtime import KAFKA_BROKER, SPARK_KAFKA, find_java, missing_jars
from pacifictool.runtime.cache import CACHE_VARIABLE
from pacifictool.runtime.jars import jar_set
from pacifictool.simulation.limits import ensure_descriptors

GROUP = "This machine"
_CONNECTOR = "spark-sql-kafka-0-10_2.13"

SCARCE_BYTES = 1_000_000_000
"""Below this the next download or a few days of rejects may fill the disk."""
TOO_LITTLE_BYTES = 100_000_000
"""Below this Spark and the broker fail in odd ways."""


def machine_checks(around: Surroundings) -> list[Check]:
    """See the module."""
    return [
        Check("python", GROUP, "Python", _python),
        Check("java", GROUP, "Java", lambda: _java(around)),
        Check("spark", GROUP, "Spark and connector", _spark),
        Check("jars", GROUP, "Jars", lambda: _jars(around)),
        Check("open-files", GROUP, "Open files", lambda: _open_files(around)),
        Check("disk", GROUP, "Disk", lambda: _disk(around)),
    ]


def _python() -> Iterator[Finding]:
    # An older Python cannot even install this package.
    yield ok(f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})")


def _java(around: Surroundings) -> Iterator[Finding]:
    java = find_java(around.environ)
    seen = f"Java {java.full_version} from {java.source} ({java.home})"
    if java.passed_over:
        yield warning(
            Cause.JAVA_PASSED_OVER,
            f"{seen}. {' '.join(java.passed_over)}",
            "Let JAVA_HOME name a Java from 17 to 25, or leave it unset; the one that is used works as well.",
        )
    else:
        yield ok(seen)


def _spark() -> Iterator[Finding]:
    wanted = next(jar.coordinate for jar in jar_set(SPARK_KAFKA).jars if jar.coordinate.artifact == _CONNECTOR).version
    try:
        found = metadata.version("pyspark")
    except metadata.PackageNotFoundError:
        found = None
    if found == wanted:
        yield ok(f"PySpark {found}, connector {wanted}")
    else:
        yield failed(
            Cause.SPARK_MISMATCH,
            f"PySpark {found} is installed; the Kafka connector is made for {wanted}."
            if found
            else "PySpark is not installed.",
            f"{sys.executable} -m pip install pyspark=={wanted}",
        )


def _jars(around: Surroundings) -> Iterator[Finding]:
    for name, title, purpose in (
        (SPARK_KAFKA, "Jars of the connector", "`pacifictool aggregate`"),
        (KAFKA_BROKER, "Jars of the broker", "`pacifictool sandbox up`"),
    ):
        wanted = jar_set(name)
        missing = missing_jars(name, around.cache_dir)
        if not missing:
            seen = f"all {len(wanted.jars)} verified in {around.cache_dir}"
            yield ok(seen, name=f"jars-{name}", title=title)
            continue
        megabytes = max(1, round(sum(jar.size for jar in missing) / 1e6))
        yield warning(
            Cause.JARS_NOT_CACHED,
            f"{len(missing)} of {len(wanted.jars)} are not in {around.cache_dir} ({megabytes} MB).",
            f"The next {purpose} fetches them. Without a network, let PACIFICTOOL_JARS_FOLDER name a folder that holds"
            " them.",
            name=f"jars-{name}",
            title=title,
        )


def _open_files(around: Surroundings) -> Iterator[Finding]:
    devices = len(around.scenario.turbines)
    try:
        ensure_descriptors(devices)
    except MqttError as error:
        yield failed(Cause.TOO_FEW_OPEN_FILES, error.message, error.hint or "")
    else:
        yield ok(f"enough for the {devices} devices of the scenario")


def _disk(around: Surroundings) -> Iterator[Finding]:
    for what, folder, variable in (
        ("cache", around.cache_dir, CACHE_VARIABLE),
        ("state", around.state_dir, "PACIFICTOOL_STATE"),
    ):
        yield _folder(what, folder, variable)


def _folder(what: str, folder: Path, variable: str) -> Finding:
    """Whether a folder, or the one that it will be made in, can be written and has space."""
    name, title = f"disk-{what}", f"Disk for {'downloads' if what == 'cache' else 'checkpoints'}"
    elsewhere = f"Choose another folder: {variable}=FOLDER"
    present = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=present):
            pass
        free = shutil.disk_usage(present).free
    except OSError as error:
        told = f"{folder} cannot be written: {file_fault(error)}."
        return failed(Cause.FOLDER_UNUSABLE, told, elsewhere, name=name, title=title)
    seen = f"{free / 1e9:.1f} GB free in {folder}"
    if free < TOO_LITTLE_BYTES:
        seen = f"{free / 1e6:.0f} MB free in {folder}"
        mend = f"Free some space there. {elsewhere}"
        return failed(Cause.DISK_SCARCE, f"Only {seen}.", mend, name=name, title=title)
    if free < SCARCE_BYTES:
        mend = f"Free some space there. {elsewhere}"
        return warning(Cause.DISK_SCARCE, f"Only {seen}.", mend, name=name, title=title)
    return ok(seen, name=name, title=title)
