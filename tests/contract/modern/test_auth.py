"""Login, tokens, API keys, and how to recognise the server, on 4.x.

docs/servers/4.x.md#login-and-tokens, docs/servers/4.x.md#api-keys, docs/servers/4.x.md#recognising-the-server.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import requests

from tests.contract.api import UNAUTHENTICATED, Api, refusal
from tests.contract.facts import Facts
from tests.contract.modern.factories import ModernEntityFactory
from tests.contract.versions import OBSERVED_4, ByVersion, Version

BAD_LOGIN = (401, 10, "Invalid username or password")
SECTION = "modern 1"
FIRST_WITH_API_KEYS: Version = (4, 3)


def claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def log_in(api: Api, body: Any, **options: Any) -> requests.Response:
    return api.call("POST", "/api/auth/login", json=body, authorization=None, **options)


def fresh(api: Api) -> dict[str, str]:
    return api.login(api.settings.username, api.settings.require_password().reveal())


def test_tokens_and_their_lives(api: Api, fact: Facts) -> None:
    tokens = fresh(api)
    fact(SECTION, "a login gives two tokens", set(tokens), {"token", "refreshToken"})
    access, refresh = claims(tokens["token"]), claims(tokens["refreshToken"])
    fact(SECTION, "an access token lives 9000 s", access["exp"] - access["iat"], 9000)
    fact(SECTION, "a refresh token lives 7 days", refresh["exp"] - refresh["iat"], 604800)
    expected = {"sub", "userId", "scopes", "sessionId", "exp", "iss", "iat", "enabled", "isPublic"}
    fact(SECTION, "claims", set(access) - {"tenantId", "customerId"}, expected)


@pytest.mark.parametrize("header", ["X-Authorization", "Authorization"])
def test_both_headers_carry_a_token(api: Api, fact: Facts, header: str) -> None:
    response = api.call("GET", "/api/auth/user", authorization=None, headers={header: f"Bearer {api.token}"})
    fact(SECTION, f"{header}: Bearer", response.status_code, 200)


def test_refused_logins(api: Api, fact: Facts) -> None:
    name = api.settings.username
    fact(SECTION, "wrong password", refusal(log_in(api, {"username": name, "password": "wrong"})), BAD_LOGIN)
    unknown = log_in(api, {"username": "nobody@contract.test", "password": "wrong"})
    fact(SECTION, "unknown user", refusal(unknown), BAD_LOGIN)
    empty = log_in(api, {"username": name, "password": ""})
    fact(SECTION, "empty password", refusal(empty), UNAUTHENTICATED)
    malformed = api.call("POST", "/api/auth/login", body="{bad", authorization=None)
    fact(SECTION, "malformed login", refusal(malformed), UNAUTHENTICATED)
    form = api.call(
        "POST",
        "/api/auth/login",
        body="username=a&password=b",
        content_type="application/x-www-form-urlencoded",
        authorization=None,
    )
    fact(SECTION, "a form", refusal(form), UNAUTHENTICATED)
    get = api.call("GET", "/api/auth/login", authorization=None)
    fact(SECTION, "GET login", refusal(get), (401, 10, "Authentication method not supported"))


def test_requests_without_a_good_token(api: Api, fact: Facts) -> None:
    fact(SECTION, "no token", refusal(api.call("GET", "/api/auth/user", authorization=None)), UNAUTHENTICATED)
    garbage = api.call("GET", "/api/auth/user", authorization="Bearer garbage")
    fact(SECTION, "a garbage token", refusal(garbage), BAD_LOGIN)
    refresh = api.call("GET", "/api/auth/user", authorization=f"Bearer {api.tokens['refreshToken']}")
    fact(SECTION, "a refresh token as access token", refusal(refresh)[:2], (500, 2))


@pytest.mark.parametrize(
    ("header", "before_4"),
    [("bearer {token}", 200), ("Basic dGVuYW50OnRlbmFudA==", 401), ("{token}", 401)],
)
def test_other_headers_lead_to_a_login_page(api: Api, fact: Facts, header: str, before_4: int) -> None:
    """On 3.9.1 the first seven characters of the header are not looked at."""
    with requests.Session() as session:
        session.trust_env = False
        sent = {"X-Authorization": header.format(token=api.token)}
        response = session.get(f"{api.settings.url}/api/auth/user", headers=sent, allow_redirects=False, timeout=30)
    expected = ByVersion({"3.9.1": before_4, "4.3.1 to 4.3.1.3": 302})
    fact(SECTION, f"a header {header}", response.status_code, expected)


def test_refreshing(api: Api, fact: Facts) -> None:
    tokens = fresh(api)
    response = api.call("POST", "/api/auth/token", json={"refreshToken": tokens["refreshToken"]}, authorization=None)
    fact(SECTION, "refreshing", response.status_code, 200)
    renewed = response.json()
    is_new = renewed["refreshToken"] != tokens["refreshToken"]
    fact.holds(SECTION, "the refresh token is a new one", is_new, "the same", on=f"2.5.6, {OBSERVED_4}")
    user = api.call("GET", "/api/auth/user", authorization=f"Bearer {renewed['token']}")
    fact(SECTION, "the new access token works", user.status_code, 200)
    garbage = api.call("POST", "/api/auth/token", json={"refreshToken": "garbage"}, authorization=None)
    fact(SECTION, "a garbage refresh token", refusal(garbage), BAD_LOGIN)
    access = api.call("POST", "/api/auth/token", json={"refreshToken": tokens["token"]}, authorization=None)
    text = "Invalid Refresh Token scope"
    by_version = ByVersion({"3.9.1": f"IllegalArgumentException: {text}", "4.3.1 to 4.3.1.3": text})
    fact(SECTION, "an access token in its place", refusal(access)[:2], (500, 2))
    fact(SECTION, "its message", refusal(access)[2], by_version)


def test_logging_out(api: Api, fact: Facts) -> None:
    token = fresh(api)["token"]
    response = api.call("POST", "/api/auth/logout", authorization=f"Bearer {token}")
    fact(SECTION, "logout", (response.status_code, response.content), (200, b""))
    after = api.call("GET", "/api/auth/user", authorization=f"Bearer {token}")
    expected = ByVersion({"3.9.1": 200, "4.3.1": 401, "4.3.1.3": 200})
    fact(SECTION, "a token after its logout", after.status_code, expected)
    fact(SECTION, "other sessions stay", api.call("GET", "/api/auth/user").status_code, 200)


def test_which_server_it_is(api: Api, fact: Facts) -> None:
    information = api.get("/api/system/info")
    numbers = information["version"][0].isdigit()
    fact.holds(SECTION, "system/info names a version", numbers, information)
    fact(SECTION, "its fields", set(information), {"version", "artifact", "name", "type"})
    fact(SECTION, "system/info needs a login", api.call("GET", "/api/system/info", authorization=None).status_code, 401)
    plugins = api.call("GET", "/api/plugins")
    fact(SECTION, "there are no plugins", refusal(plugins), (404, 32, "No static resource api/plugins."))
    policy = api.call("GET", "/api/noauth/userPasswordPolicy", authorization=None)
    fact(SECTION, "the password policy needs no login", policy.status_code, 200)
    fact(SECTION, "updates are the administrator's", api.call("GET", "/api/admin/updates").status_code, 403)


def test_errors_have_the_platforms_shape(api: Api, fact: Facts) -> None:
    unknown = api.call("GET", "/api/nosuch")
    fact(SECTION, "an unknown path", refusal(unknown), (404, 32, "No static resource api/nosuch."))
    fact(SECTION, "without a login", api.call("GET", "/api/nosuch", authorization=None).status_code, 401)
    method = api.call("DELETE", "/api/device")
    fact(SECTION, "a wrong method", refusal(method), (405, 31, "Request method 'DELETE' is not supported"))
    malformed = refusal(api.call("POST", "/api/device", body="{bad"))
    fact(SECTION, "malformed JSON", malformed[:2], (500, 2))
    fact.holds(SECTION, "its message", malformed[2].startswith("JSON parse error: "), malformed[2])
    text = refusal(api.call("POST", "/api/device", body="{}", content_type="text/plain"))
    fact(SECTION, "a wrong media type", text[:2], (500, 2))
    fact.holds(SECTION, "its message", text[2].startswith("Content-Type 'text/plain"), text[2])


def test_api_keys(api: Api, factory: ModernEntityFactory, version: Version, fact: Facts) -> None:
    user = api.user["id"]
    if version < FIRST_WITH_API_KEYS:
        call = api.call("POST", "/api/apiKey", json={"userId": user, "description": "key", "enabled": True})
        fact(SECTION, "there are no API keys", refusal(call)[:2], (404, 32))
        key = api.call("GET", "/api/auth/user", authorization="ApiKey tb_nosuch")
        fact(SECTION, "a key is taken for a bad token", refusal(key), BAD_LOGIN)
        return
    blank = api.call("POST", "/api/apiKey", json={"userId": user, "description": "", "enabled": True})
    fact(SECTION, "a key needs a description", blank.status_code, 400)
    body = {"userId": user, "description": factory.name("key"), "enabled": True}
    created = api.call("POST", "/api/apiKey", json=body).json()
    path = f"/api/apiKey/{created['id']['id']}"
    try:
        value = created["value"]
        fact.holds(SECTION, "its value", value.startswith("tb_"), value[:3])
        for header in ("X-Authorization", "Authorization"):
            sent = {header: f"ApiKey {value}"}
            response = api.call("GET", "/api/auth/user", authorization=None, headers=sent)
            fact(SECTION, f"{header}: ApiKey", response.status_code, 200)
        bearer = api.call("GET", "/api/auth/user", authorization=f"Bearer {value}")
        fact(SECTION, "a key as a token", refusal(bearer), BAD_LOGIN)
        unknown = api.call("GET", "/api/auth/user", authorization="ApiKey tb_nosuch")
        fact(SECTION, "an unknown key", refusal(unknown), BAD_LOGIN)
        keys = api.get(f"/api/apiKeys/{user['id']}", pageSize=100, page=0)["data"]
        shown = next(key for key in keys if key["id"] == created["id"])
        fact(SECTION, "the value is not shown again", shown.get("value"), None)
        api.call("PUT", f"{path}/enabled/false")
        disabled = api.call("GET", "/api/auth/user", authorization=f"ApiKey {value}")
        fact(SECTION, "a disabled key", refusal(disabled), (401, 10, "User account is not active"))
    finally:
        deleted = api.call("DELETE", path)
    fact(SECTION, "deleting it", deleted.status_code, 200)
    after = api.call("GET", "/api/auth/user", authorization=f"ApiKey {value}")
    fact(SECTION, "a deleted key", refusal(after), BAD_LOGIN)
