"""One HTTP request and its response, as the rest of the package sees them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, TypeAlias
from urllib.parse import urlsplit

Params: TypeAlias = Mapping[str, str | int]

_MAX_QUOTED_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What is sent, except for the authorization."""

    method: str
    path: str
    """Starts with / and is quoted."""
    params: Params | None = None
    body: bytes | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class HttpResponse:
    """What came back, whatever its status."""

    url: str
    """The server's, as in `--url`."""
    request: str
    """Method and path, for example "GET /api/device/types"."""
    status: int
    headers: Mapping[str, str]
    """Names in any case."""
    body: bytes

    def json(self) -> Any:
        """The body as JSON, which is UTF-8 whatever the headers say. Raises ValueError, RecursionError."""
        return json.loads(self.body.decode("utf-8"), parse_constant=_refuse_constant)

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_redirect(self) -> bool:
        return 300 <= self.status < 400

    @property
    def is_html(self) -> bool:
        """Whether the body is a web page, by its type or its first bytes."""
        start = self.body[:256].lstrip().lower()
        return "html" in self.headers.get("Content-Type", "").lower() or start.startswith((b"<!doctype html", b"<html"))

    @property
    def location(self) -> str:
        """Where a redirect points to, on one line."""
        return _one_line(self.headers.get("Location") or "nowhere")

    @property
    def is_redirect_to_login(self) -> bool:
        """Whether a browser would be sent to a login page."""
        path = urlsplit(self.headers.get("Location") or "").path.lower()
        return self.is_redirect and "login" in path and "/api/" not in path

    @property
    def date(self) -> datetime | None:
        """The server's clock, cut to seconds; None without a valid `Date`."""
        return _parse_date(self.headers.get("Date"))

    @property
    def retry_after_seconds(self) -> float | None:
        """What `Retry-After` asks for, in seconds from now; the header holds a number or a date."""
        text = (self.headers.get("Retry-After") or "").strip()
        if text.isdecimal():
            return float(text[:9])
        date = _parse_date(text)
        return None if date is None else max(0.0, (date - datetime.now(UTC)).total_seconds())

    @cached_property
    def error_document(self) -> dict[str, Any]:
        """The JSON object of a failed response; {} when there is none."""
        try:
            document = json.loads(self.body.decode("utf-8"))
        except (ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}

    @property
    def error_code(self) -> int | None:
        """The platform's own `errorCode`."""
        code = self.error_document.get("errorCode")
        return code if isinstance(code, int) else None

    @property
    def is_platform_error(self) -> bool:
        """Whether a failed response has the form of the platform or of its web framework."""
        return "status" in self.error_document and bool({"errorCode", "path", "timestamp"} & self.error_document.keys())

    @property
    def error_text(self) -> str:
        """What the server says about the failure, on one line; empty when it says nothing."""
        document = self.error_document
        text = str(document.get("message") or document.get("error") or "")
        if not text and not document and not self.is_html:
            text = self.body[: _MAX_QUOTED_CHARACTERS * 4].decode("utf-8", errors="replace")
        return _one_line(text)


Send: TypeAlias = Callable[[HttpRequest, str | None], HttpResponse]
"""Sends a request once, with a value for `X-Authorization` or without. Raises PlatformError when no response comes."""


def _one_line(text: str) -> str:
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= _MAX_QUOTED_CHARACTERS else text[:_MAX_QUOTED_CHARACTERS] + "…"


def _parse_date(text: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
