"""REST: login, tokens, API keys, and the server's version.

docs/servers/4.x.md#login-and-tokens, docs/servers/4.x.md#api-keys, docs/servers/4.x.md#recognising-the-server.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox.auth import SandboxUser, Users
from pacifictool.sandbox.generation4.documents import API_KEY, Document, Documents
from pacifictool.sandbox.generation4.http import Api4, PageLink, json_response, read_object, text_of
from pacifictool.sandbox.generation4.tokens import TokenIssuer4
from pacifictool.sandbox.http import LOGIN_MEDIA_TYPE, empty_response, read_credentials
from pacifictool.sandbox.refusals import bad_request, forbidden, unauthenticated
from pacifictool.sandbox.store import Store

VERSION = "4.3.1.3"
"""The server that the sandbox follows where 4.3.1 and 4.3.1.3 differ."""
_PASSWORD_POLICY = {
    "minimumLength": 6,
    "maximumLength": 72,
    "minimumUppercaseLetters": None,
    "minimumLowercaseLetters": None,
    "minimumDigits": None,
    "minimumSpecialCharacters": None,
    "allowWhitespaces": True,
    "forceUserToResetPasswordIfNotValid": False,
    "passwordExpirationPeriodDays": None,
    "passwordReuseFrequencyDays": None,
}


class AuthController:
    """Login, tokens, users and API keys."""

    def __init__(self, store: Store, users: Users, tokens: TokenIssuer4, documents: Documents) -> None:
        self._store = store
        self._users = users
        self._tokens = tokens
        self._documents = documents

    def add_routes(self, api: Api4) -> None:
        api.login_routes(self._login, self._refresh)
        api.route(("POST",), "/api/auth/logout", _log_out)
        api.route(("GET",), "/api/auth/user", _current_user)
        api.route(("POST",), "/api/apiKey", self._create_key)
        api.route(("GET",), "/api/apiKeys/{user}", self._keys)
        api.route(("PUT",), "/api/apiKey/{id}/enabled/{enabled}", self._enable_key)
        api.route(("DELETE",), "/api/apiKey/{id}", self._delete_key)
        api.route(("GET",), "/api/system/info", _system_info)
        api.route(("GET",), "/api/system/params", _system_parameters)
        api.route(("GET",), "/api/admin/updates", _updates, ("SYS_ADMIN",))
        api.open_route(("GET",), "/api/noauth/userPasswordPolicy", _password_policy)

    async def _login(self, request: Request) -> Response:
        document = await read_credentials(request)
        name, password = document.get("username"), document.get("password")
        if not (isinstance(name, str) and name and isinstance(password, str) and password):
            raise unauthenticated()
        if self._users.find(name) is None:
            raise unauthenticated("Invalid username or password")
        return json_response(self._tokens.login(self._users.login(name, password)), media_type=LOGIN_MEDIA_TYPE)

    async def _refresh(self, request: Request) -> Response:
        token = (await read_credentials(request)).get("refreshToken")
        if not isinstance(token, str) or not token:
            raise unauthenticated()
        return json_response(self._tokens.renew(token), media_type=LOGIN_MEDIA_TYPE)

    async def _create_key(self, request: Request, user: SandboxUser) -> Response:
        document = await read_object(request)
        description = text_of(document, "description").strip()
        if not description:
            raise bad_request("Validation error: description must not be blank")
        owner = document.get("userId")
        if not isinstance(owner, dict) or owner.get("id") != user.id:
            raise forbidden()
        created, value = self._tokens.create_api_key(
            user, description, is_enabled=document.get("enabled", True) is not False
        )
        self._store.commit()
        shown = _key_document(created)
        return json_response(shown | {"value": value})

    async def _keys(self, request: Request, user: SandboxUser) -> Response:
        keys = [
            key
            for key in self._documents.all(API_KEY, user.tenant)
            if key["userId"]["id"] == request.path_params["user"] == user.id
        ]
        return PageLink.from_request(request).page(
            keys, {"createdTime": "createdTime", "description": "description"}, _key_document, name="description"
        )

    def _key(self, request: Request, user: SandboxUser) -> Document:
        key = self._documents.require(API_KEY, request.path_params["id"], user.tenant)
        if key["userId"]["id"] != user.id:
            raise forbidden()
        return key

    async def _enable_key(self, request: Request, user: SandboxUser) -> Response:
        is_enabled = request.path_params["enabled"] == "true"
        changed = self._documents.change(API_KEY, self._key(request, user), {"enabled": is_enabled})
        self._store.commit()
        return json_response(_key_document(changed))

    async def _delete_key(self, request: Request, user: SandboxUser) -> Response:
        self._documents.delete(API_KEY, self._key(request, user))
        self._store.commit()
        return empty_response()


def _key_document(key: Document) -> Document:
    hidden = ("value", "email", "version")
    return {name: value for name, value in key.items() if name not in hidden} | {"expired": False}


async def _log_out(_request: Request, _user: SandboxUser) -> Response:
    return empty_response()


async def _current_user(_request: Request, user: SandboxUser) -> Response:
    return json_response(user.document() | {"phone": None, "version": 1})


async def _system_info(_request: Request, _user: SandboxUser) -> Response:
    return json_response(
        {"version": VERSION, "artifact": "application", "name": "ThingsBoard Server Application", "type": "CE"}
    )


async def _system_parameters(_request: Request, _user: SandboxUser) -> Response:
    return json_response({"userTokenAccessEnabled": True, "edgesSupportEnabled": False, "tbelEnabled": True})


async def _updates(_request: Request, _user: SandboxUser) -> Response:
    return json_response({"updateAvailable": False, "currentVersion": VERSION})


async def _password_policy(_request: Request) -> Response:
    return json_response(_PASSWORD_POLICY)
