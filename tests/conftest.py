"""Fixtures that several folders share: a real broker with the sandbox platform, and the command line."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from pacifictool.cli.environment import Environment
from pacifictool.cli.main import run
from pacifictool.local.stack import LocalStack
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.runtime.java import find_java
from tests.support.command_line import CommandLine, Outcome, kept_variables
from tests.support.distribution import InUnits, longest_first
from tests.support.flaky import FLAKY_WHEN_BUSY, RetryWhenBusy
from tests.support.recorded_documents import RecordedDocuments

if TYPE_CHECKING:
    from pacifictool.analytics.engine.spark import SparkRuntime  # imports pyspark, which most tests do without

# How long examples take, and how long it takes to make them, says more about the machine than about the code.
hypothesis.settings.register_profile("suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(RetryWhenBusy(FLAKY_WHEN_BUSY), "retry-when-busy")
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):  # not where only workers run tests
        config.pluginmanager.register(RecordedDocuments(), "recorded-documents")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        longest_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    return InUnits(config, log) if config.option.dist == "loadfile" else None


@pytest.fixture(scope="session", autouse=True)
def signals_reach_children() -> None:
    """`nohup make test &` starts with SIGINT and SIGHUP ignored. Children would inherit that, and tests interrupt them.

    A handler that does nothing ignores them here; a program that is started gets the default again.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A broker and a platform for the tests of one worker; tests use names of their own in it."""
    stack = LocalStack(
        tmp_path_factory.mktemp("stack"), cache_dir=default_cache_dir(os.environ), environ=os.environ, shared=True
    )
    with stack:
        yield stack


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkRuntime]:
    """A local Spark for the tests of one worker; starting one takes ten seconds of processor time."""
    from pacifictool.analytics.engine.spark import SparkRuntime
    from tests.support.local_spark import local_spark

    with SparkRuntime(local_spark(find_java(os.environ)), tmp_path_factory.mktemp("spark")) as runtime:
        _ = runtime.java_context  # else batches would be read without it
        yield runtime


@pytest.fixture
def fresh_stack(tmp_path: Path) -> Iterator[LocalStack]:
    """A broker and a platform of one test's own."""
    stack = LocalStack(tmp_path / "stack", cache_dir=default_cache_dir(os.environ), environ=os.environ, shared=True)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop(graceful=False)


@pytest.fixture
def command_line(tmp_path: Path) -> CommandLine:
    """Runs one command line in this process, in an environment of its own."""

    def call(*arguments: str, environ: Mapping[str, str] | None = None, stdin: str = "") -> Outcome:
        # typer.echo writes to the real stdout, so help and version are tested in a process of their own.
        stdout, stderr = io.StringIO(), io.StringIO()
        environment = Environment(
            stdin=io.StringIO(stdin),
            stdout=stdout,
            stderr=stderr,
            environ={**kept_variables(), "PACIFICTOOL_STATE": str(tmp_path / "state"), **(environ or {})},
            folder=tmp_path,
            user_file=tmp_path / "user" / "config.toml",
        )
        code = run(arguments, environment)
        return Outcome(int(code), stdout.getvalue(), stderr.getvalue())

    return call
