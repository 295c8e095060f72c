"""What every REST controller of the sandbox needs: bodies with a limit, JSON, error shapes, authentication, paging.

Handlers are plain coroutines that return a `Response` or raise a `Refusal`; `Api.route` wraps them.
"""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route

from pacifictool.sandbox.auth import SandboxUser, TokenIssuer
from pacifictool.sandbox.faults import Faults
from pacifictool.sandbox.ids import now_ms, parse_uuid, uuid_time
from pacifictool.sandbox.refusals import (
    FrameworkRefusal,
    PlatformRefusal,
    Refusal,
    TextRefusal,
    bad_request,
    forbidden,
    unauthenticated,
)
from pacifictool.sandbox.values import json_bytes, without_lone_surrogates

MAX_BODY_BYTES = 16 * 1024 * 1024
_INT_MAX = 2**31 - 1
_JSON = "application/json;charset=UTF-8"
LOGIN_MEDIA_TYPE = "application/json;charset=ISO-8859-1"
"""Sic: login responses of the platform name another character set than all others."""
_ANY_METHOD = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
_REASONS = {
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Payload Too Large",
    415: "Unsupported Media Type",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

Handler = Callable[[Request], Awaitable[Response]]
UserHandler = Callable[[Request, SandboxUser], Awaitable[Response]]


def json_response(document: Any, *, media_type: str = _JSON, status: int = 200) -> Response:
    """JSON without spaces, texts as UTF-8."""
    return Response(json_bytes(document), status, headers={"Content-Type": media_type})


def empty_response(status: int = 200) -> Response:
    """No body and no Content-Type."""
    return Response(status_code=status)


def error_response(refusal: Refusal, path: str) -> Response:
    """Renders a refusal in its own shape."""
    if isinstance(refusal, TextRefusal):
        if not refusal.message:
            return empty_response(refusal.status)
        return Response(
            refusal.message.encode("utf-8", "replace"),
            refusal.status,
            headers={"Content-Type": "text/plain;charset=UTF-8", "X-Content-Type-Options": "nosniff"},
        )
    if isinstance(refusal, PlatformRefusal):
        document = platform_document(refusal)
    else:
        document = {"timestamp": now_ms(), "status": refusal.status, "error": _REASONS.get(refusal.status, "Error")}
        if isinstance(refusal, FrameworkRefusal) and refusal.exception is not None:
            document["exception"] = refusal.exception
        document |= {"message": refusal.message, "path": path}
    return json_response(document, status=refusal.status)


def platform_document(refusal: PlatformRefusal) -> dict[str, Any]:
    """The platform's own shape of an error."""
    return {
        "status": refusal.status,
        "message": refusal.message,
        "errorCode": refusal.error_code,
        "timestamp": now_ms(),
    }


async def read_body(request: Request) -> bytes:
    """The request's body. Raises a 413 refusal beyond MAX_BODY_BYTES."""
    too_long = FrameworkRefusal(413, f"The sandbox accepts request bodies of up to {MAX_BODY_BYTES} bytes")
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise too_long
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise too_long
    return bytes(body)


def _no_constant(text: str) -> None:
    raise ValueError(text)


def strict_json(body: bytes) -> Any:
    """Reads JSON as Jackson does. Raises ValueError."""
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
        return without_lone_surrogates(document) if b"\\ud" in body.lower() else document
    except RecursionError:
        raise ValueError("nested too deeply") from None


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object of a request. Raises 415 and 400 refusals in the framework's shape."""
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type != "application/json" and not content_type.endswith("+json"):
        raise FrameworkRefusal(
            415,
            f"Content type '{content_type}' not supported",
            "org.springframework.web.HttpMediaTypeNotSupportedException",
        )
    body = await read_body(request)
    unreadable = "org.springframework.http.converter.HttpMessageNotReadableException"
    try:
        document = strict_json(body)
    except ValueError as error:
        raise FrameworkRefusal(400, f"Could not read document: {error}", unreadable) from None
    if not isinstance(document, dict):
        raise FrameworkRefusal(400, "Could not read document: an object is needed", unreadable)
    return document


async def read_credentials(request: Request) -> dict[str, Any]:
    """The body of a login or token request. Raises the 401 refusal for one that cannot be used."""
    body = await read_body(request)
    # docs/servers/1.x.md#login-and-tokens, row 2: form handling eats the body before the login filter reads it.
    is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    try:
        document = None if is_form else strict_json(body)
    except ValueError:
        raise unauthenticated() from None
    if not isinstance(document, dict):
        raise unauthenticated()
    return document


def id_of(document: Any) -> str:
    """The `id` of a reference such as `{"entityType":"DEVICE","id":"…"}`, or of a text; "None" if there is none."""
    return str(document.get("id") if isinstance(document, dict) else document)


def uuid_parameter(text: str) -> uuid.UUID:
    """Reads a UUID of a path or query. Raises the platform's 400."""
    try:
        return parse_uuid(text)
    except ValueError as error:
        raise bad_request(str(error)) from None


def number_parameter(request: Request, name: str) -> int:
    """A required whole number of the query. Raises the framework's 400."""
    text = request.query_params.get(name)
    if text is None:
        raise FrameworkRefusal(
            400,
            f"Required int parameter '{name}' is not present",
            "org.springframework.web.bind.MissingServletRequestParameterException",
        )
    try:
        number = int(text)
        if abs(number) > _INT_MAX:
            raise ValueError(text)
        return number
    except ValueError:
        raise FrameworkRefusal(
            400,
            f'Failed to convert value of type "java.lang.String" to required type "int"; For input string: "{text}"',
            "org.springframework.web.method.annotation.MethodArgumentTypeMismatchException",
        ) from None


@dataclass(frozen=True, slots=True)
class TextPageLink:
    """`limit`, `textSearch`, `idOffset` and `textOffset` of a query; only `idOffset` moves the page (SQL mode)."""

    limit: int
    text_search: str | None
    after: int

    @classmethod
    def from_request(cls, request: Request) -> TextPageLink:
        """Raises 400 refusals."""
        limit = number_parameter(request, "limit")
        query = request.query_params
        search = query.get("textSearch")
        if limit < 1:
            raise bad_request(
                f"Incorrect page link TextPageLink(textSearch={search or 'null'}, textSearchBound=null, "
                f"textOffset={query.get('textOffset') or 'null'})"
            )
        offset = query.get("idOffset")
        after = uuid_time(uuid_parameter(offset)) if offset else 0
        return cls(limit, None if search is None else search.lower(), after)

    def page(self, items: Sequence[tuple[str, str, dict[str, Any]]]) -> Response:
        """Renders a page of (id, name, document). A full page always claims that there is a next one."""
        next_link = None
        if len(items) >= self.limit:
            identifier, name, _ = items[-1]
            search = self.text_search
            next_link = {
                "limit": self.limit,
                "textSearch": search,
                "textSearchBound": search[:-1] + chr(ord(search[-1]) + 1) if search else None,
                "textOffset": name.lower(),
                "idOffset": identifier,
            }
        return json_response(
            {"data": [item[2] for item in items], "nextPageLink": next_link, "hasNext": next_link is not None}
        )


@dataclass(frozen=True, slots=True)
class TimePageLink:
    """`limit` and `offset` of a query of 1.x for what is listed by time, the newest first: events and alarms."""

    limit: int
    before: int
    """Only what was born before."""

    @classmethod
    def from_request(cls, request: Request) -> TimePageLink:
        """Raises 400 refusals."""
        limit, offset = number_parameter(request, "limit"), request.query_params.get("offset")
        if limit < 1:
            raise bad_request(f"Incorrect page link TimePageLink(limit={limit})")
        return cls(limit, uuid_time(uuid_parameter(offset)) if offset else 2**62)

    def page(self, data: Sequence[dict[str, Any]]) -> Response:
        """Renders a page. A full page always claims that there is a next one."""
        next_link = None
        if len(data) >= self.limit:
            next_link = {
                "limit": self.limit,
                "startTime": None,
                "endTime": None,
                "ascOrder": False,
                "idOffset": data[-1]["id"]["id"],
            }
        return json_response({"data": data, "nextPageLink": next_link, "hasNext": next_link is not None})


class Api:
    """Collects routes and makes the ASGI application of them."""

    def __init__(self, tokens: TokenIssuer, faults: Faults, seed: int | None = None) -> None:
        self._tokens = tokens
        self._faults = faults
        self._random = random.Random(seed)  # noqa: S311 - decides which calls fail in a test
        self._routes: list[Route] = []

    def open_route(self, methods: Collection[str], path: str, handler: Handler) -> None:
        """A route that needs no token."""

        async def endpoint(request: Request) -> Response:
            try:
                await self._inject_faults()
                return await handler(request)
            except Refusal as refusal:
                return self.refused(request, refusal)
            except ClientDisconnect:
                return empty_response(400)

        self._routes.append(Route(path, endpoint, methods=list(methods)))

    def login_routes(self, login: Handler, refresh: Handler) -> None:
        """/api/auth/login and /api/auth/token."""

        async def wrong_method(_request: Request) -> Response:
            raise unauthenticated("Authentication method not supported")

        for path, handler in (("/api/auth/login", login), ("/api/auth/token", refresh)):
            self.open_route(("POST",), path, handler)
            self.open_route(("GET", "PUT", "DELETE", "PATCH"), path, wrong_method)

    def route(
        self, methods: Collection[str], path: str, handler: UserHandler, authorities: Collection[str] = ()
    ) -> None:
        """A route for authenticated users, with `authorities` only for those."""

        async def guarded(request: Request) -> Response:
            user = self.caller(request)
            if authorities and user.authority not in authorities:
                raise forbidden()
            return await handler(request, user)

        self.open_route(methods, path, guarded)

    def caller(self, request: Request) -> SandboxUser:
        """The authenticated user. Raises refusals."""
        header = request.headers.get("x-authorization", "")
        if header[:7].lower() != "bearer " or not header[7:].strip():
            raise unauthenticated()
        return self._tokens.authenticate(header[7:].strip())

    def refused(self, request: Request, refusal: Refusal) -> Response:
        """Renders a refusal."""
        return error_response(refusal, request.url.path)

    def unknown(self, request: Request, *, is_known_path: bool) -> Refusal:
        """The refusal of an unknown path, or of a known one with a wrong method."""
        if is_known_path:
            return FrameworkRefusal(
                405,
                f"Request method '{request.method}' not supported",
                "org.springframework.web.HttpRequestMethodNotSupportedException",
            )
        return FrameworkRefusal(404, "No message available")

    async def _inject_faults(self) -> None:
        if self._faults.latency_seconds:
            await asyncio.sleep(self._faults.latency_seconds)
        if self._faults.failing_share and self._random.random() < self._faults.failing_share:
            raise FrameworkRefusal(503, "Injected failure (--rest-failing-share)")

    def application(self) -> Starlette:
        """The application; call it when all routes are added. Unknown paths are refused as the platform does."""
        routes = list(self._routes)

        async def unknown(request: Request, _user: SandboxUser | None = None) -> Response:
            known = any(route.matches(request.scope)[0] == Match.PARTIAL for route in routes)
            raise self.unknown(request, is_known_path=known)

        async def crashed(request: Request, _error: Exception) -> Response:
            return self.refused(request, FrameworkRefusal(500, "No message available"))

        async def refused(request: Request, error: Exception) -> Response:
            status = error.status_code if isinstance(error, HTTPException) else 500
            return self.refused(request, FrameworkRefusal(status, "No message available"))

        self.route(_ANY_METHOD, "/api/{rest:path}", unknown)
        self.open_route(_ANY_METHOD, "/{rest:path}", unknown)
        return Starlette(routes=self._routes, exception_handlers={Exception: crashed, HTTPException: refused})
