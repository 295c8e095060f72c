"""The page as an ASGI application: `GET /`, its files, snapshots as they come, and a single snapshot.

The page has no password: it contains measured values and never a token or password. Access is limited by the loopback
interface, and by the check that requests name this machine (`Host`), so that another web site cannot read the page
through a visitor's browser.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pacifictool.display import json_document
from pacifictool.runtime.local_requests import refusal
from pacifictool.watch.choice import MAX_LIMIT, SORTS, Choice
from pacifictool.watch.collector import Collector
from pacifictool.watch.web.files import PREFIX, PageFile, PageFiles
from pacifictool.watch.web.source import Source

SECURITY_HEADERS: Final = {
    # Only 'self': no inline script or style, no other host. Plotly's hover labels use data: images.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
EVENTS, SNAPSHOT = "/watch/events", "/watch/snapshot"
MAX_VIEWERS: Final = 32

_HISTORY: Final = 60
_NEWS: Final = 5
"""Results of a group in all messages after the first that has it: the page keeps the older ones."""
_LIMIT: Final = 50
"""Groups in a message, unless the page asks for another number."""
_ALARMS: Final = 100
"""Alarms in a message, at most."""
_ALARM_LETTERS: Final = 300
"""Of an alarm's details, which are sent as text."""
_DIGITS: Final = 7
_FIRST_SECONDS: Final = 1.0
"""How long the first message waits for parts that have not responded yet."""


def page_application(source: Source, *, interval_seconds: float = 1.0, any_host: bool = False) -> Starlette:
    """`any_host`: accept requests that name any host, for a page that other machines may open."""
    assets = PageFiles()
    threading.Thread(target=assets.compress_all, name="page-assets", daemon=True).start()
    page = _Page(source, assets, interval_seconds, any_host=any_host)
    return Starlette(
        routes=[
            Route("/", page.index),
            Route(PREFIX + "{rest:path}", page.asset),
            Route(EVENTS, page.events),
            Route(SNAPSHOT, page.snapshot),
        ]
    )


class _Page:
    def __init__(self, source: Source, assets: PageFiles, interval_seconds: float, *, any_host: bool) -> None:
        self._source = source
        self._assets = assets
        self._interval_seconds = interval_seconds
        self._any_host = any_host
        self._viewers = 0

    async def index(self, request: Request) -> Response:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        page = self._assets.page
        tag = f'"{page.digest}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={**SECURITY_HEADERS, "ETag": tag, "Cache-Control": "no-cache"})
        return await _file_response(request, page, {"ETag": tag, "Cache-Control": "no-cache"})

    async def asset(self, request: Request) -> Response:
        file = self._assets.find(request.url.path)
        if (refusal := self._refusal(request)) is not None:
            return refusal
        if file is None:
            return _text(404, "File not found.")
        return await _file_response(request, file, {"Cache-Control": "public, max-age=31536000, immutable"})

    async def snapshot(self, request: Request) -> Response:
        """One snapshot as JSON, for scripts and for pages whose stream is held back by a proxy."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        with self._source.viewing() as collector:
            await _wait_for_first_poll(collector)
            headers = {**SECURITY_HEADERS, "Cache-Control": "no-store"}
            choice = _choice(request, collector)
            body = _snapshot(collector, choice, set())
            return Response(body, media_type="application/json", headers=headers)

    async def events(self, request: Request) -> Response:
        """Snapshots as server-sent events: a group's first with its whole history, the others with its newest
        results."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        if self._viewers >= MAX_VIEWERS:
            return _text(503, f"{MAX_VIEWERS} pages are already being served.")
        headers = {**SECURITY_HEADERS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._stream(request), media_type="text/event-stream", headers=headers)

    async def _stream(self, request: Request) -> AsyncIterator[bytes]:
        self._viewers += 1
        try:
            with self._source.viewing() as collector:
                await _wait_for_first_poll(collector)
                choice, sent = _choice(request, collector), set[tuple[str, str]]()
                while True:
                    yield b"data: " + _snapshot(collector, choice, sent) + b"\n\n"
                    await asyncio.sleep(self._interval_seconds)
        finally:
            self._viewers -= 1

    def _refusal(self, request: Request) -> Response | None:
        reason = None if self._any_host else refusal(request.method, request.headers.items())
        return None if reason is None else _text(403, reason)


async def _wait_for_first_poll(collector: Collector) -> None:
    waited = 0.0
    while not collector.has_polled_all and waited < _FIRST_SECONDS:
        await asyncio.sleep(0.02)
        waited += 0.02


def _choice(request: Request, collector: Collector) -> Choice:
    """What the page asks for; what makes no sense is left out. Without `analytics`, the first one."""
    asked = request.query_params
    names = collector.analytics
    first = names[0] if names else None
    limit = asked.get("limit", "")
    return Choice(
        analytics=asked["analytics"] if asked.get("analytics") in names else first,
        search=asked.get("search", ""),
        sort=asked["sort"] if asked.get("sort") in SORTS else "scenario",
        key=asked.get("key"),
        limit=min(int(limit), MAX_LIMIT) if limit.isascii() and limit.isdigit() and len(limit) < _DIGITS else _LIMIT,
    )


def _snapshot(collector: Collector, choice: Choice, sent: set[tuple[str, str]]) -> bytes:
    """A message. `sent`: the groups whose history the page has, by the names of analytics and group; added to."""
    now_sent = set[tuple[str, str]]()

    def history(analytics: str, group: str) -> int:
        now_sent.add((analytics, group))
        return _NEWS if (analytics, group) in sent else _HISTORY

    snapshot = collector.snapshot()
    document = snapshot.as_document(choice=choice, history_of=history, alarms=0)
    document["alarms"] = [
        {**alarm.as_document(), "details": alarm.details_text(_ALARM_LETTERS)}
        for alarm in snapshot.alarms.alarms[:_ALARMS]
    ]
    # A group without results so far may get older ones later, when it is read for the first time.
    empty = {
        (each["name"], group["name"])
        for each in document["analytics"]
        for group in each["groups"]
        if not group["results"]
    }
    sent |= now_sent - empty
    return json_document({**document, "chosen": choice.analytics}, ascii_only=True).encode("ascii")


async def _file_response(request: Request, file: PageFile, headers: dict[str, str]) -> Response:
    headers = {**SECURITY_HEADERS, **headers, "Content-Type": file.media_type, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(
            await run_in_threadpool(lambda: file.compressed), headers={**headers, "Content-Encoding": "gzip"}
        )
    return Response(file.body, headers=headers)


def _text(status: int, text: str) -> Response:
    return Response(text, status, headers=SECURITY_HEADERS, media_type="text/plain")
