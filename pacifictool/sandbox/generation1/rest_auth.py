"""REST: login and tokens (docs/servers/1.x.md#login-and-tokens)."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox.auth import SandboxUser, TokenIssuer, Users
from pacifictool.sandbox.http import Api, json_response, read_body, strict_json
from pacifictool.sandbox.refusals import unauthenticated

# Sic: this one response of the platform names another character set than all the others.
_LOGIN_MEDIA_TYPE = "application/json;charset=ISO-8859-1"


def add_routes(api: Api, users: Users, tokens: TokenIssuer) -> None:
    """/api/auth/login, /api/auth/token, /api/auth/user."""

    async def login(request: Request) -> Response:
        document = await _credentials(request)
        user = users.login(document.get("username"), document.get("password"))
        return json_response(
            {"token": tokens.access(user), "refreshToken": tokens.refresh(user)}, media_type=_LOGIN_MEDIA_TYPE
        )

    async def refresh(request: Request) -> Response:
        token = (await _credentials(request)).get("refreshToken")
        if not isinstance(token, str) or not token:
            raise unauthenticated()
        user = tokens.user_of_refresh_token(token)
        # The refresh token is returned unchanged, neither rotated nor extended.
        return json_response({"token": tokens.access(user), "refreshToken": token}, media_type=_LOGIN_MEDIA_TYPE)

    async def wrong_method(_request: Request) -> Response:
        raise unauthenticated("Authentication method not supported")

    async def current_user(_request: Request, user: SandboxUser) -> Response:
        return json_response(user.document())

    for path, handler in (("/api/auth/login", login), ("/api/auth/token", refresh)):
        api.open_route(("POST",), path, handler)
        api.open_route(("GET", "PUT", "DELETE", "PATCH"), path, wrong_method)
    api.route(("GET",), "/api/auth/user", current_user)


async def _credentials(request: Request) -> dict[str, Any]:
    body = await read_body(request)
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        # docs/servers/1.x.md#login-and-tokens, row 2: form handling eats the body before the login filter reads it.
        raise unauthenticated()
    try:
        document = strict_json(body)
    except ValueError:
        raise unauthenticated() from None
    if not isinstance(document, dict):
        raise unauthenticated()
    return document
