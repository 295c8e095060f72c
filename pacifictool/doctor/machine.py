"""Checks of this machine: Python, Java, Spark and its connector, cached jars, open files, disk space."""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from pacifictool.doctor.checks import CheckContext, CheckResult, DoctorCheck, failed, ok, warning
from pacifictool.errors import MqttError, file_fault
from pacifictool.problems import ProblemCode
from pacifictool.runtime.cache import CACHE_VARIABLE
from pacifictool.runtime.jars import KAFKA_BROKER, SPARK_KAFKA, jar_set, missing_jars
from pacifictool.runtime.java import find_java
from pacifictool.settings import is_loopback
from pacifictool.simulation.limits import ensure_descriptors

GROUP = "This machine"
_CONNECTOR = "spark-sql-kafka-0-10_2.13"

SCARCE_BYTES = 1_000_000_000
"""Below this the next download or a few days of invalid records may fill the disk."""
TOO_LITTLE_BYTES = 100_000_000
"""Below this Spark and the broker fail in unclear ways."""


def _python(_context: CheckContext) -> Iterator[CheckResult]:
    # This package cannot be installed with an older Python.
    yield ok(f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})")


def _java(context: CheckContext) -> Iterator[CheckResult]:
    java = find_java(context.environ)
    text = f"Java {java.full_version} from {java.source} ({java.home})"
    if java.passed_over:
        yield warning(
            ProblemCode.JAVA_PASSED_OVER,
            f"{text}. {' '.join(java.passed_over)}",
            "Set JAVA_HOME to a Java from 17 to 25, or leave it unset; the Java in use works as well.",
        )
    else:
        yield ok(text)


def _spark(_context: CheckContext) -> Iterator[CheckResult]:
    wanted = next(jar.coordinate for jar in jar_set(SPARK_KAFKA).jars if jar.coordinate.artifact == _CONNECTOR).version
    try:
        found = metadata.version("pyspark")
    except metadata.PackageNotFoundError:
        found = None
    if found == wanted:
        yield ok(f"PySpark {found}, connector {wanted}")
    else:
        yield failed(
            ProblemCode.SPARK_MISMATCH,
            f"PySpark {found} is installed; the Kafka connector is built for {wanted}."
            if found
            else "PySpark is not installed.",
            f"{sys.executable} -m pip install pyspark=={wanted}",
        )


def _jars(context: CheckContext) -> Iterator[CheckResult]:
    for jars, title, command in (
        (SPARK_KAFKA, "Jars of the connector", "`pacifictool aggregate`"),
        (KAFKA_BROKER, "Jars of the broker", "`pacifictool sandbox up`"),
    ):
        if jars == KAFKA_BROKER and not is_loopback(urlsplit(context.settings.url).hostname or ""):
            continue  # who has a server needs no sandbox
        name, count, missing = f"jars-{jars}", len(jar_set(jars).jars), missing_jars(jars, context.cache_dir)
        if not missing:
            yield ok(f"all {count} verified in {context.cache_dir}", name=name, title=title)
            continue
        megabytes = max(1, round(sum(jar.size for jar in missing) / 1e6))
        yield warning(
            ProblemCode.JARS_NOT_CACHED,
            f"{len(missing)} of {count} are not in {context.cache_dir} ({megabytes} MB).",
            f"The next {command} downloads them. Without a network, set PACIFICTOOL_JARS_FOLDER to a folder that"
            " contains them.",
            name=name,
            title=title,
        )


def _open_files(context: CheckContext) -> Iterator[CheckResult]:
    devices = len(context.scenario.devices)
    try:
        ensure_descriptors(devices)
    except MqttError as error:
        yield failed(ProblemCode.TOO_FEW_OPEN_FILES, error.message, error.hint or "")
    else:
        yield ok(f"enough for the {devices} devices of the scenario")


def _disk(context: CheckContext) -> Iterator[CheckResult]:
    yield _folder("disk-cache", "Disk for downloads", context.cache_dir, CACHE_VARIABLE)
    yield _folder("disk-state", "Disk for checkpoints", context.state_dir, "PACIFICTOOL_STATE")


def _folder(name: str, title: str, folder: Path, variable: str) -> CheckResult:
    """Whether a folder, or the one that it will be created in, can be written and has space."""
    elsewhere = f"Choose another folder: {variable}=FOLDER"
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
        free = shutil.disk_usage(existing).free
    except OSError as error:
        text = f"{folder} cannot be written: {file_fault(error)}."
        return failed(ProblemCode.FOLDER_UNUSABLE, text, elsewhere, name=name, title=title)
    if free >= SCARCE_BYTES:
        return ok(f"{free / 1e9:.1f} GB free in {folder}", name=name, title=title)
    report = failed if free < TOO_LITTLE_BYTES else warning
    text, fix = f"Only {free / 1e6:.0f} MB free in {folder}.", f"Free some space there. {elsewhere}"
    return report(ProblemCode.DISK_SCARCE, text, fix, name=name, title=title)


MACHINE_CHECKS = (
    DoctorCheck("python", GROUP, "Python", _python),
    DoctorCheck("java", GROUP, "Java", _java),
    DoctorCheck("spark", GROUP, "Spark and connector", _spark),
    DoctorCheck("jars", GROUP, "Jars", _jars),
    DoctorCheck("open-files", GROUP, "Open files", _open_files),
    DoctorCheck("disk", GROUP, "Disk", _disk),
)
