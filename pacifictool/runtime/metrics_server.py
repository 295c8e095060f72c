"""The one HTTP server for Prometheus and for probes, of commands that run for long: `/metrics`, `/health`, `/live`."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import MetricsHandler
from prometheus_client.registry import Collector

from pacifictool.display import one_line
from pacifictool.errors import UsageError
from pacifictool.runtime.local_requests import refusal
from pacifictool.runtime.peer import REFUSAL, PeerCheck
from pacifictool.runtime.ports import LOOPBACK, listen
from pacifictool.settings import is_loopback

OPTION: Final = "--metrics"
_CLIENT_SECONDS: Final = 30.0
"""A client that sends or takes nothing for this long is disconnected."""


def listening_address(text: str) -> tuple[str, int]:
    """Host and port of `--metrics [HOST:]PORT`; without a host, that of the loopback interface. Raises UsageError."""
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdecimal() or int(port) > 65_535:
        raise UsageError(
            f"{OPTION}: {text!r} is not a port.", hint="For example 9100, or 0.0.0.0:9100 for all interfaces."
        )
    return host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port)


@contextmanager
def metrics_endpoint(
    collect: Callable[[], Iterable[Metric]],
    port: int,
    host: str = LOOPBACK,
    *,
    health: Callable[[], str | None] = lambda: None,
    hang: Callable[[], str | None] = lambda: None,
    warn: Callable[[str], None] = lambda _text: None,
) -> Iterator[str]:
    """Serves until the context ends, in threads of its own; gives the address, such as "http://127.0.0.1:9100".

    `GET /metrics` gives what `collect` returns, asked at every scrape, and the numbers of this process. `GET /health`
    is 200, or 503 with the sentence that `health` returns; `GET /live` is 503 only while `hang` returns one. On the
    loopback interface, requests must name this machine and come from this user or root; `warn` hears of others.
    Raises PortInUse, UsageError for an address that this machine does not have.
    """
    listener = listen(host, port, what="the metrics", option=OPTION, hint=f"Choose another port with {OPTION}.")
    registry = CollectorRegistry()
    registry.register(_FromFunction(collect))
    ProcessCollector(registry=registry)
    is_local = is_loopback(host)
    check = PeerCheck("the metrics", warn) if is_local else None
    # At any other address it is meant to be seen by other machines, under whatever name.
    members = {"registry": registry, "probes": {"/health": health, "/live": hang}, "is_local": is_local}
    server = _MetricsServer(listener, type("Handler", (_Handler,), members), check)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    shown = f"[{host}]" if ":" in host else host
    try:
        yield f"http://{shown}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _MetricsServer(ThreadingHTTPServer):
    """HTTP in threads, for those whom `check` admits; None: for everybody."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, handler: type[_Handler], check: PeerCheck | None) -> None:
        self.address_family = listener.family
        self._check = check
        super().__init__(listener.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_port = listener.getsockname()[1]

    def verify_request(self, request: Any, client_address: Any) -> bool:
        if self._check is None or self._check.admits_socket(request):
            return True
        with contextlib.suppress(OSError):
            request.sendall(REFUSAL)
        return False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that disconnected is not worth a message."""


class _Handler(MetricsHandler):
    """One request. `probes` and `is_local` are set by `metrics_endpoint`."""

    timeout = _CLIENT_SECONDS
    probes: Mapping[str, Callable[[], str | None]]
    is_local: bool

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        reason = refusal("GET", self.headers.items()) if self.is_local else None
        path = urlsplit(self.path).path
        if reason is not None:
            self._respond(403, reason)
        elif path == "/metrics":
            super().do_GET()
        elif path in self.probes:
            problem = self.probes[path]()
            self._respond(200, "ok") if problem is None else self._respond(503, problem)
        else:
            self._respond(404, "There are /metrics, /health and /live.")

    def _respond(self, status: int, sentence: str) -> None:
        body = f"{one_line(sentence)}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _FromFunction(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def describe(self) -> list[Metric]:
        return []  # otherwise registering would collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()
