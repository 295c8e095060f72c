"""A platform for tests that follows a script: responds, fails, drops connections, talks nonsense.

For faults that no server produces on demand. Everything else is better tested against a sandbox.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import jwt

_KEY = "a key that only signs tokens of tests; clients never verify it"


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent. Header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the client gets."""

    status: int = 200
    json: Any = None
    body: bytes = b""
    """Sent as it is when `json` is None."""
    content_type: str = "application/json;charset=UTF-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False
    """Close the connection without a response."""
    raw: bytes | None = None
    """Write these bytes instead of an HTTP response and close the connection."""
    delay_seconds: float = 0.0
    trickle_seconds: float = 0.0
    """Send the body byte by byte, with a pause after each."""


Responder = Callable[[Request], Reply]

DROP = Reply(drop=True)
EMPTY = Reply(content_type="")


def platform_error(status: int, message: str, code: int = 2) -> Reply:
    """An error in the platform's own shape."""
    return Reply(status, {"status": status, "message": message, "errorCode": code, "timestamp": 1795476933092})


TOKEN_EXPIRED = platform_error(401, "Token has expired", 11)
NOT_FOUND = platform_error(404, "Requested item wasn't found!", 32)


def make_token(scope: str, lifetime_seconds: float, *, issued_at: float | None = None, serial: int = 0) -> str:
    """A JWT like those of 1.x (docs/servers/1.x.md#login-and-tokens, row 3).

    `issued_at` is in seconds since the epoch; by default now.
    """
    issued = time.time() if issued_at is None else issued_at
    claims = {"sub": "tenant@thingsboard.org", "scopes": [scope], "iss": "thingsboard.io", "jti": str(serial)}
    return jwt.encode({**claims, "iat": int(issued), "exp": int(issued + lifetime_seconds)}, _KEY, algorithm="HS256")


class ScriptedPlatform:
    """An HTTP server on the loopback interface that can log in and otherwise follows the script given to `on`.

    With an `ssl_context` it speaks TLS. Requests other than login and refresh are kept in `requests`, logins and
    refreshes in `logins` and `refreshes`.
    """

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.logins: list[Request] = []
        self.refreshes: list[Request] = []
        self.access_seconds = 900.0
        self.refresh_seconds = 3600.0
        self.clock_offset_seconds = 0.0
        """By how much the server's clock is ahead."""
        self._replies: dict[tuple[str, str], list[Reply | Responder]] = defaultdict(list)
        self._lock = threading.Lock()
        self._serial = 0
        platform = self

        class Handler(_Handler):
            responder = platform._reply

        self._server = _Server(("127.0.0.1", 0), Handler)
        if ssl_context is not None:
            # The handshake happens in the thread of the connection: a client that refuses must not stop the server.
            self._server.socket = ssl_context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._scheme = "http" if ssl_context is None else "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def on(self, method: str, path: str, *replies: Reply | Responder) -> None:
        """How to respond to a path (without its query), in turn; the last response is repeated."""
        self._replies[method, path] = list(replies)

    def count(self, method: str, path: str) -> int:
        """How often a path was asked for."""
        with self._lock:
            return sum((request.method, request.path) == (method, path) for request in self.requests)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    @property
    def connections(self) -> int:
        """How many connections were opened so far."""
        return self._server.connections

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _reply(self, request: Request) -> Reply:
        with self._lock:
            key = (request.method, request.path)
            log = {"/api/auth/login": self.logins, "/api/auth/token": self.refreshes}.get(request.path, self.requests)
            log.append(request)
            replies = self._replies.get(key, [])
            reply = replies.pop(0) if len(replies) > 1 else (replies[0] if replies else None)
        if reply is None:
            return self.tokens() if log is not self.requests else NOT_FOUND
        return reply(request) if callable(reply) else reply

    def tokens(self) -> Reply:
        """The response to a login that succeeds."""
        with self._lock:
            self._serial += 1
            serial = self._serial
        issued = time.time() + self.clock_offset_seconds
        return Reply(
            json={
                "token": make_token("TENANT_ADMIN", self.access_seconds, issued_at=issued, serial=serial),
                "refreshToken": make_token("REFRESH_TOKEN", self.refresh_seconds, issued_at=issued, serial=serial),
            }
        )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    connections = 0

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up, or refuse our certificate, are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20
    disable_nagle_algorithm = True
    responder: Responder

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        request = Request(
            self.command,
            parts.path,
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            {name.lower(): value for name, value in self.headers.items()},
            body,
        )
        reply = type(self).responder(request)
        time.sleep(reply.delay_seconds)
        if reply.drop or reply.raw is not None:
            self.wfile.write(reply.raw or b"")
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        payload = reply.body if reply.json is None else json.dumps(reply.json).encode()
        self.send_response(reply.status)
        if reply.content_type:
            self.send_header("Content-Type", reply.content_type)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in reply.headers:
            self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        if reply.trickle_seconds:
            for number in range(len(payload)):
                self.wfile.write(payload[number : number + 1])
                time.sleep(reply.trickle_seconds)
        else:
            self.wfile.write(payload)
        if int(reply.headers.get("Content-Length", len(payload))) != len(payload):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names that the base class looks for

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class's name
        pass
