"""Refuses HTTP requests that another web site makes a browser send to a server of this machine.

A server on the loopback interface can be reached by every page that the user's browser shows. Two checks keep them out:

- `Host` must name this machine. To the browser, a site whose name resolves to 127.0.0.1 (DNS rebinding) has the same
  origin as the server, but `Host` has the site's name.
- Requests that change something must not come from another origin (`Origin`, `Sec-Fetch-Site`). Browsers hide the
  response of such a request from the page, but send the request. Other programs send neither header.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from pacifictool.settings import is_loopback

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_PAGE = frozenset({"same-origin", "none"})
"""`none`: the user typed the address."""

NOT_BY_NAME: Final = "This server accepts only requests that are addressed to this machine by a loopback name."
FROM_ANOTHER_SITE: Final = (
    "This server takes changes only from programs and pages of this machine, not from another site."
)

AsgiApplication = Callable[..., Any]


def refusal(method: str, headers: Iterable[tuple[str, str]]) -> str | None:
    """Why a request is refused, None if it is accepted. `headers` are all headers, with names in any case."""
    wanted: dict[str, list[str]] = {"host": [], "origin": [], "sec-fetch-site": []}
    for name, value in headers:
        if (values := wanted.get(name.lower())) is not None:
            values.append(value.strip())
    hosts = wanted["host"]
    match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if match is None or not is_loopback(match[1]):
        return NOT_BY_NAME
    if method.upper() in _READING:
        return None
    own_origins = {f"{scheme}://{hosts[0].lower()}" for scheme in ("http", "https")}
    if any(origin.lower() not in own_origins for origin in wanted["origin"]):
        return FROM_ANOTHER_SITE
    if any(site.lower() not in _OWN_PAGE for site in wanted["sec-fetch-site"]):
        return FROM_ANOTHER_SITE
    return None


class LocalRequestsOnly:
    """An ASGI application that passes on what `refusal` accepts; the rest gets 403 with the reason."""

    def __init__(self, application: AsgiApplication) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        reason = None
        if scope["type"] in ("http", "websocket"):
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
            # A web socket opens with a GET, and browsers let any page open one.
            reason = refusal(scope.get("method", "POST"), headers)
        if reason is None:
            await self._application(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            body = reason.encode()
            kind, length = (b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))
            await send({"type": "http.response.start", "status": 403, "headers": [kind, length]})
            await send({"type": "http.response.body", "body": body})
