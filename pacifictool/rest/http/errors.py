"""What a failed request means: one of our exceptions, with the server's own words.

A 1.x server has three forms of errors (docs/servers/1.x.md#errors, rows 1, 2 and 3): its own `{status, message,
errorCode, timestamp}`, Spring's `{timestamp, status, error, exception?, message, path}`, and plain text or nothing at
all below /api/plugins/telemetry. A 4.x server has the first and the last (docs/servers/4.x.md#errors, rows 1 and 2),
and responds with 500 where the request is at fault.
"""

from __future__ import annotations

import re
import ssl
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import DecodeError, NameResolutionError, NewConnectionError, ReadTimeoutError

from pacifictool.errors import (
    AlreadyExists,
    AuthenticationFailed,
    InvalidRequest,
    NotAPlatform,
    NotFound,
    PacificToolError,
    PermissionDenied,
    PlatformError,
    PlatformUnreachable,
    RateLimited,
    ServerFault,
    SettingsError,
    UnexpectedAnswer,
)
from pacifictool.rest.http.messages import HttpResponse
from pacifictool.tools.connections import TlsServer, explain_certificate, is_not_tls

VERSION_CONFLICT = 409
"""Status for what somebody else has changed since it was read (3.8 and later)."""

_ENTITY_LIMIT = 41
"""errorCode of a 403 that means: the tenant has as many of these as its profile allows."""

_GENERAL = 2
_INVALID_REQUEST = re.compile(
    r"JSON parse error|Content-Type '.*' is not supported|Index \d+ out of bounds|StackOverflowError"
    r"|Required request parameter"
)
"""What a 500 with the errorCode 2 says when the request is at fault (docs/servers/4.x.md#errors, row 2;
docs/servers/4.x.md#rule-chains, rows 7 and 8; docs/servers/4.x.md#pages, row 2)."""

_DATABASE_FAILED = "Database error"
"""What a 500 says when two requests create the same profile (docs/servers/2.x-3.x.md#devices-and-assets, row 2), and
for whatever else the database refuses."""

_TAKEN = re.compile(r"already (exists|reserved|registered|assigned)|already specified", re.IGNORECASE)


def raise_for_error(response: HttpResponse) -> None:
    """Raises a PlatformError unless the response is 2xx and not a web page, such as a proxy's login form."""
    if not response.is_success:
        raise error_of(response)
    if response.is_html:
        raise not_a_platform(response, "a web page")


def error_of(response: HttpResponse) -> PlatformError:
    """The exception for a response that is not 2xx."""
    status, url, request, text = response.status, response.url, response.request, response.error_text
    if response.is_redirect:
        return _redirect(response)
    if status < 500 and response.is_html:
        return not_a_platform(response, f"a web page ({_phrase(status)})")
    quoted = f": {text.rstrip('.!')}" if text else ""
    refused = f"The platform at {url} refused {request}{quoted or f' ({_phrase(status)})'}."
    details: dict[str, Any] = {"status": status, "request": request}
    if response.error_code is not None:
        details["error_code"] = response.error_code
    if status >= 429 and (seconds := response.retry_after_seconds) is not None:
        details["retry_after"] = seconds
    if status == 401:
        return AuthenticationFailed(refused, **details)
    if status == 403:
        hint = "Log in as a tenant administrator (--username)."
        if response.error_code == _ENTITY_LIMIT:
            hint = "Delete some, or have the administrator raise the limit in the tenant's profile."
            for key, name in (("entityType", "entity_type"), ("limit", "limit")):
                if isinstance(response.error_document.get(key), str | int):
                    details[name] = response.error_document[key]
        return PermissionDenied(refused, hint=hint, **details)
    if status == 404:
        return NotFound(f"{request}: not found on the platform at {url}{quoted}.", **details)
    if status == VERSION_CONFLICT:
        hint = "Somebody else is changing the same thing; run the command again."
        return InvalidRequest(refused, hint=hint, **details)
    if status == 429:
        hint = "Wait a minute and try again, or raise the limits of the tenant."
        return RateLimited(f"The platform at {url} asks for fewer requests{quoted}.", hint=hint, **details)
    if status == 500 and response.error_code == _GENERAL and _INVALID_REQUEST.search(text):
        return InvalidRequest(refused, **details)
    if status >= 500:
        failed = f"The platform at {url} failed at {request} ({_phrase(status)}){quoted}."
        may_pass = status == 500 and text.startswith(_DATABASE_FAILED)
        return ServerFault(failed, hint="The server's own log says more.", may_pass=may_pass, **details)
    return (AlreadyExists if _TAKEN.search(text) else InvalidRequest)(refused, **details)


def not_a_platform(response: HttpResponse, received: str) -> NotAPlatform:
    """The exception for a response that no platform gives; `received` says what it was."""
    return NotAPlatform(
        f"Something other than a Pacificsoft server responds at {response.url}: {response.request} gave {received}.",
        hint="Check --url, its port and its path.",
        status=response.status,
        request=response.request,
    )


def no_response(error: Exception, url: str, request: str, timeout_seconds: tuple[float, float]) -> PacificToolError:
    """The exception for a failure of requests, urllib3 or the operating system.

    `timeout_seconds` are the timeouts to connect and to read.
    """
    causes = _causes(error)
    text = " ".join(str(cause) for cause in causes)
    if isinstance(error, requests.exceptions.SSLError):
        return _tls_failure(next((cause for cause in causes if isinstance(cause, ssl.SSLError)), error), url, request)
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return SettingsError(f"A TLS file cannot be used: {error}.", hint="Check --ca-file, --cert-file, --key-file.")
    if isinstance(error, requests.ConnectTimeout):
        return unreachable(f"did not respond within {timeout_seconds[0]:g} s", url, request, sent=False)
    if isinstance(error, requests.ReadTimeout | ReadTimeoutError):
        return unreachable(f"did not respond to {request} within {timeout_seconds[1]:g} s", url, request, sent=True)
    if any(isinstance(cause, NameResolutionError) for cause in causes):
        return unreachable("cannot be found: its name has no address", url, request, sent=False)
    if any(isinstance(cause, NewConnectionError) for cause in causes):
        reason = next((cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), None)
        reason = (reason or "no connection").lower()
        return unreachable(f"cannot be reached: {reason}", url, request, sent=False)
    if isinstance(error, DecodeError):
        return UnexpectedAnswer(f"The response of {url} to {request} cannot be decompressed.", request=request)
    if "BadStatusLine" in text or "LineTooLong" in text or "HeaderParsingError" in text:
        return NotAPlatform(
            f"Something that does not speak HTTP responds at {url}.",
            hint="Check the port of --url; the platform's REST port is usually 8080.",
            request=request,
        )
    return unreachable(f"closed the connection during {request}", url, request, sent=True)


def unreachable(reason: str, url: str, request: str, *, sent: bool) -> PlatformUnreachable:
    """The exception for a connection that failed; `sent` says whether the server may have received the request."""
    hint = "Check that the server runs and that --url names it. `pacifictool sandbox up` starts a local platform."
    if sent and url.startswith("https:"):
        # With TLS 1.3 a server checks our certificate after the handshake, and often just closes the connection then.
        hint += " If the server asks for a certificate, give --cert-file and --key-file."
    return PlatformUnreachable(f"The platform at {url} {reason}.", hint=hint, request=request, sent=sent)


def _redirect(response: HttpResponse) -> NotAPlatform:
    url, location = response.url, response.location
    if response.is_redirect_to_login:
        target = f"the login page {location}"
        hint = (
            "Name the platform's own address with --url; a proxy in between may ask for a login of its own, or"
            " drop or change the header X-Authorization."
        )
    elif url.startswith("http://") and location.startswith("https://"):
        target, hint = location, "Use https:// in --url."
    else:
        target, hint = location, "Name the platform's own address with --url; redirects are not followed."
    return NotAPlatform(
        f"{url} redirects {response.request} to {target}.", hint=hint, status=response.status, request=response.request
    )


def _tls_failure(error: Exception, url: str, request: str) -> PlatformUnreachable:
    """`error` is OpenSSL's; with none among the causes, the one of requests."""
    if isinstance(error, ssl.SSLCertVerificationError):
        server = TlsServer(url, urlsplit(url).hostname or url, "--url", "--ca-file")
        message, hint = explain_certificate(error, server)
    elif isinstance(error, ssl.SSLError) and is_not_tls(error):
        message, hint = f"The server at {url} does not speak TLS.", "Use http:// in --url."
    else:
        # The part of OpenSSL's words that says why: `[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert …`.
        text = str(error)
        start = text.find("[SSL")
        reason = text[start:].partition(" (_ssl")[0] if start >= 0 else "the handshake failed"
        message = f"No TLS connection to {url} could be established: {reason}."
        hint = "Check --ca-file; if the server asks for a certificate, give --cert-file and --key-file."
    return PlatformUnreachable(message, hint=hint, request=request, sent=False, tls=True)


def _causes(error: BaseException) -> list[BaseException]:
    """The error and everything that it wraps, outermost first."""
    found: list[BaseException] = []
    queue: list[object] = [error]
    while queue:
        item = queue.pop(0)
        if not isinstance(item, BaseException) or item in found:
            continue
        found.append(item)
        queue += [*item.args, getattr(item, "reason", None), item.__cause__, item.__context__]
    return found


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
