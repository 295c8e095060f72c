"""Who we are at the platform: login, refresh ahead of expiry, one login at a time for all threads.

Access tokens are JWTs that live 900 s by default, refresh tokens 3600 s; the same 401 answers a garbage token and a
wrong password; errorCode 11 means expired (docs/servers/1.x.md#login-and-tokens, rows 3, 4, 7 and 8). From 2.4 on they
live 9000 s (docs/servers/2.x-3.x.md#login-and-tokens, row 1). Every server hands out a new refresh token with every
refresh (docs/servers/1.x.md#login-and-tokens, row 6), so that always the last one is kept.
"""

from __future__ import annotations

import base64
import binascii
import copy
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pacifictool.errors import AuthenticationFailed, NotAPlatform, NotFound, PlatformError, UnexpectedAnswer
from pacifictool.rest import answers
from pacifictool.rest.transport import Answer
from pacifictool.settings import Secret

LOGIN_PATH = "/api/auth/login"
REFRESH_PATH = "/api/auth/token"

Post = Callable[[str, dict[str, Any]], Answer]
"""Posts a JSON object without a token. Raises for failures that may pass, returns any other answer."""

SECOND_FACTOR = "PRE_VERIFICATION_TOKEN"
"""Scope of a token that only serves to send a code for the second factor (3.4 and later)."""

SECOND_FACTOR_MISSING = "MFA_CONFIGURATION_TOKEN"
"""Scope of a token that only serves to set up a second factor, which the installation demands."""

_PASSWORD_EXPIRED = 15
"""errorCode of a 401 for a password that is too old."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,16384}")
_LONGEST_MARGIN_SECONDS = 60.0
_MARGIN_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Token:
    """A token and, by our own monotonic clock, how long it serves."""

    text: str
    refresh_at: float
    expires_at: float
    issued_at: float | None
    """Seconds since the epoch by the *server's* clock; None when the token does not say."""


class Tokens:
    """Keeps a valid access token for any number of threads; only one of them talks to the server about it."""

    def __init__(
        self, url: str, username: str, password: Secret, post: Post, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._username = username
        self._password = password
        self._post = post
        self._clock = clock
        self._lock = threading.Lock()
        self._access: Token | None = None
        self._refresh: Token | None = None
        self._skew_seconds = 0.0
        self._finished_attempts = 0
        self._failure: PlatformError | None = None

    def current(self) -> str:
        """A token that is good by our clock; logs in or refreshes when there is none.

        While one thread refreshes ahead of expiry, the others go on with the token that still serves.
        Raises AuthenticationFailed, NotAPlatform, PlatformUnreachable.
        """
        token = self._access
        now = self._clock()
        if token is not None and now < token.refresh_at:
            return token.text
        serves = token is not None and now < token.expires_at
        seen = self._finished_attempts
        if not self._lock.acquire(blocking=not serves):
            assert token is not None
            return token.text
        try:
            if self._access is not None and self._clock() < self._access.refresh_at:
                return self._access.text
            if self._finished_attempts != seen and self._failure is not None:
                # Another thread has just been refused: asking again would only lock the account sooner.
                raise copy.copy(self._failure)
            return self._renew(serves=serves)
        finally:
            self._lock.release()

    def discard(self, text: str) -> None:
        """Forgets an access token that the server has refused, unless another thread has replaced it already."""
        with self._lock:
            if self._access is not None and self._access.text == text:
                self._access = None

    def server_time_ms(self) -> int:
        """The server's clock as its last token tells it: never ahead, late by a second and the answer's way."""
        return round((time.time() + self._skew_seconds) * 1000)

    def _renew(self, *, serves: bool) -> str:
        self._failure = None
        try:
            if not self._try_refresh():
                self._log_in()
        except PlatformError as error:
            token = self._access
            if serves and token is not None:
                # It was too early to worry. Not every call until then should try again, though.
                pause = (token.expires_at - self._clock()) * _MARGIN_SHARE
                self._access = replace(token, refresh_at=self._clock() + pause)
                return token.text
            self._failure = error
            raise
        finally:
            self._finished_attempts += 1
        assert self._access is not None
        return self._access.text

    def _try_refresh(self) -> bool:
        refresh = self._refresh
        if refresh is None or self._clock() >= refresh.expires_at:
            return False
        began = self._clock()
        answer = self._post(REFRESH_PATH, {"refreshToken": refresh.text})
        if answer.status != 200:
            # Expired by the server's clock, revoked, or signed before a restart: the password still works.
            self._refresh = None
            return False
        self._accept(answer, REFRESH_PATH, began)
        return True

    def _log_in(self) -> None:
        began = self._clock()
        answer = self._post(LOGIN_PATH, {"username": self._username, "password": self._password.reveal()})
        if answer.status == 401 and answers.is_platform_shape(answer):
            raise AuthenticationFailed(
                f"The platform at {self._url} refused the login of {self._username}: {answers.words(answer)}.",
                hint="Set a new password in the platform's web UI."
                if answers.error_code(answer) == _PASSWORD_EXPIRED
                else "Check --username and the password (PACIFICTOOL_PASSWORD or --password-file).",
                status=401,
                request=f"POST {LOGIN_PATH}",
            )
        if answer.status != 200:
            error = answers.failure(answer, self._url, f"POST {LOGIN_PATH}")
            if isinstance(error, NotAPlatform):
                raise error
            if isinstance(error, NotFound | AuthenticationFailed) or not answers.is_platform_shape(answer):
                raise NotAPlatform(
                    f"Something other than a Pacificsoft server answers at {self._url}:"
                    f" POST {LOGIN_PATH} gave {answer.status}.",
                    hint="Check --url, its port and its path.",
                    status=answer.status,
                    request=f"POST {LOGIN_PATH}",
                ) from error
            raise error
        self._accept(answer, LOGIN_PATH, began)

    def _accept(self, answer: Answer, path: str, began: float) -> None:
        what = f"POST {path}"
        try:
            document = answers.parse_json(answer, self._url, what)
        except UnexpectedAnswer as error:
            raise NotAPlatform(
                f"Something other than a Pacificsoft server answers at {self._url}: {what} gave no JSON.",
                hint="Check --url, its port and its path.",
                status=answer.status,
                request=what,
            ) from error
        if not isinstance(document, dict) or not _is_token(document.get("token")):
            raise NotAPlatform(
                f"Something other than a Pacificsoft server answers at {self._url}: {what} gave no token.",
                hint="Check --url, its port and its path.",
                status=answer.status,
                request=what,
            )
        self._refuse_half_a_login(document, what)
        access = _read_token(document["token"], began)
        if access.issued_at is not None:
            # The token was issued before we received it, and its time is cut to seconds: this clock is never ahead.
            self._skew_seconds = access.issued_at - time.time()
        self._access = access
        refresh = document.get("refreshToken")
        self._refresh = _read_token(refresh, began) if isinstance(refresh, str) and _is_token(refresh) else None

    def _refuse_half_a_login(self, document: dict[str, Any], what: str) -> None:
        """Raises AuthenticationFailed for a token with which nothing but a second factor can be given or set up."""
        scopes = [document.get("scope")]
        claimed = decode_claims(document["token"]).get("scopes")
        scopes += claimed if isinstance(claimed, list) else []
        if SECOND_FACTOR in scopes:
            reason = (
                f"The platform at {self._url} wants a second factor of {self._username}, which a program cannot give."
            )
        elif SECOND_FACTOR_MISSING in scopes:
            reason = f"The platform at {self._url} wants {self._username} to set up a second factor first."
        else:
            return
        raise AuthenticationFailed(
            reason,
            hint="Use an API key (PACIFICTOOL_API_KEY, platform 4.3 and later), or a user who needs no second factor.",
            request=what,
        )


def _is_token(value: Any) -> bool:
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def _read_token(text: str, asked_at: float) -> Token:
    """Works out how long a token serves: its own claims give the span, our clock the beginning, as the two may differ.

    The span is counted from when we asked, which was before the token was issued.
    """
    claims = decode_claims(text)
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int | float) or not isinstance(expires, int | float) or expires <= issued:
        # A token that does not say serves until the server refuses it.
        return Token(text, float("inf"), float("inf"), None)
    lifetime = float(expires - issued)
    margin = min(_LONGEST_MARGIN_SECONDS, lifetime * _MARGIN_SHARE)
    return Token(text, asked_at + lifetime - margin, asked_at + lifetime, float(issued))


def decode_claims(token: str) -> dict[str, Any]:
    """The payload of a JWT, unverified: it only plans the next refresh. {} when it cannot be read."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    payload = parts[1] + "=" * (-len(parts[1]) % 4)
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
