"""The REST client against a sandbox, and against a platform whose responses a test scripts."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pacifictool.local.launcher import SandboxProcess
from pacifictool.rest import Platform, Session
from pacifictool.settings import Secret
from tests.support.fixtures import free_port, open_session, platform, reporter, sandbox, server, session, unique
from tests.support.recorders import RecordingReporter
from tests.support.rest import USERNAME

__all__ = ["free_port", "open_session", "platform", "reporter", "sandbox", "server", "session", "unique"]


@pytest.fixture
def real(sandbox: SandboxProcess, reporter: RecordingReporter) -> Iterator[Platform]:
    """A client of a sandbox; the sandbox serves all tests of a worker."""
    session = Session(sandbox.url, USERNAME, Secret("tenant"), reporter=reporter, stop=threading.Event())
    with Platform(session) as platform:
        yield platform
