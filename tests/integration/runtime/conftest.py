from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.jars import KAFKA_BROKER, SPARK_KAFKA, ensure_jars
from pacifictool.runtime.java import JavaRuntime, find_java

RunPython = Callable[..., "subprocess.Popen[str]"]
ProcessesNaming = Callable[[str | Path], list[str]]


@pytest.fixture(scope="session")
def java() -> JavaRuntime:
    return find_java(os.environ)


@pytest.fixture(scope="session")
def wheel_java() -> JavaRuntime:
    return find_java({})


@pytest.fixture(scope="session")
def shared_cache(java: JavaRuntime) -> Path:
    """The user's own cache, filled with both sets: the tests fetch them at most once, and read only."""
    cache_dir = default_cache_dir(os.environ)
    for name in (SPARK_KAFKA, KAFKA_BROKER):
        ensure_jars(name, java=java, cache_dir=cache_dir, environ=os.environ)
    return cache_dir


@pytest.fixture(scope="session")
def broker_jars(shared_cache: Path, java: JavaRuntime) -> list[Path]:
    return ensure_jars(KAFKA_BROKER, java=java, cache_dir=shared_cache)


@pytest.fixture
def run_python() -> Iterator[RunPython]:
    """Starts a Python program, and kills it at the end if it still runs."""
    started: list[subprocess.Popen[str]] = []

    def run(code: str, *arguments: str | Path, environ: dict[str, str] | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(environ or {})},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture
def processes_naming() -> ProcessesNaming:
    """The command lines of all other processes that have the test's folder in their arguments or work in it."""

    def read(text: str | Path) -> list[str]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                line = " ".join([*process.cmdline(), process.cwd()])
                if str(text) in line and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(line)
        return found

    return read
