"""HTTP with the platform: one client, its authentication, its retries, and what a failed response means."""

from __future__ import annotations

from pacifictool.rest.http.client import Session, segment
from pacifictool.rest.http.errors import VERSION_CONFLICT
from pacifictool.rest.http.retry import NO_RETRY, RetryPolicy

__all__ = ["NO_RETRY", "VERSION_CONFLICT", "RetryPolicy", "Session", "segment"]
