"""REST tools of 4.x: authentication, error documents, bodies and numbered pages."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox import http
from pacifictool.sandbox.auth import SandboxUser
from pacifictool.sandbox.faults import Faults, RateLimiter
from pacifictool.sandbox.generation4.readings import dump
from pacifictool.sandbox.generation4.refusals import (
    DATABASE,
    TOO_MANY_REQUESTS,
    LimitReached,
    LoginRedirect,
    general,
)
from pacifictool.sandbox.generation4.tokens import TokenIssuer4
from pacifictool.sandbox.http import platform_document, read_body, strict_json
from pacifictool.sandbox.refusals import (
    BAD_REQUEST,
    GENERAL,
    NOT_FOUND,
    FrameworkRefusal,
    PlatformRefusal,
    Refusal,
    bad_request,
    unauthenticated,
)

JSON = "application/json"
LOGIN_PAGE = "/login"
_INT_MAX = 2**31 - 1


def json_response(document: Any, *, media_type: str = JSON, status: int = 200) -> Response:
    """JSON without spaces."""
    return Response(dump(document).encode("utf-8", "replace"), status, headers={"Content-Type": media_type})


class Api4(http.Api):
    """Routes of 4.x servers."""

    def __init__(self, tokens: TokenIssuer4, faults: Faults) -> None:
        super().__init__(tokens, faults)
        self._tokens4 = tokens
        self._limiter = RateLimiter(faults.rest_rate)

    def caller(self, request: Request) -> SandboxUser:
        header = request.headers.get("x-authorization") or request.headers.get("authorization")
        if header is None:
            raise unauthenticated()
        if header.startswith("Bearer ") and header[7:].strip():
            user = self._tokens4.authenticate(header[7:].strip())
        elif header.startswith("ApiKey ") and header[7:].strip():
            user = self._tokens4.user_of_api_key(header[7:].strip())
        else:
            raise LoginRedirect
        if not self._limiter.admits(user.tenant):
            raise PlatformRefusal(429, "Too many requests for current tenant!", TOO_MANY_REQUESTS)
        return user

    def refused(self, request: Request, refusal: Refusal) -> Response:
        if isinstance(refusal, LoginRedirect):
            return Response(status_code=302, headers={"Location": str(request.base_url.replace(path=LOGIN_PAGE))})
        if isinstance(refusal, LimitReached):
            return json_response(
                platform_document(refusal) | {"entityType": refusal.kind, "limit": refusal.limit}, status=refusal.status
            )
        if isinstance(refusal, FrameworkRefusal):
            # Not in the framework's own shape.
            refusal = PlatformRefusal(refusal.status, refusal.message, GENERAL)
        if isinstance(refusal, PlatformRefusal):
            return json_response(platform_document(refusal), status=refusal.status)
        return http.error_response(refusal, request.url.path)

    def unknown(self, request: Request, *, is_known_path: bool) -> Refusal:
        if is_known_path:
            return PlatformRefusal(405, f"Request method '{request.method}' is not supported", BAD_REQUEST)
        path = request.url.path.lstrip("/")
        return PlatformRefusal(
            404, f"No static resource {path if path.startswith('api') else 'index.html'}.", NOT_FOUND
        )


async def read_json(request: Request) -> Any:
    """The JSON of a body. Raises the 500 refusals that malformed requests get."""
    body = await read_body(request)
    content_type = request.headers.get("content-type", "application/octet-stream")
    if content_type.partition(";")[0].strip().lower() != JSON:
        shown = content_type if ";" in content_type or "octet" in content_type else f"{content_type};charset=UTF-8"
        raise general(f"Content-Type '{shown}' is not supported")
    try:
        return strict_json(body)
    except ValueError as error:
        raise general(f"JSON parse error: {error}") from None


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object of a body. Raises refusals."""
    document = await read_json(request)
    if not isinstance(document, dict):
        raise general("JSON parse error: Cannot deserialize value from this token")
    return document


def text_of(document: Mapping[str, Any], key: str) -> str:
    """A text of a body, "" if it is missing. Numbers are read as text. Raises a refusal for objects."""
    value = document.get(key)
    if value is None:
        return ""
    if isinstance(value, dict | list):
        raise general(f"JSON parse error: Cannot deserialize value of type `java.lang.String` of {key}")
    return value if isinstance(value, str) else json.dumps(value)


def integer(request: Request, name: str) -> int | None:
    """A whole number of the query. Raises a 400 refusal."""
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise bad_request(f"Method parameter '{name}': Failed to convert value; For input string: \"{text}\"") from None


@dataclass(frozen=True, slots=True)
class PageLink:
    """`pageSize`, `page` (from 0), `textSearch`, `sortProperty` and `sortOrder` of a query."""

    size: int
    number: int
    search: str | None
    sort: str | None
    is_descending: bool

    @classmethod
    def from_request(cls, request: Request) -> PageLink:
        """Raises refusals: 500 when one of both numbers is missing, 400 for others (docs/servers/4.x.md#pages, rows 2
        and 3). Another order than DESC is ASC (row 5)."""
        size, number = integer(request, "pageSize"), integer(request, "page")
        for name, value in (("pageSize", size), ("page", number)):
            if value is None:
                raise general(f"Required request parameter '{name}' for method parameter type int is not present")
        assert size is not None
        assert number is not None
        query = request.query_params
        if not 0 < size <= _INT_MAX:
            raise bad_request(f"Incorrect page link page size '{size}'. Page size must be greater than zero.")
        if not 0 <= number <= _INT_MAX:
            raise bad_request(f"Incorrect page link page '{number}'. Page must be positive integer.")
        is_descending = query.get("sortOrder", "").upper() == "DESC"
        return cls(size, number, query.get("textSearch") or None, query.get("sortProperty") or None, is_descending)

    @property
    def offset(self) -> int:
        return self.size * self.number

    def column(self, columns: Mapping[str, str], default: str) -> str:
        """The column to sort by. Raises the 500 that an unknown property gets."""
        if self.sort is None:
            return default
        if self.sort not in columns:
            raise PlatformRefusal(500, "Database error", DATABASE)
        return columns[self.sort]

    def response(self, data: Sequence[Any], total: int) -> Response:
        """A page of `total` items in all."""
        pages = math.ceil(total / self.size)
        return json_response(
            {"data": list(data), "totalPages": pages, "totalElements": total, "hasNext": self.number + 1 < pages}
        )

    def page(
        self,
        items: Sequence[dict[str, Any]],
        keys: Mapping[str, str],
        show: Callable[[dict[str, Any]], Any] = lambda item: item,
        *,
        name: str = "name",
    ) -> Response:
        """Searches, sorts and cuts documents; without an order by the text of their ids."""
        if self.search is not None:
            wanted = _pattern(self.search)
            items = [item for item in items if wanted.search(str(item[name]))]
        key = self.column(keys, "id")
        ordered = sorted(items, key=lambda item: _sortable(item, key), reverse=self.is_descending)
        return self.response([show(item) for item in ordered[self.offset : self.offset + self.size]], len(items))


def _pattern(search: str) -> re.Pattern[str]:
    """A search as SQL's LIKE reads it: `%` matches any text, `_` any character; case is ignored."""
    wild = {"%": ".*", "_": "."}
    return re.compile("".join(wild.get(letter) or re.escape(letter) for letter in search), re.IGNORECASE | re.DOTALL)


def _sortable(item: dict[str, Any], key: str) -> tuple[Any, str]:
    identifier: str = item["id"]["id"]
    value = identifier if key == "id" else item.get(key)
    return ("" if value is None else value), identifier
