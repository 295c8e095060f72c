from __future__ import annotations

import itertools
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pacifictool.local.launcher import SandboxProcess
from pacifictool.rest import Platform, Session
from pacifictool.settings import Secret
from tests.support.recorders import RecordingReporter
from tests.support.rest import PASSWORD, QUICK, USERNAME
from tests.support.scripted_platform import Reply, ScriptedPlatform

_numbers = itertools.count(1)


@pytest.fixture
def reporter() -> RecordingReporter:
    return RecordingReporter()


@pytest.fixture
def server() -> Iterator[ScriptedPlatform]:
    """A platform of the 1.x generation that does what a test tells it."""
    with ScriptedPlatform() as server:
        server.on("GET", "/api/plugins", Reply(json=[]))
        yield server


@pytest.fixture
def open_session(server: ScriptedPlatform, reporter: RecordingReporter) -> Iterator[Callable[..., Session]]:
    """Sessions with the scripted platform, closed with the test; keyword arguments are those of `Session`."""
    sessions: list[Session] = []

    def open_one(url: str | None = None, **options: Any) -> Session:
        defaults = {"retry": QUICK, "timeout_seconds": (2.0, 5.0), "reporter": reporter}
        sessions.append(Session(url or server.url, USERNAME, Secret(PASSWORD), **{**defaults, **options}))
        return sessions[-1]

    yield open_one
    for session in sessions:
        session.close()


@pytest.fixture
def session(open_session: Callable[..., Session]) -> Session:
    return open_session()


@pytest.fixture
def platform(session: Session) -> Platform:
    """A client of the scripted platform."""
    return Platform(session)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("sandbox") / "data") as process:
        yield process


@pytest.fixture
def real(sandbox: SandboxProcess, reporter: RecordingReporter) -> Iterator[Platform]:
    """A client of a sandbox; the sandbox serves all tests of a worker."""
    session = Session(sandbox.url, USERNAME, Secret("tenant"), reporter=reporter, stop=threading.Event())
    with Platform(session) as platform:
        yield platform


@pytest.fixture
def unique() -> str:
    """A text that no other test of this run uses for a name."""
    return f"{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
