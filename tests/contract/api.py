"""Raw REST requests, with responses reduced to what a fact is about."""

from __future__ import annotations

import json
import time
from functools import cached_property
from typing import Any, Final

import requests

from pacifictool.settings import Settings

TIMEOUT_SECONDS: Final = 60
LOGIN_SECONDS: Final = 300
"""How long a login is used; access tokens of servers are valid for 15 minutes."""
NOBODY: Final = "00000000-1dd2-11b2-8080-808080808080"
"""An id that no entity has. It is of version 1, the only one that a server in SQL mode accepts."""
NULL_ID: Final = "13814000-1dd2-11b2-8080-808080808080"
"""The id of the system's tenant and of no customer."""
NOT_FOUND: Final = (404, 32, "Requested item wasn't found!")
UNAUTHENTICATED: Final = (401, 10, "Authentication failed")
EMPTY_OK: Final = (200, b"", None)
"""The result of `bare` for an empty success."""
EMPTY_BAD_REQUEST: Final = (400, "")
"""The result of `silent` for an empty refusal."""


class Api:
    """Calls with the tenant's access token, unless another one is given."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.renew()

    def renew(self) -> None:
        """Logs the tenant in again."""
        self._logged_in_at = time.monotonic()
        self._tokens = self.login(self.settings.username, self.settings.require_password().reveal())

    @property
    def tokens(self) -> dict[str, str]:
        """The tenant's access and refresh token, renewed well before they expire, which is within a test session."""
        if time.monotonic() - self._logged_in_at > LOGIN_SECONDS:
            self.renew()
        return self._tokens

    @property
    def token(self) -> str:
        return self.tokens["token"]

    def login(self, username: str, password: str) -> dict[str, str]:
        """Access and refresh token. Fails the test when the login is refused."""
        response = self.call(
            "POST", "/api/auth/login", json={"username": username, "password": password}, authorization=None
        )
        assert response.status_code == 200, f"{username} cannot log in: {response.status_code}"
        tokens: dict[str, str] = response.json()
        return tokens

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: str | bytes | None = None,
        params: dict[str, Any] | None = None,
        content_type: str | None = "application/json",
        authorization: str | None = "",
        headers: dict[str, str] | None = None,
    ) -> requests.Response:
        """One call on a new connection; `authorization` "" is the tenant's token, None no header at all."""
        sent = dict(headers or {})
        data = body.encode() if isinstance(body, str) else body
        if json is not None:
            data = _dump(json)
        if data is not None and content_type is not None:
            sent["Content-Type"] = content_type
        if authorization is not None:
            sent["X-Authorization"] = authorization or f"Bearer {self.token}"
        with requests.Session() as session:
            # A configured proxy would change what is observed.
            session.trust_env = False
            if self.settings.tls_files.ca_file is not None:
                session.verify = str(self.settings.tls_files.ca_file)
            return session.request(
                method, self.settings.url + path, data=data, params=params, headers=sent, timeout=TIMEOUT_SECONDS
            )

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of a GET that must succeed."""
        response = self.call("GET", path, params=params)
        assert response.status_code == 200, f"GET {path}: {response.status_code} {response.text}"
        return response.json()

    def server_time_ms(self) -> int:
        """The server's clock, as its error documents show it."""
        timestamp: int = self.call("GET", "/api/nosuch").json()["timestamp"]
        return timestamp

    @cached_property
    def user(self) -> dict[str, Any]:
        """The logged-in user."""
        user: dict[str, Any] = self.get("/api/auth/user")
        return user

    @property
    def tenant_id(self) -> str:
        tenant: str = self.user["tenantId"]["id"]
        return tenant


def _dump(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def _document(response: requests.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def refusal(response: requests.Response) -> tuple[int, int | None, str]:
    """(status, errorCode, message) of the platform's own error shape; or the whole text."""
    document = _document(response)
    if set(document) != {"status", "message", "errorCode", "timestamp"} or document["status"] != response.status_code:
        return response.status_code, None, response.text
    return response.status_code, document["errorCode"], document["message"]


def framework_error(response: requests.Response) -> tuple[int, str, str | None]:
    """(status, error, simple name of the exception) of the web framework's error shape, or the whole text."""
    document = _document(response)
    needed = {"timestamp", "status", "error", "message", "path"}
    if set(document) - {"exception"} != needed or document["status"] != response.status_code:
        return response.status_code, response.text, None
    exception = document.get("exception")
    return response.status_code, document["error"], None if exception is None else exception.rpartition(".")[2]


def plain(response: requests.Response) -> tuple[int, str, str]:
    """(status, text, media type): the errors of the telemetry plugin."""
    return response.status_code, response.text, response.headers.get("Content-Type", "").partition(";")[0]


def text_error(status: int, text: str) -> tuple[int, str, str]:
    """The result of `plain` for an error of the telemetry plugin."""
    return status, text, "text/plain"


def silent(response: requests.Response) -> tuple[int, str]:
    """(status, text)."""
    return response.status_code, response.text


def bare(response: requests.Response) -> tuple[int, bytes, str | None]:
    """(status, body, Content-Type), for successes, which have neither of the latter."""
    return response.status_code, response.content, response.headers.get("Content-Type")
