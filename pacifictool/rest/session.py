"""A logged-in session with the platform that many threads may share.

Knows HTTP, tokens and retries, and nothing of devices or telemetry.
"""

from __future__ import annotations

import json as json_module
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, overload
from urllib.parse import quote

from pacifictool.errors import (
    AuthenticationFailed,
    InvalidRequest,
    NotFound,
    PlatformError,
    SettingsError,
    UnexpectedAnswer,
)
from pacifictool.reporting import SILENT, Reporter
from pacifictool.rest import answers
from pacifictool.rest.api_key import ApiKey
from pacifictool.rest.retry import DEFAULT_RETRY, Retrier, RetryPolicy, never_executed, passing
from pacifictool.rest.tokens import Tokens
from pacifictool.rest.transport import (
    DEFAULT_TIMEOUT_SECONDS,
    MAX_ANSWER_BYTES,
    NO_TLS_FILES,
    Answer,
    Params,
    Transport,
)
from pacifictool.settings import Secret, TlsFiles

Shape = TypeVar("Shape", dict[str, Any], list[Any])

_SAFE_TO_REPEAT = frozenset({"GET", "HEAD", "PUT", "DELETE"})


class _LoginFailed(Exception):
    """Carries a failed login out of a request's own retries."""

    def __init__(self, error: PlatformError) -> None:
        super().__init__(str(error))
        self.error = error


class Session:
    """One user at one server. Nothing is sent until the first request; login happens by itself.

    Either `username` and `password` say who we are, or an `api_key` does (platform 4.3 and later).

    `stop`, once set, ends all waiting: the failure that was being waited out is raised. `deletion_journal` is a file
    in which programs that delete rules remember when (see `DeletionLimiter`). `clock` is a monotonic
    clock in seconds.
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
        pool_size: int = 64,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        stop: threading.Event | None = None,
        reporter: Reporter = SILENT,
        deletion_journal: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = Transport(
            url, tls, timeout_seconds=timeout_seconds, pool_size=pool_size, max_answer_bytes=max_answer_bytes
        )
        self.username = username if api_key is None else "the API key's user"
        self.stop = stop or threading.Event()
        self.reporter = reporter
        self.deletion_journal = deletion_journal
        self.retrier = Retrier(retry, self.stop, reporter)
        self._api_key = None if api_key is None else ApiKey(self.url, api_key)
        if api_key is None and password is None:
            raise SettingsError("A session needs a user and a password, or an API key.")
        self._tokens = Tokens(self.url, username, password or Secret(""), self._post_openly, clock)

    @property
    def url(self) -> str:
        """Where the server is, without a slash at the end."""
        return self._transport.url

    def close(self) -> None:
        """Closes the connections. Tokens are not revoked: 1.x cannot (docs/servers/1.x.md#login-and-tokens, row 12)."""
        self._transport.close()

    def log_in(self) -> None:
        """Logs in now, if that has not happened yet. Raises AuthenticationFailed, NotAPlatform, PlatformUnreachable."""
        if self._api_key is None:
            self._token()
        elif not self._api_key.was_used:
            self.request("GET", "/api/auth/user")

    def server_time_ms(self) -> int:
        """The server's clock in ms since the epoch, as its last token tells it; our clock before the first login.

        It is never ahead of the server's, and late by up to a second and the time that the login took.
        """
        return (self._api_key or self._tokens).server_time_ms()

    @overload
    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        params: Params | None = None,
        repeatable: bool | None = None,
        expect: None = None,
    ) -> None: ...

    @overload
    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        params: Params | None = None,
        repeatable: bool | None = None,
        expect: type[Shape],
    ) -> Shape: ...

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        params: Params | None = None,
        repeatable: bool | None = None,
        expect: type[Any] | None = None,
    ) -> Any:
        """Sends one request and returns its JSON answer.

        `path` starts with / and is quoted already (see `segment`). `json` is sent as a JSON document; `body` is one
        that was written elsewhere. `expect` is `dict` or `list`, the type of the answer's JSON, or None when the body
        does not matter. `repeatable` says that doing it twice does no harm; by default GET, PUT and DELETE are. A
        call that is not is only repeated when the server certainly did nothing (no connection, 401, 429).

        A DELETE that finds nothing on a repeat counts as done.

        Raises the subclasses of PlatformError.
        """
        if json is not None:
            body = _encoded(json, f"{method} {path}")
        if repeatable is None:
            repeatable = method in _SAFE_TO_REPEAT

        def attempt(number: int) -> Any:
            try:
                answer = self._authorised(method, path, params, body)
            except NotFound:
                if method == "DELETE" and number > 1:
                    return None
                raise
            return None if expect is None else self._shaped(answer, expect, f"{method} {path}")

        try:
            return self.retrier.run(attempt, passing if repeatable else never_executed)
        except _LoginFailed as failed:
            raise failed.error from failed.error.__cause__

    def _token(self) -> str:
        return self.retrier.run(lambda _attempt: self._tokens.current(), passing)

    def _token_for_request(self) -> str:
        """A token, patiently waited for; a failure is not to be waited out once more by the request that needs it."""
        try:
            return self._token()
        except PlatformError as error:
            raise _LoginFailed(error) from error

    def _authorised(self, method: str, path: str, params: Params | None, body: bytes | None) -> Answer:
        """One exchange with our key or token; on 401 one more with a fresh token. Raises for anything but 2xx."""
        what = f"{method} {path}"
        if self._api_key is not None:
            answer = self._send(method, path, params, body, f"{self._api_key.scheme} {self._api_key.current()}")
            if answer.status == 401 or answers.points_to_login(answer):
                raise self._api_key.refused(answer, what)
            self._api_key.notice(answer)
            return self._checked(answer, what)
        token = self._token_for_request()
        answer = self._send(method, path, params, body, f"Bearer {token}")
        if answer.status == 401:
            # Expired (errorCode 11), or signed by a server that has been replaced meanwhile. A 401 means that
            # nothing was done, so that any call may be repeated.
            self._tokens.discard(token)
            answer = self._send(method, path, params, body, f"Bearer {self._token_for_request()}")
            if answer.status == 401:
                raise AuthenticationFailed(
                    f"The platform at {self.url} accepted the login of {self.username}, but refused {what} with the"
                    f" token that it had just given: {answers.words(answer) or '401'}.",
                    hint="Check the server's clock and token settings; a proxy in between may drop X-Authorization.",
                    status=401,
                    request=what,
                )
        return self._checked(answer, what)

    def _checked(self, answer: Answer, what: str) -> Answer:
        if not 200 <= answer.status < 300:
            raise answers.failure(answer, self.url, what)
        answers.refuse_web_page(answer, self.url, what)
        return answer

    def _send(
        self, method: str, path: str, params: Params | None, body: bytes | None, authorization: str | None
    ) -> Answer:
        """`authorization` is the whole header; platform 4.x reads `Bearer` with a capital B only."""
        headers = {"Accept": "application/json, */*;q=0.5"}
        if authorization is not None:
            headers["X-Authorization"] = authorization
        if body is not None:
            headers["Content-Type"] = "application/json"
        return self._transport.send(method, path, params=params, headers=headers, body=body)

    def _post_openly(self, path: str, document: dict[str, Any]) -> Answer:
        """A POST without a token, for login and refresh; see `tokens.Post`."""
        answer = self._send("POST", path, None, json_module.dumps(document).encode(), None)
        if answer.status in (429, 502, 503, 504):
            raise answers.failure(answer, self.url, f"POST {path}")
        return answer

    def _shaped(self, answer: Answer, expect: type[Any], what: str) -> Any:
        document = answers.parse_json(answer, self.url, what)
        if not isinstance(document, expect):
            found, wanted = type(document).__name__, expect.__name__
            raise UnexpectedAnswer(
                f"The answer of {self.url} to {what} is a JSON {found} where a {wanted} was expected.",
                status=answer.status,
                request=what,
            )
        return document


def _encoded(document: Any, what: str) -> bytes:
    try:
        return json_module.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, TypeError, RecursionError) as error:
        # NaN, half a surrogate pair in a name, or something that JSON does not know.
        raise InvalidRequest(f"{what} cannot be sent: {error}.", request=what) from error


def segment(text: str) -> str:
    """Quotes a text for use as one segment of a path."""
    return quote(text, safe="")
