"""A platform whose responses a test scripts."""

from __future__ import annotations

from tests.support.fixtures import open_session, platform, reporter, server, session

__all__ = ["open_session", "platform", "reporter", "server", "session"]
