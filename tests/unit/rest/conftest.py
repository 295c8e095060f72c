"""A platform whose responses a test scripts, and sessions with it."""

from __future__ import annotations

from tests.support.fixtures import free_port, open_session, platform, reporter, server, session, unique

__all__ = ["free_port", "open_session", "platform", "reporter", "server", "session", "unique"]
