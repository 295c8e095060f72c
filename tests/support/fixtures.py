"""Fixtures that several folders need; the conftest.py of a folder imports those it uses.

A session fixture is made once for each folder that imports it, so that each folder's tests have their own sandbox.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pacifictool.doctor.checks import CheckContext, CheckResult, DoctorCheck, run_checks
from pacifictool.local.launcher import SandboxProcess
from pacifictool.provisioning.forwarding import forwarding_spec
from pacifictool.rest import Platform, Session
from pacifictool.runtime.cache import default_cache_dir
from pacifictool.scenario import tutorial_scenario
from pacifictool.settings import (
    DEFAULT_LOOPBACK_PASSWORD,
    DEFAULT_USERNAME,
    KafkaEndpoint,
    MqttEndpoint,
    Secret,
    Settings,
)
from tests.support.mqtt_peer import ScriptedPeer
from tests.support.recorders import RecordingReporter
from tests.support.rest import PASSWORD, QUICK, USERNAME, OpenSession
from tests.support.scripted_platform import Reply, ScriptedPlatform

_numbers = itertools.count(1)


@pytest.fixture
def unique() -> str:
    """A text that no other test of this run uses for a name."""
    return f"{os.getpid()}-{next(_numbers)}"


@pytest.fixture(scope="module", params=["1", "4"], name="platform")
def platform_of_each_generation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """A client of a sandbox of each generation, which the tests of a module share."""
    folder = tmp_path_factory.mktemp("generation") / "data"
    with (
        SandboxProcess(folder, options=("--generation", request.param)) as process,
        Platform(Session(process.url, DEFAULT_USERNAME, Secret(DEFAULT_LOOPBACK_PASSWORD))) as platform,
    ):
        yield platform


@pytest.fixture
def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def reporter() -> RecordingReporter:
    return RecordingReporter()


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A sandbox of the 1.x generation, in its own process."""
    with SandboxProcess(tmp_path_factory.mktemp("sandbox") / "data") as process:
        yield process


# --- the REST client against a scripted platform -----------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[ScriptedPlatform]:
    """A platform of the 1.x generation that a test scripts."""
    with ScriptedPlatform() as server:
        server.on("GET", "/api/plugins", Reply(json=[]))
        yield server


@pytest.fixture
def open_session(server: ScriptedPlatform, reporter: RecordingReporter) -> Iterator[OpenSession]:
    """Sessions with the scripted platform, closed with the test."""
    sessions: list[Session] = []

    def open_one(url: str | None = None, **options: Any) -> Session:
        defaults = {"retry": QUICK, "timeout_seconds": (20.0, 30.0), "reporter": reporter}
        sessions.append(Session(url or server.url, USERNAME, Secret(PASSWORD), **{**defaults, **options}))
        return sessions[-1]

    yield open_one
    for session in sessions:
        session.close()


@pytest.fixture
def session(open_session: OpenSession) -> Session:
    return open_session()


@pytest.fixture
def platform(session: Session) -> Platform:
    """A client of the scripted platform."""
    return Platform(session)


# --- devices against a scripted MQTT server ----------------------------------------------------------------------------


@pytest.fixture
def peer() -> Iterator[ScriptedPeer]:
    with ScriptedPeer() as peer:
        yield peer


@pytest.fixture
def endpoint(peer: ScriptedPeer) -> MqttEndpoint:
    return MqttEndpoint("127.0.0.1", peer.port)


# --- doctor ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def make_context(tmp_path: Path) -> Callable[..., CheckContext]:
    """A context of this machine, with a platform and Kafka that do not exist; arguments replace its fields."""

    def make(**given: Any) -> CheckContext:
        settings = Settings(
            url="http://127.0.0.1:1",
            username="tenant@thingsboard.org",
            password=Secret("tenant"),
            mqtt=MqttEndpoint("127.0.0.1", 1),
            kafka=KafkaEndpoint("127.0.0.1:1"),
            platform_kafka="127.0.0.1:1",
        )
        scenario = tutorial_scenario()
        defaults = {
            "settings": settings,
            "scenario": scenario,
            "spec": forwarding_spec(settings, scenario),
            "environ": dict(os.environ),
            "cache_dir": default_cache_dir(os.environ),
            "state_dir": tmp_path / "state",
        }
        return CheckContext(**{**defaults, **given})

    return make


@pytest.fixture
def run_check() -> Callable[[Sequence[DoctorCheck], str, CheckContext], list[CheckResult]]:
    """Runs the check of that name, as if those that it needs had succeeded."""

    def run(checks: Sequence[DoctorCheck], name: str, context: CheckContext) -> list[CheckResult]:
        [check] = [check for check in checks if check.name == name]
        results = run_checks([DoctorCheck(check.name, check.group, check.title, check.run)], context)
        assert results
        return results

    return run
