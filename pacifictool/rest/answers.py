"""What an answer of the platform means: JSON, or one of our exceptions with the server's own words.

A 1.x server has three shapes of errors (docs/servers/1.x.md#errors): its own `{status, message, errorCode,
timestamp}`, Spring's `{timestamp, status, error, exception?, message, path}`, and plain text or nothing at all below
/api/plugins/telemetry. A 4.x server has the first and the last (docs/servers/4.x.md#errors), and answers
500 where what was sent is at fault.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from pacifictool.errors import (
    AlreadyExists,
    AuthenticationFailed,
    InvalidRequest,
    NotAPlatform,
    NotFound,
    PermissionDenied,
    PlatformError,
    RateLimited,
    ServerFault,
    UnexpectedAnswer,
)
from pacifictool.rest.transport import Answer

TOKEN_EXPIRED = 11
"""errorCode of a 401 whose only fault is the token's age (10 is everything else)."""

ENTITY_LIMIT = 41
"""errorCode of a 403 that means: the tenant has as many of these as its profile allows."""

VERSION_CONFLICT = 409
"""Status for what somebody else has changed since it was read (3.8 and later)."""

_GENERAL = 2
_OUR_FAULT = re.compile(
    r"JSON parse error|Content-Type '.*' is not supported|Index \d+ out of bounds|StackOverflowError"
)
"""What a 500 with the errorCode 2 says when the request is to blame (docs/servers/4.x.md#errors, row 2;
docs/servers/4.x.md#rule-chains, rows 7 and 8)."""

_TAKEN = re.compile(r"already (exists|reserved|registered|assigned)|already specified", re.IGNORECASE)
_LONGEST_WORDS = 300


def parse_json(answer: Answer, url: str, what: str) -> Any:
    """The body of a successful answer as JSON. Raises UnexpectedAnswer."""
    try:
        # The login answer claims ISO-8859-1 (sic); JSON is UTF-8 whatever the header says.
        return json.loads(answer.body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UnexpectedAnswer(
            f"The answer of {url} to {what} is not valid JSON.",
            hint="Check with --url that nothing but the platform answers there.",
            status=answer.status,
            request=what,
            reason=str(error)[:_LONGEST_WORDS],
        ) from None


def refuse_web_page(answer: Answer, url: str, what: str) -> None:
    """Raises NotAPlatform for a successful answer that is a web page, such as a proxy's login form."""
    if looks_like_html(answer):
        raise _not_a_platform(url, "a web page", answer, what)


def looks_like_html(answer: Answer) -> bool:
    """Whether the body is a web page, by its type or its first bytes."""
    start = answer.body[:256].lstrip().lower()
    return "html" in answer.content_type.lower() or start.startswith((b"<!doctype html", b"<html"))


def error_document(answer: Answer) -> dict[str, Any]:
    """The JSON of a failed answer; {} when there is none."""
    try:
        document = json.loads(answer.body.decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def error_code(answer: Answer) -> int | None:
    """The platform's own `errorCode`, when the answer has one."""
    code = error_document(answer).get("errorCode")
    return code if isinstance(code, int) else None


def is_platform_shape(answer: Answer) -> bool:
    """Whether a failed answer looks like the platform's own or its framework's."""
    document = error_document(answer)
    return "status" in document and ("errorCode" in document or "path" in document or "timestamp" in document)


def words(answer: Answer) -> str:
    """What the server said about a failure, fit to be quoted on one line."""
    document = error_document(answer)
    text = str(document.get("message") or document.get("error") or "")
    if not text and not document and not looks_like_html(answer):
        text = answer.body[: _LONGEST_WORDS * 4].decode("utf-8", errors="replace")
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= _LONGEST_WORDS else text[:_LONGEST_WORDS] + "…"


def failure(answer: Answer, url: str, what: str) -> PlatformError:
    """The exception for an answer that is not 2xx."""
    status = answer.status
    if 300 <= status < 400:
        return _redirect(answer, url, what)
    if status < 500 and looks_like_html(answer):
        return _not_a_platform(url, f"a web page ({_phrase(status)})", answer, what)
    said = words(answer)
    quoted = f": {said.rstrip('.!')}" if said else ""
    details: dict[str, Any] = {"status": status, "request": what}
    if (code := error_code(answer)) is not None:
        details["error_code"] = code
    if status >= 429 and (seconds := retry_after_seconds(answer)) is not None:
        details["retry_after"] = seconds
    if status == 401:
        return AuthenticationFailed(f"The platform at {url} refused {what}{quoted or ' (401)'}.", **details)
    if status == 403 and details.get("error_code") == ENTITY_LIMIT:
        return _limit_reached(answer, url, what, quoted, details)
    if status == 403:
        return PermissionDenied(
            f"The platform at {url} does not permit {what}{quoted}.",
            hint="Log in as a tenant administrator (--username).",
            **details,
        )
    if status == 404:
        return NotFound(f"{what}: the platform at {url} has no such thing{quoted}.", **details)
    if status == 429:
        return RateLimited(
            f"The platform at {url} asks for fewer requests{quoted}.",
            hint="Wait a minute and try again, or raise the limits of the tenant.",
            **details,
        )
    if status == VERSION_CONFLICT:
        return InvalidRequest(
            f"The platform at {url} refused {what}{quoted}.",
            hint="Somebody else is changing the same thing; run the command again.",
            **details,
        )
    if status == 500 and details.get("error_code") == _GENERAL and _OUR_FAULT.search(said):
        return InvalidRequest(f"The platform at {url} cannot use what was sent with {what}{quoted}.", **details)
    if status >= 500:
        return ServerFault(
            f"The platform at {url} failed at {what} ({_phrase(status)}){quoted}.",
            hint="The server's own log says more.",
            **details,
        )
    if _TAKEN.search(said):
        return AlreadyExists(f"The platform at {url} refused {what}{quoted}.", **details)
    return InvalidRequest(f"The platform at {url} refused {what}{quoted or f' ({_phrase(status)})'}.", **details)


def retry_after_seconds(answer: Answer) -> float | None:
    """What `Retry-After` asks for, in seconds from now; it may be a number or a date."""
    text = (answer.retry_after or "").strip()
    if not text:
        return None
    if text.isdecimal():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def points_to_login(answer: Answer) -> bool:
    """Whether the answer sends a person to a page to log in."""
    path = urlsplit(answer.location or "").path.lower()
    return 300 <= answer.status < 400 and "login" in path and "/api/" not in path


def words_of_location(answer: Answer) -> str:
    """Where a redirect points to, fit to be quoted."""
    return words(Answer(answer.status, "text/plain", (answer.location or "nowhere").encode()))


def _limit_reached(answer: Answer, url: str, what: str, quoted: str, details: dict[str, Any]) -> PermissionDenied:
    document = error_document(answer)
    for key, name in (("entityType", "entity_type"), ("limit", "limit")):
        if isinstance(document.get(key), str | int):
            details[name] = document[key]
    return PermissionDenied(
        f"The platform at {url} keeps no more of these for this tenant: it refused {what}{quoted}.",
        hint="Delete some, or have the administrator raise the limit in the tenant's profile.",
        **details,
    )


def _redirect(answer: Answer, url: str, what: str) -> NotAPlatform:
    location = words_of_location(answer)
    if points_to_login(answer):
        return NotAPlatform(
            f"{url} answers {what} by pointing to the login page {location}.",
            hint="Name the platform's own address with --url; a proxy in between may ask for a login of its own, or"
            " drop or change the header X-Authorization.",
            status=answer.status,
            request=what,
        )
    if url.startswith("http://") and location.startswith("https://"):
        hint = "Use https:// in --url."
    else:
        hint = "Name the platform's own address with --url; redirects are not followed."
    return NotAPlatform(
        f"{url} answers {what} by pointing to {location}.", hint=hint, status=answer.status, request=what
    )


def _not_a_platform(url: str, answered: str, answer: Answer, what: str) -> NotAPlatform:
    return NotAPlatform(
        f"Something other than a Pacificsoft server answers at {url}: {what} gave {answered}.",
        hint="Check --url, its port and its path.",
        status=answer.status,
        request=what,
    )


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
