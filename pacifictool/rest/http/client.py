"""The HTTP client of a platform: the only module that sends requests."""

from __future__ import annotations

import json as json_module
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack, overload
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_ACCEPT_ENCODING
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import HTTPError

import pacifictool
from pacifictool.errors import InvalidRequest, NotFound, SettingsError, UnexpectedAnswer
from pacifictool.progress import SILENT, Reporter
from pacifictool.rest.http.auth import ApiKeyAuth, Auth, PasswordAuth
from pacifictool.rest.http.errors import no_response, raise_for_error, unreachable
from pacifictool.rest.http.messages import HttpRequest, HttpResponse, Params
from pacifictool.rest.http.retry import DEFAULT_RETRY, RetryLoop, RetryPolicy
from pacifictool.settings import Secret, TlsFiles

Shape = TypeVar("Shape", dict[str, Any], list[Any])

DEFAULT_TIMEOUT_SECONDS = (5.0, 30.0)
"""To connect; between two pieces of a response. A 1.x server gives up on its own work after 30 s
(docs/servers/1.x.md#telemetry-over-rest, row 19)."""

MAX_RESPONSE_BYTES = 64 * 1024 * 1024
NO_TLS_FILES = TlsFiles()
"""The system's authorities, no certificate of our own."""

_PIECE_BYTES = 64 * 1024
_WHOLE_RESPONSE_FACTOR = 4
"""A body must be complete within this number of read timeouts, however steadily it trickles."""

_REPEATABLE_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})


class _OneServerAdapter(HTTPAdapter):
    """Keeps the one connection pool; looking it up each time, as requests does, is 9 % of a request's instructions."""

    _pool: ConnectionPool | None = None

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> ConnectionPool:
        pool = self._pool
        if pool is None:
            pool = self._pool = super().get_connection_with_tls_context(*arguments, **options)
        return pool

    def close(self) -> None:
        self._pool = None
        super().close()


class RequestOptions(TypedDict, total=False):
    """See `Session.request`."""

    json: Any
    body: bytes | None
    params: Params | None
    repeatable: bool | None
    find_result: Callable[[], Any] | None


class Session:
    """One user at one server, for any number of threads. Nothing is sent until the first request, which also logs in.

    Either `username` and `password` say who we are, or an `api_key` does (platform 4.3 and later).

    At most `pool_size` requests are open at a time. `stop`, once set, ends all waiting: the failure that was being
    waited out is raised. `deletion_journal` is a file in which programs that delete rules remember when (see
    `DeletionLimiter`). `clock` is a monotonic clock in seconds.

    Environment variables, .netrc files and cookies play no part, redirects are not followed, and a response is never
    read beyond a limit. So only the adapter of requests is needed; a `requests.Session` around it would cost a fifth
    more processor time per request.
    """

    def __init__(
        self,
        url: str,
        username: str = "",
        password: Secret | None = None,
        *,
        api_key: Secret | None = None,
        tls: TlsFiles = NO_TLS_FILES,
        timeout_seconds: tuple[float, float] = DEFAULT_TIMEOUT_SECONDS,
        retry: RetryPolicy = DEFAULT_RETRY,
        pool_size: int = 128,
        max_answer_bytes: int = MAX_RESPONSE_BYTES,
        stop: threading.Event | None = None,
        reporter: Reporter = SILENT,
        deletion_journal: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url.rstrip("/")
        """Where the server is, without a slash at the end."""
        self.stop = stop or threading.Event()
        self.reporter = reporter
        self.deletion_journal = deletion_journal
        self._auth: Auth
        if api_key is not None:
            self.username = "the API key's user"
            self._auth = ApiKeyAuth(api_key)
        elif password is not None:
            self.username = username
            self._auth = PasswordAuth(username, password, clock)
        else:
            raise SettingsError("A session needs a user and a password, or an API key.")
        self._retry = RetryLoop(retry, self.stop, reporter)
        self._timeout_seconds = timeout_seconds
        self._max_response_bytes = max_answer_bytes
        self._headers = {
            "User-Agent": f"pacifictool/{pacifictool.__version__}",
            "Accept-Encoding": DEFAULT_ACCEPT_ENCODING,
            "Accept": "application/json, */*;q=0.5",
        }
        self._verify = True if tls.ca_file is None else str(tls.ca_file)
        self._certificate = _certificate(tls)
        self._adapter = _OneServerAdapter(pool_connections=1, pool_maxsize=pool_size, pool_block=True)

    def close(self) -> None:
        """Closes the connections. Tokens are not revoked: 1.x cannot (docs/servers/1.x.md#login-and-tokens, row 12)."""
        self._adapter.close()

    def log_in(self) -> None:
        """Logs in now, if that has not happened yet. Raises AuthenticationFailed, NotAPlatform, PlatformUnreachable."""
        self._retry.run(lambda _may_be_done: self._auth.log_in(self._send), repeatable=True)

    def server_time_ms(self) -> int:
        """The server's clock in ms since the epoch, by its last token or response; this machine's before the first.

        It is never ahead of the server's, and late by up to a second and the time that the response took.
        """
        return round((time.time() + self._auth.skew_seconds) * 1000)

    @overload
    def request(self, method: str, path: str, *, expect: None = None, **options: Unpack[RequestOptions]) -> None: ...

    @overload
    def request(self, method: str, path: str, *, expect: type[Shape], **options: Unpack[RequestOptions]) -> Shape: ...

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        params: Params | None = None,
        repeatable: bool | None = None,
        find_result: Callable[[], Any] | None = None,
        expect: type[Any] | None = None,
    ) -> Any:
        """Sends one request and returns the JSON of its response.

        `path` starts with / and is quoted already (see `segment`). `json` is sent as a JSON document; `body` is one
        that was written elsewhere. `expect` is `dict` or `list`, the type of the response's JSON, or None when the body
        does not matter. `repeatable` says that doing it twice does no harm; by default GET, PUT and DELETE are. A
        request that is not is only repeated when the server certainly did nothing (no connection, 401, 429), or with
        `find_result`: that looks, before each repetition, whether the request had succeeded after all, and returns what
        the response would have held.

        A DELETE that finds nothing counts as done when an earlier attempt may have succeeded.

        Raises the subclasses of PlatformError.
        """
        request = HttpRequest(method, path, params, body if json is None else _encode(json, f"{method} {path}"))

        def attempt(may_be_done: bool) -> Any:  # noqa: FBT001 - see `RetryLoop.run`
            try:
                response = self._auth.exchange(request, self._send)
                raise_for_error(response)
            except NotFound:
                if method == "DELETE" and may_be_done:
                    return None
                raise
            return None if expect is None else _document(response, expect)

        if repeatable is None:
            repeatable = method in _REPEATABLE_METHODS
        return self._retry.run(attempt, repeatable=repeatable, find_result=find_result)

    def _send(self, request: HttpRequest, authorization: str | None) -> HttpResponse:
        """See `Send`; `authorization` is the value of the header.

        Raises PlatformUnreachable (its `sent` detail says whether the server may have received the request),
        NotAPlatform when what responds does not speak HTTP, UnexpectedAnswer when the response is too long,
        InvalidRequest when the request cannot be written as HTTP.
        """
        what = str(request)
        headers = dict(self._headers)
        if authorization is not None:
            headers["X-Authorization"] = authorization
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        try:
            prepared = requests.Request(
                request.method, self.url + request.path, headers, data=request.body, params=request.params
            ).prepare()
        except (requests.RequestException, ValueError) as error:
            # ValueError: lone surrogates in a name, or a URL that urllib3 cannot take apart.
            raise InvalidRequest(f"{what} cannot be sent to {self.url}: {error}.", request=what) from error
        try:
            with self._adapter.send(
                prepared, stream=True, timeout=self._timeout_seconds, verify=self._verify, cert=self._certificate
            ) as response:
                body = self._read(response, what)
                return HttpResponse(self.url, what, response.status_code, response.headers, body)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise no_response(error, self.url, what, self._timeout_seconds) from error

    def _read(self, response: requests.Response, what: str) -> bytes:
        timeout_seconds = self._timeout_seconds[1] * _WHOLE_RESPONSE_FACTOR
        deadline = time.monotonic() + timeout_seconds
        pieces: list[bytes] = []
        length = 0
        # read1 returns what is there: iter_content would wait for a whole piece, however slowly it trickles.
        while piece := response.raw.read1(_PIECE_BYTES, decode_content=True):
            pieces.append(piece)
            length += len(piece)
            if length > self._max_response_bytes:
                raise UnexpectedAnswer(
                    f"The response of {self.url} to {what} is longer than {self._max_response_bytes} bytes.",
                    status=response.status_code,
                    request=what,
                )
            if time.monotonic() > deadline:
                reason = f"did not finish its response to {what} within {timeout_seconds:g} s"
                raise unreachable(reason, self.url, what, sent=True)
        return b"".join(pieces)


def segment(text: str) -> str:
    """Quotes a text for use as one segment of a path."""
    return quote(text, safe="")


def _certificate(tls: TlsFiles) -> str | tuple[str, str] | None:
    """Our own, as requests wants it: one file, or the certificate's and the key's."""
    if tls.cert_file is None or tls.key_file is None:
        return None if tls.cert_file is None else str(tls.cert_file)
    return str(tls.cert_file), str(tls.key_file)


def _encode(document: Any, what: str) -> bytes:
    try:
        return json_module.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, TypeError, RecursionError) as error:
        # NaN, half a surrogate pair in a name, or something that JSON does not know.
        raise InvalidRequest(f"{what} cannot be sent: {error}.", request=what) from error


def _document(response: HttpResponse, expect: type[Any]) -> Any:
    """The JSON of a successful response. Raises UnexpectedAnswer unless it is a dict or list, as expected."""
    try:
        document = response.json()
    except (ValueError, RecursionError) as error:
        raise UnexpectedAnswer(
            f"The response of {response.url} to {response.request} is not valid JSON.",
            hint="Check with --url that nothing but the platform responds there.",
            status=response.status,
            request=response.request,
            reason=str(error)[:300],
        ) from None
    if not isinstance(document, expect):
        raise UnexpectedAnswer(
            f"The response of {response.url} to {response.request} is a JSON {type(document).__name__} where a"
            f" {expect.__name__} was expected.",
            status=response.status,
            request=response.request,
        )
    return document
