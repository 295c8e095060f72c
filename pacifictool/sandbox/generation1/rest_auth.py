"""REST: login and tokens (docs/servers/1.x.md#login-and-tokens)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox.auth import SandboxUser, TokenIssuer, Users
from pacifictool.sandbox.http import LOGIN_MEDIA_TYPE, Api, json_response, read_credentials
from pacifictool.sandbox.refusals import unauthenticated


def add_routes(api: Api, users: Users, tokens: TokenIssuer) -> None:
    """/api/auth/login, /api/auth/token, /api/auth/user."""

    async def login(request: Request) -> Response:
        document = await read_credentials(request)
        user = users.login(document.get("username"), document.get("password"))
        return json_response(
            {"token": tokens.access(user), "refreshToken": tokens.refresh(user)}, media_type=LOGIN_MEDIA_TYPE
        )

    async def refresh(request: Request) -> Response:
        token = (await read_credentials(request)).get("refreshToken")
        if not isinstance(token, str) or not token:
            raise unauthenticated()
        user = tokens.user_of_refresh_token(token)
        # The old refresh token stays valid (docs/servers/1.x.md#login-and-tokens, row 6).
        return json_response(
            {"token": tokens.access(user), "refreshToken": tokens.refresh(user)}, media_type=LOGIN_MEDIA_TYPE
        )

    async def current_user(_request: Request, user: SandboxUser) -> Response:
        return json_response(user.document())

    api.login_routes(login, refresh)
    api.route(("GET",), "/api/auth/user", current_user)
