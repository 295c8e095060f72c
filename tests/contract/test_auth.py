"""Logging in, tokens, and how the server refuses: docs/servers/1.x.md#login-and-tokens, docs/servers/1.x.md#errors."""

from __future__ import annotations

import dataclasses
from typing import Any

import jwt
import pytest

from pacifictool.errors import AuthenticationFailed, NotFound, PermissionDenied
from pacifictool.rest import NO_RETRY, Platform
from pacifictool.settings import Secret
from tests.contract.api import NOBODY, NULL_ID, UNAUTHENTICATED, Api, framework_error, refusal
from tests.contract.facts import Facts
from tests.contract.server import Server

WRONG = (401, 10, "Invalid username or password")
FORBIDDEN = (403, 20, "You don't have permission to perform this operation!")


def credentials(api: Api, **changes: Any) -> dict[str, Any]:
    settings = api.settings
    return {"username": settings.username, "password": settings.require_password().reveal()} | changes


def claims(token: str) -> dict[str, Any]:
    decoded: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return decoded


def test_login_gives_two_tokens(api: Api, fact: Facts) -> None:
    response = api.call("POST", "/api/auth/login", json=credentials(api), authorization=None)
    fact("1", "login returns 200", response.status_code, 200)
    media_type = response.headers["Content-Type"].replace(" ", "")
    fact("1", "login names a character set of its own", media_type, "application/json;charset=ISO-8859-1")
    fact("1", "login gives exactly two keys", set(response.json()), {"token", "refreshToken"})
    fact("1", "no cookie is involved", len(response.cookies), 0)
    for name in ("token", "refreshToken"):
        fact("1", f"{name} is signed with HS512", jwt.get_unverified_header(response.json()[name])["alg"], "HS512")


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", None])
def test_login_takes_json_under_any_name(api: Api, fact: Facts, content_type: str | None) -> None:
    body = credentials(api, nosuch=1)
    response = api.call("POST", "/api/auth/login", json=body, content_type=content_type, authorization=None)
    fact("1", f"login with Content-Type {content_type} and an unknown key", response.status_code, 200)


def test_login_refuses_what_curl_sends_by_default(api: Api, fact: Facts) -> None:
    response = api.call(
        "POST",
        "/api/auth/login",
        json=credentials(api),
        content_type="application/x-www-form-urlencoded",
        authorization=None,
    )
    fact("1", "a form-urlencoded login loses its body", refusal(response), UNAUTHENTICATED)


def test_claims_of_the_access_token(api: Api, fact: Facts) -> None:
    found = claims(api.token)
    names = {"sub", "scopes", "userId", "enabled", "isPublic", "tenantId", "customerId", "iss", "iat", "exp"}
    user = api.user
    fact("1", "claims of the access token", set(found), names)
    fact("1", "the subject is the user name", found["sub"], api.settings.username)
    fact("1", "the scope is the authority", found["scopes"], ["TENANT_ADMIN"])
    fact("1", "the access token lives for 15 minutes", found["exp"] - found["iat"], 900)
    fact("1", "the issuer", found["iss"], "thingsboard.io")
    fact("1", "a user is enabled and not public", (found["enabled"], found["isPublic"]), (True, False))
    fact("1", "a tenant's user has the null customer", found["customerId"], NULL_ID)
    fact("1", "tenantId is the user's tenant", found["tenantId"], user["tenantId"]["id"])
    fact("1", "userId is the user's id", found["userId"], user["id"]["id"])


def test_claims_of_the_refresh_token(api: Api, fact: Facts) -> None:
    found = claims(api.tokens["refreshToken"])
    names = {"sub", "scopes", "userId", "isPublic", "iss", "jti", "iat", "exp"}
    fact("1", "claims of the refresh token", set(found), names)
    fact("1", "the scope of the refresh token", found["scopes"], ["REFRESH_TOKEN"])
    fact("1", "the refresh token lives for an hour", found["exp"] - found["iat"], 3600)


@pytest.mark.parametrize(
    ("what", "changes", "expected"),
    [
        ("a wrong password", {"password": "wrong"}, WRONG),
        ("an unknown user", {"username": "nobody@example.org"}, UNAUTHENTICATED),
        ("no password", {"password": None}, UNAUTHENTICATED),
    ],
)
def test_login_refused(
    api: Api, fact: Facts, what: str, changes: dict[str, Any], expected: tuple[int, int, str]
) -> None:
    body = {key: value for key, value in credentials(api, **changes).items() if value is not None}
    response = api.call("POST", "/api/auth/login", json=body, authorization=None)
    fact("1", f"login with {what}", refusal(response), expected)


@pytest.mark.parametrize("body", ['{"username":', ""])
def test_login_without_json(api: Api, fact: Facts, body: str) -> None:
    response = api.call("POST", "/api/auth/login", body=body, authorization=None)
    fact("1", f"login with the body {body!r}", refusal(response), UNAUTHENTICATED)


def test_login_by_get(api: Api, fact: Facts) -> None:
    response = api.call("GET", "/api/auth/login", authorization=None)
    fact("1", "GET /api/auth/login", refusal(response), (401, 10, "Authentication method not supported"))


def test_the_word_bearer_matters_but_not_its_case(api: Api, fact: Facts) -> None:
    lower = api.call("GET", "/api/auth/user", authorization=f"bearer {api.token}")
    fact("1", "bearer in lower case is accepted", lower.status_code, 200)
    without = api.call("GET", "/api/auth/user", authorization=api.token)
    fact("1", "a token without the word is refused", refusal(without)[0], 401)
    plain_header = api.call(
        "GET", "/api/auth/user", authorization=None, headers={"Authorization": f"Bearer {api.token}"}
    )
    fact("1", "the plain Authorization header is ignored", refusal(plain_header), UNAUTHENTICATED)
    fact("1", "no token", refusal(api.call("GET", "/api/plugins", authorization=None)), UNAUTHENTICATED)


def tampered(token: str) -> str:
    head, signature = token.rsplit(".", 1)
    middle = len(signature) // 2
    other = "A" if signature[middle] != "A" else "B"
    return f"{head}.{signature[:middle]}{other}{signature[middle + 1 :]}"


def test_bad_tokens_look_like_a_wrong_password(api: Api, fact: Facts) -> None:
    garbage = api.call("GET", "/api/plugins", authorization="Bearer garbage")
    fact("1", "a garbage token", refusal(garbage), WRONG)
    forged = api.call("GET", "/api/plugins", authorization=f"Bearer {tampered(api.token)}")
    fact("1", "a bad signature", refusal(forged), WRONG)


def test_error_documents_carry_the_time_in_ms(api: Api, fact: Facts) -> None:
    timestamp = api.call("GET", "/api/plugins", authorization=None).json()["timestamp"]
    fact.holds("1", "timestamp is in ms since the epoch", 1_400_000_000_000 < timestamp < 10_000_000_000_000, timestamp)


def test_a_refresh_token_is_no_access_token(api: Api, fact: Facts) -> None:
    response = api.call("GET", "/api/auth/user", authorization=f"Bearer {api.tokens['refreshToken']}")
    expected = (500, "Internal Server Error", "NullPointerException")
    fact("1", "a refresh token used as access token", framework_error(response), expected)
    fact("1", "the framework's error names the path", response.json()["path"], "/api/auth/user")
    exception = response.json()["exception"]
    fact("1", "the exception is given with its package", exception, "java.lang.NullPointerException")


def test_refreshing(api: Api, fact: Facts) -> None:
    refresh_token = api.tokens["refreshToken"]
    for authorization in (None, ""):
        response = api.call(
            "POST", "/api/auth/token", json={"refreshToken": refresh_token}, authorization=authorization
        )
        how = "without" if authorization is None else "with"
        fact("1", f"refreshing {how} an access token", response.status_code, 200)
        is_new = response.json()["refreshToken"] != refresh_token
        fact.holds("1", "the refresh token is a new one, and the old one still works", is_new, "the same")
        used = api.call("GET", "/api/auth/user", authorization=f"Bearer {response.json()['token']}")
        fact("1", "the new access token works", used.status_code, 200)


def test_refreshing_refused(api: Api, fact: Facts) -> None:
    def refresh(document: dict[str, Any]) -> Any:
        return api.call("POST", "/api/auth/token", json=document, authorization=None)

    fact("1", "a garbage refresh token", refusal(refresh({"refreshToken": "garbage"})), WRONG)
    fact("1", "no refresh token", refusal(refresh({})), UNAUTHENTICATED)
    swapped = refresh({"refreshToken": api.token})
    expected = (500, "Internal Server Error", "IllegalArgumentException")
    fact("1", "an access token as refresh token", framework_error(swapped), expected)
    fact("1", "an access token as refresh token: why", swapped.json()["message"], "Invalid Refresh Token scope")


def test_there_is_no_logout(api: Api, fact: Facts) -> None:
    fact("1", "POST /api/auth/logout", api.call("POST", "/api/auth/logout").status_code, 404)
    fact("1", "the token is as good as before", api.call("GET", "/api/auth/user").status_code, 200)


@pytest.mark.parametrize(("user", "path"), [("customer", "/api/plugins"), ("sysadmin", "/api/tenant/devices?limit=1")])
def test_the_wrong_authority(api: Api, fact: Facts, user: str, path: str) -> None:
    tokens = api.login(f"{user}@thingsboard.org", user)
    response = api.call("GET", path, authorization=f"Bearer {tokens['token']}")
    fact("1", f"{user} asks for {path}", refusal(response), FORBIDDEN)


def test_an_unknown_path(api: Api, fact: Facts) -> None:
    response = api.call("GET", "/api/nosuch")
    fact("1", "an unknown path has the framework's error shape", framework_error(response), (404, "Not Found", None))
    found = (response.json()["message"], response.json()["path"])
    fact("1", "an unknown path: message and path", found, ("No message available", "/api/nosuch"))


def test_the_rest_client_logs_in(platform: Platform, api: Api, fact: Facts) -> None:
    user = platform.whoami()
    fact("1", "the client knows who it is", str(user.id), api.user["id"]["id"])
    fact("2", "the client recognises the generation", platform.generation(), "1.x")
    with pytest.raises(NotFound) as refused:
        platform.devices.get(NOBODY)
    fact("3", "the client translates 404", refused.value.status, 404)


def test_the_rest_client_translates_refusals(server: Server, fact: Facts) -> None:
    wrong = dataclasses.replace(server.settings, password=Secret("wrong"))
    with Platform.connect(wrong, retry=NO_RETRY) as platform, pytest.raises(AuthenticationFailed) as refused:
        platform.whoami()
    fact("1", "the client translates a wrong password", refused.value.status, 401)
    customer = dataclasses.replace(server.settings, username="customer@thingsboard.org", password=Secret("customer"))
    with Platform.connect(customer, retry=NO_RETRY) as platform, pytest.raises(PermissionDenied) as denied:
        platform.generation()
    fact("1", "the client translates 403", denied.value.status, 403)
