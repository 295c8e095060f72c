"""What tests of the REST client share: a login, retries without long waits, and the resource of a scripted platform."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pacifictool.rest import RetryPolicy, Session
from tests.support.scripted_platform import Reply

USERNAME = "tenant@thingsboard.org"
PASSWORD = "tenant-password-that-must-not-show"
QUICK = RetryPolicy(attempts=4, first_wait_seconds=0.01, longest_wait_seconds=0.05)

OpenSession = Callable[..., Session]
"""Opens a session with the scripted platform; keyword arguments are those of `Session`."""

THING = Reply(json={"a": 1})

SPRING_500 = Reply(
    500,
    {
        "timestamp": 1,
        "status": 500,
        "error": "Internal Server Error",
        "exception": "java.lang.NullPointerException",
        "message": "No message available",
        "path": "/api/thing",
    },
)


def get(session: Session) -> dict[str, Any]:
    """Asks for `/api/thing`, which a test scripts."""
    return session.request("GET", "/api/thing", expect=dict)
