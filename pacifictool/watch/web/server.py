"""Serves the page in a thread of this process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import Final, Self

import uvicorn
from starlette.applications import Starlette

from pacifictool.errors import PacificToolError
from pacifictool.runtime.guarded_http import guarded_http
from pacifictool.runtime.peer import PeerCheck
from pacifictool.runtime.ports import listen
from pacifictool.settings import is_loopback

_START_SECONDS: Final = 5.0
_STOP_SECONDS: Final = 1.0


class _PageUvicorn(uvicorn.Server):
    """uvicorn without signal handlers: the command line has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class PageServer:
    """One page at one address. Use it as a context manager."""

    def __init__(
        self,
        application: Starlette,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        warn: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """On the loopback interface only this user and root have access; `warn` is called for others.

        Port 0: any free one. Raises PortInUse; UsageError for an address that this machine does not have.
        """
        self._listener = listen(
            host, port, what="the page", option="--host", hint="Leave --port out to use any free port."
        )
        self.port: int = self._listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.port}/"
        self._server = _PageUvicorn(
            uvicorn.Config(
                application,
                http=guarded_http(PeerCheck("the page", warn) if is_loopback(host) else None),
                lifespan="off",
                log_config=None,
                access_log=False,
                ws="none",
                timeout_graceful_shutdown=1,
                server_header=False,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, name="page-server", daemon=True
        )

    def check(self) -> None:
        """Raises PacificToolError when the server thread has ended."""
        if not self._thread.is_alive():
            raise PacificToolError(
                "The page's server stopped unexpectedly.", hint="Start `pacifictool watch --web` again."
            )

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = monotonic() + _START_SECONDS
        while not self._server.started and self._thread.is_alive() and monotonic() < deadline:
            sleep(0.005)
        self.check()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        # Streams to open pages never end by themselves.
        self._server.force_exit = True
        self._thread.join(_STOP_SECONDS)
        if not self._thread.is_alive():  # a busy machine's server still uses its socket, and closes it at its end
            self._listener.close()
