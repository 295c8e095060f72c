"""The page at `/`, if the sandbox was started with one; otherwise `/` is not found, as on a server without a UI.

The page is given as "module:function", because it belongs to a package that this one must not import. The function
takes the sandbox's own URL and a file of options, and returns an ASGI application.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from pacifictool.errors import SandboxError
from pacifictool.sandbox.background import in_background

PREFIX = "/watch/"


@dataclass(frozen=True, slots=True)
class PageReference:
    """The function that creates the page, and the file with its options, which may be written after the start."""

    name: str
    options: Path

    def make(self, url: str) -> ASGIApp:
        """Creates the page of the sandbox at `url`. Raises SandboxError."""
        module, _, function = self.name.partition(":")
        try:
            page: ASGIApp = getattr(import_module(module), function)(url, self.options)
            return page
        except (ImportError, AttributeError, ValueError) as error:
            raise SandboxError(f"The page {self.name} could not be loaded: {error}.") from error


class WithPage:
    """The sandbox's application with the page at `/` and below `/watch/`; everything else is the platform's.

    The page is created on the first request: a sandbox whose page is never opened spends nothing on it.
    """

    def __init__(self, application: ASGIApp, reference: PageReference, url: str) -> None:
        self._application = application
        self._reference = reference
        self._url = url
        self._page: ASGIApp | None = None
        self._creating = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            path = scope["path"]
            if path == "/" or path.startswith(PREFIX):
                page = await self._created()
                await page(scope, receive, send)
                return
        await self._application(scope, receive, send)

    async def _created(self) -> ASGIApp:
        async with self._creating:
            if self._page is None:
                self._page = await in_background(lambda: self._reference.make(self._url))
            return self._page
