"""Refusals of the REST API, by the shape of the platform's error documents.

The platform has several error shapes; which one a request gets depends on the controller, and clients must handle all
of them. `http.error_response` renders them.
"""

from __future__ import annotations

GENERAL, AUTHENTICATION, TOKEN_EXPIRED, PERMISSION, BAD_REQUEST, NOT_FOUND = 2, 10, 11, 20, 31, 32
"""errorCodes of the platform."""


class Refusal(Exception):
    """Base: a request that ends with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class PlatformRefusal(Refusal):
    """`{"status","message","errorCode","timestamp"}`."""

    def __init__(self, status: int, message: str, error_code: int) -> None:
        super().__init__(status, message)
        self.error_code = error_code


class FrameworkRefusal(Refusal):
    """`{"timestamp","status","error","exception"?,"message","path"}`: errors of the web framework itself."""

    def __init__(self, status: int, message: str, exception: str | None = None) -> None:
        super().__init__(status, message)
        self.exception = exception


class TextRefusal(Refusal):
    """A plain text or an empty body: errors of the telemetry API."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(status, message)


def bad_request(message: str) -> PlatformRefusal:
    return PlatformRefusal(400, message, BAD_REQUEST)


def not_found() -> PlatformRefusal:
    return PlatformRefusal(404, "Requested item wasn't found!", NOT_FOUND)


def unauthenticated(message: str = "Authentication failed", error_code: int = AUTHENTICATION) -> PlatformRefusal:
    return PlatformRefusal(401, message, error_code)


def forbidden() -> PlatformRefusal:
    return PlatformRefusal(403, "You don't have permission to perform this operation!", PERMISSION)
