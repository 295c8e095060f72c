"""Authentication of requests: a user's tokens, or an API key.

Access tokens are JWTs that live 900 s by default, refresh tokens 3600 s; a garbage token and a wrong password get the
same 401; errorCode 11 means expired (docs/servers/1.x.md#login-and-tokens, rows 3, 4, 7 and 8). From 2.4 on access
tokens live 9000 s (docs/servers/2.x-3.x.md#login-and-tokens, row 1). Every server hands out a new refresh token with
every refresh (docs/servers/1.x.md#login-and-tokens, row 6), so that the last one is kept. A 4.x server reads
`Bearer` with a capital B only (docs/servers/4.x.md#login-and-tokens, row 7).

API keys exist since 4.3: nothing is logged in or refreshed; an unknown, disabled or deleted key gets a 401; a server
that does not know the prefix is expected to redirect to its login page (docs/servers/4.x.md#api-keys, rows 1, 3 and 5).
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
from typing import Any, Protocol, TypeGuard

from pacifictool.errors import AuthenticationFailed, NotAPlatform, NotFound, PlatformError
from pacifictool.rest.http.errors import error_of, not_a_platform, raise_for_error
from pacifictool.rest.http.messages import HttpRequest, HttpResponse, Send
from pacifictool.settings import Secret

_PASSWORD_EXPIRED = 15
"""errorCode of a 401 for a password that is too old."""

_SECOND_FACTOR_SCOPE = "PRE_VERIFICATION_TOKEN"
"""Scope of a token that only serves to send a code for the second factor (3.4 and later)."""

_SECOND_FACTOR_SETUP_SCOPE = "MFA_CONFIGURATION_TOKEN"
"""Scope of a token that only serves to set up a second factor, which the installation demands."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,16384}")
_MAX_MARGIN_SECONDS = 60.0
_MARGIN_SHARE = 0.2


class Auth(Protocol):
    """A way to authenticate. Usable from many threads."""

    def exchange(self, request: HttpRequest, send: Send) -> HttpResponse:
        """Sends `request` with its authorization, and whatever else that takes. Raises AuthenticationFailed for 401.

        Any other response is returned. Errors of a login are marked as `during_login`.
        """

    def log_in(self, send: Send) -> None:
        """Makes sure that the credentials work, unless that is known. Raises PlatformError."""

    skew_seconds: float
    """How far the server's clock is ahead of this machine's, at most; 0 before the first response."""


class ApiKeyAuth:
    """Sends an API key with every request."""

    def __init__(self, key: Secret) -> None:
        self.skew_seconds = 0.0
        self._key = key
        self._works = False

    def exchange(self, request: HttpRequest, send: Send) -> HttpResponse:
        response = send(request, f"ApiKey {self._key.reveal()}")
        if response.status == 401 or response.is_redirect_to_login:
            raise self._refused(response)
        self._works = True
        date = response.date
        if date is not None:
            self.skew_seconds = date.timestamp() - time.time()
        return response

    def log_in(self, send: Send) -> None:
        if not self._works:
            raise_for_error(self.exchange(HttpRequest("GET", "/api/auth/user"), send))

    def _refused(self, response: HttpResponse) -> AuthenticationFailed:
        if response.status == 401:
            reason = response.error_text or "401"
            hint = "Check that the key is complete, enabled, and has not expired or been deleted."
        else:
            reason = f"it redirects to {response.location}"
            hint = "API keys exist since platform 4.3; use --username and a password with an older server."
        return AuthenticationFailed(
            f"The platform at {response.url} refused {response.request} with the API key: {reason}.",
            hint=hint,
            status=response.status,
            request=response.request,
        )


@dataclass(frozen=True, slots=True)
class Token:
    """A token and how long it serves, by this machine's monotonic clock."""

    text: str
    refresh_at: float
    expires_at: float
    issued_at: float | None
    """Seconds since the epoch by the *server's* clock; None when the token does not say."""

    @classmethod
    def parse(cls, text: str, requested_at: float) -> Token:
        """The token's own claims give its lifetime, this machine's clock the beginning, as the two clocks may differ.

        The lifetime is counted from the request, which was before the token was issued.
        """
        claims = _claims(text)
        issued, expires = claims.get("iat"), claims.get("exp")
        if not isinstance(issued, int | float) or not isinstance(expires, int | float) or expires <= issued:
            # A token that does not say serves until the server refuses it.
            return cls(text, float("inf"), float("inf"), None)
        lifetime = float(expires - issued)
        margin = min(_MAX_MARGIN_SECONDS, lifetime * _MARGIN_SHARE)
        return cls(text, requested_at + lifetime - margin, requested_at + lifetime, float(issued))


class PasswordAuth:
    """Logs in with a password and keeps the access token valid; only one thread at a time asks for a new one."""

    def __init__(self, username: str, password: Secret, clock: Callable[[], float] = time.monotonic) -> None:
        self.skew_seconds = 0.0
        self._username = username
        self._password = password
        self._clock = clock
        self._lock = threading.Lock()
        self._access: Token | None = None
        self._refresh: Token | None = None
        self._failure: PlatformError | None = None
        """Of the last attempt to get a token."""

    def exchange(self, request: HttpRequest, send: Send) -> HttpResponse:
        """See `Auth`. A 401 means that nothing was done, so that any request is sent once more with a new token."""
        token = self._valid_token(send)
        response = send(request, f"Bearer {token.text}")
        if response.status != 401:
            return response
        # Expired (errorCode 11), or signed by a server that has been replaced since.
        with self._lock:
            if self._access is token:
                self._access = None
        response = send(request, f"Bearer {self._valid_token(send).text}")
        if response.status == 401:
            raise AuthenticationFailed(
                f"The platform at {response.url} accepted the login of {self._username}, but refused {request} with the"
                f" token that it had just given: {response.error_text or '401'}.",
                hint="Check the server's clock and token settings; a proxy in between may drop X-Authorization.",
                status=401,
                request=str(request),
            )
        return response

    def log_in(self, send: Send) -> None:
        self._valid_token(send)

    def _valid_token(self, send: Send) -> Token:
        """An access token that is valid by our clock; logs in or refreshes when there is none.

        While one thread refreshes ahead of expiry, the others go on with the token that is still valid.
        """
        token, failure, now = self._access, self._failure, self._clock()
        if token is not None and now < token.refresh_at:
            return token
        if token is not None and now < token.expires_at:
            if not self._lock.acquire(blocking=False):
                return token
        else:
            self._lock.acquire()
        try:
            token = self._access
            if token is not None and self._clock() < token.refresh_at:
                return token
            if self._failure is not None and self._failure is not failure:
                # Another thread has just been refused: asking again would only lock the account sooner.
                raise copy.copy(self._failure)
            return self._renew(send)
        finally:
            self._lock.release()

    def _renew(self, send: Send) -> Token:
        """A new token, or the old one while that is valid and the server gives no other."""
        self._failure = None
        try:
            self._access = self._refreshed(send) or self._logged_in(send)
        except PlatformError as error:
            token, now = self._access, self._clock()
            if token is None or now >= token.expires_at:
                # Whatever became of the login: the request that waits for it was not sent.
                error.during_login, error.outcome_unknown = True, False
                self._failure = error
                raise
            # Other requests until its end do not all try to refresh it.
            self._access = replace(token, refresh_at=now + (token.expires_at - now) * _MARGIN_SHARE)
        return self._access

    def _refreshed(self, send: Send) -> Token | None:
        """None when there is no refresh token that the server takes."""
        requested_at = self._clock()
        if self._refresh is None or requested_at >= self._refresh.expires_at:
            return None
        response = _post(send, "/api/auth/token", {"refreshToken": self._refresh.text})
        if response.status == 200:
            return self._accepted(response, requested_at)
        # Expired by the server's clock, revoked, or signed before a restart: the password still works.
        self._refresh = None
        return None

    def _logged_in(self, send: Send) -> Token:
        requested_at = self._clock()
        credentials = {"username": self._username, "password": self._password.reveal()}
        response = _post(send, "/api/auth/login", credentials)
        if response.status != 200:
            raise self._login_failure(response)
        return self._accepted(response, requested_at)

    def _login_failure(self, response: HttpResponse) -> PlatformError:
        error = error_of(response)
        if isinstance(error, NotAPlatform):
            return error
        if isinstance(error, NotFound) or not response.is_platform_error:
            return not_a_platform(response, str(response.status))
        if not isinstance(error, AuthenticationFailed):
            return error
        return AuthenticationFailed(
            f"The platform at {response.url} refused the login of {self._username}: {response.error_text}.",
            hint="Set a new password in the platform's web UI."
            if response.error_code == _PASSWORD_EXPIRED
            else "Check --username and the password (PACIFICTOOL_PASSWORD or --password-file).",
            status=401,
            request=response.request,
        )

    def _accepted(self, response: HttpResponse, requested_at: float) -> Token:
        """The access token of a login or refresh; keeps the refresh token and the server's clock."""
        try:
            document = response.json()
        except (ValueError, RecursionError) as error:
            raise not_a_platform(response, "no JSON") from error
        if not isinstance(document, dict) or not _is_token(document.get("token")):
            raise not_a_platform(response, "no token")
        self._require_full_login(document, response)
        access = Token.parse(document["token"], requested_at)
        if access.issued_at is not None:
            # The token was issued before we received it, and its time is cut to seconds: this clock is never ahead.
            self.skew_seconds = access.issued_at - time.time()
        refresh = document.get("refreshToken")
        self._refresh = Token.parse(refresh, requested_at) if _is_token(refresh) else None
        return access

    def _require_full_login(self, document: dict[str, Any], response: HttpResponse) -> None:
        """Raises AuthenticationFailed for a token that serves only to give or to set up a second factor."""
        claimed = _claims(document["token"]).get("scopes")
        scopes = [document.get("scope"), *(claimed if isinstance(claimed, list) else [])]
        if _SECOND_FACTOR_SCOPE in scopes:
            wanted = f"requires a second factor of {self._username}, which a program cannot give"
        elif _SECOND_FACTOR_SETUP_SCOPE in scopes:
            wanted = f"requires {self._username} to set up a second factor first"
        else:
            return
        raise AuthenticationFailed(
            f"The platform at {response.url} {wanted}.",
            hint="Use an API key (PACIFICTOOL_API_KEY, platform 4.3 and later), or a user who needs no second factor.",
            request=response.request,
        )


def _post(send: Send, path: str, document: dict[str, str]) -> HttpResponse:
    """Posts without authorization. Raises PlatformError for failures that may pass by themselves."""
    response = send(HttpRequest("POST", path, body=json.dumps(document).encode()), None)
    if not response.is_success and (error := error_of(response)).retriable:
        raise error
    return response


def _is_token(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def _claims(token: str) -> dict[str, Any]:
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
