from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from pacifictool.local.launcher import SandboxProcess
from pacifictool.sandbox.server import KEY_FILE
from tests.support.sandbox_clients import Tenant

LOGIN = {"username": "tenant@thingsboard.org", "password": "tenant"}


def post(url: str, path: str, body: Any = None, **options: Any) -> requests.Response:
    return requests.post(url + path, json=body, timeout=60, **options)


def tokens(url: str) -> dict[str, str]:
    response: dict[str, str] = post(url, "/api/auth/login", LOGIN).json()
    return response


def get_user(url: str, header: str) -> requests.Response:
    return requests.get(url + "/api/auth/user", headers={"X-Authorization": header}, timeout=60)


def refusal(response: requests.Response) -> tuple[int, str, int]:
    document = response.json()
    assert list(document) == ["status", "message", "errorCode", "timestamp"]
    assert abs(document["timestamp"] - time.time() * 1000) < 10_000
    assert document["status"] == response.status_code
    return response.status_code, document["message"], document["errorCode"]


def test_login_gives_two_tokens_with_the_platforms_claims(sandbox: SandboxProcess) -> None:
    response = post(sandbox.url, "/api/auth/login", {**LOGIN, "unknown": 1})
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json;charset=ISO-8859-1"
    assert list(response.json()) == ["token", "refreshToken"]
    access = jwt.decode(response.json()["token"], options={"verify_signature": False})
    assert jwt.get_unverified_header(response.json()["token"])["alg"] == "HS512"
    assert access["exp"] - access["iat"] == 900
    assert access["scopes"] == ["TENANT_ADMIN"]
    assert access["customerId"] == "13814000-1dd2-11b2-8080-808080808080"
    assert (access["sub"], access["iss"]) == (LOGIN["username"], "thingsboard.io")
    assert (access["enabled"], access["isPublic"]) == (True, False)
    assert access["tenantId"]
    refresh = jwt.decode(response.json()["refreshToken"], options={"verify_signature": False})
    assert set(refresh) == {"sub", "scopes", "userId", "isPublic", "iss", "jti", "iat", "exp"}
    assert refresh["scopes"] == ["REFRESH_TOKEN"]
    assert refresh["exp"] - refresh["iat"] == 3600


def test_login_reads_any_content_type_but_a_form(sandbox: SandboxProcess) -> None:
    url, body = sandbox.url + "/api/auth/login", json.dumps(LOGIN)
    assert requests.post(url, data=body, timeout=60).status_code == 200
    assert requests.post(url, data=body, headers={"Content-Type": "text/plain"}, timeout=60).status_code == 200
    form = requests.post(url, data=body, headers={"Content-Type": "application/x-www-form-urlencoded"}, timeout=60)
    assert refusal(form) == (401, "Authentication failed", 10)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"username":"tenant@thingsboard.org","password":"wrong"}', "Invalid username or password"),
        ('{"username":"nobody@thingsboard.org","password":"tenant"}', "Authentication failed"),
        ('{"username":"tenant@thingsboard.org"}', "Authentication failed"),
        ('{"username":5,"password":{}}', "Authentication failed"),
        ("{", "Authentication failed"),
        ("[]", "Authentication failed"),
        ("", "Authentication failed"),
    ],
)
def test_refused_logins(sandbox: SandboxProcess, body: str, message: str) -> None:
    assert refusal(requests.post(sandbox.url + "/api/auth/login", data=body, timeout=60)) == (401, message, 10)


def test_login_by_get_is_refused(sandbox: SandboxProcess) -> None:
    response = requests.get(sandbox.url + "/api/auth/login", timeout=60)
    assert refusal(response) == (401, "Authentication method not supported", 10)


def test_only_a_bearer_token_in_x_authorization_counts(sandbox: SandboxProcess) -> None:
    token = tokens(sandbox.url)["token"]
    assert get_user(sandbox.url, f"Bearer {token}").json()["email"] == LOGIN["username"]
    assert get_user(sandbox.url, f"bearer {token}").status_code == 200
    for header in (token, "", "Bearer ", "Basic x"):
        assert refusal(get_user(sandbox.url, header)) == (401, "Authentication failed", 10)
    plain = requests.get(sandbox.url + "/api/auth/user", headers={"Authorization": f"Bearer {token}"}, timeout=60)
    assert refusal(plain) == (401, "Authentication failed", 10)


def test_garbage_and_tampered_tokens_are_refused_like_a_wrong_password(sandbox: SandboxProcess, tmp_path: Path) -> None:
    token = tokens(sandbox.url)["token"]
    head, body, signature = token.split(".")
    claims = jwt.decode(token, options={"verify_signature": False})
    raised = base64.urlsafe_b64encode(json.dumps({**claims, "scopes": ["SYS_ADMIN"]}).encode()).decode().rstrip("=")
    default_key = base64.b64decode("thingsboardDefaultSigningKey")
    tampered = [
        "garbage",
        "a.b.c",
        f"{head}.{raised}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-4]}AAAA",
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode(claims, b"x" * 64, algorithm="HS512"),
        jwt.encode(claims, default_key + b"0" * 44, algorithm="HS512"),
    ]
    for bad in tampered:
        assert refusal(get_user(sandbox.url, f"Bearer {bad}")) == (401, "Invalid username or password", 10)
    with SandboxProcess(tmp_path / "other") as other:
        foreign = tokens(other.url)["token"]
    assert refusal(get_user(sandbox.url, f"Bearer {foreign}")) == (401, "Invalid username or password", 10)


def test_a_token_with_a_valid_signature_and_foreign_claims_is_refused(sandbox: SandboxProcess) -> None:
    key = (sandbox.data_dir / KEY_FILE).read_bytes()
    claims = jwt.decode(tokens(sandbox.url)["token"], options={"verify_signature": False})
    for change in ({"iss": "else"}, {"sub": "nobody"}, {"userId": "another"}):
        bad = jwt.encode({**claims, **change}, key, algorithm="HS512")
        assert refusal(get_user(sandbox.url, f"Bearer {bad}")) == (401, "Invalid username or password", 10)
    other_algorithm = jwt.encode(claims, key, algorithm="HS256")
    assert get_user(sandbox.url, f"Bearer {other_algorithm}").status_code == 401


def test_refresh_returns_another_refresh_token(sandbox: SandboxProcess) -> None:
    refresh = tokens(sandbox.url)["refreshToken"]
    response = post(sandbox.url, "/api/auth/token", {"refreshToken": refresh})
    assert response.status_code == 200
    assert response.json()["refreshToken"] != refresh
    assert get_user(sandbox.url, f"Bearer {response.json()['token']}").status_code == 200


def test_wrong_kinds_of_tokens(sandbox: SandboxProcess) -> None:
    both = tokens(sandbox.url)
    response = get_user(sandbox.url, f"Bearer {both['refreshToken']}")
    assert response.status_code == 500
    assert list(response.json()) == ["timestamp", "status", "error", "exception", "message", "path"]
    assert response.json()["exception"] == "java.lang.NullPointerException"
    assert response.json()["path"] == "/api/auth/user"
    response = post(sandbox.url, "/api/auth/token", {"refreshToken": both["token"]})
    assert (response.status_code, response.json()["message"]) == (500, "Invalid Refresh Token scope")
    assert refusal(post(sandbox.url, "/api/auth/token", {})) == (401, "Authentication failed", 10)
    garbage = post(sandbox.url, "/api/auth/token", {"refreshToken": "garbage"})
    assert refusal(garbage) == (401, "Invalid username or password", 10)


def test_tokens_expire_after_their_configured_life(data_dir: Path) -> None:
    options = ("--access-token-seconds", "1", "--refresh-token-seconds", "1")
    with SandboxProcess(data_dir, options=options) as sandbox:
        both = tokens(sandbox.url)
        time.sleep(2.1)
        assert refusal(get_user(sandbox.url, f"Bearer {both['token']}")) == (401, "Token has expired", 11)
        late = post(sandbox.url, "/api/auth/token", {"refreshToken": both["refreshToken"]})
        assert refusal(late) == (401, "Token has expired", 11)


def test_missing_permissions_are_a_403(sandbox: SandboxProcess) -> None:
    customer = Tenant(sandbox.url, "customer@thingsboard.org", "customer")
    sysadmin = Tenant(sandbox.url, "sysadmin@thingsboard.org", "sysadmin")
    words = (403, "You don't have permission to perform this operation!", 20)
    assert refusal(customer.call("GET", "/api/plugins")) == words
    assert refusal(sysadmin.call("GET", "/api/tenant/devices?limit=1")) == words
    assert refusal(customer.call("POST", "/api/device", {"name": "x", "type": "y"})) == words
    assert {plugin["apiToken"] for plugin in sysadmin.get("/api/plugins")} == {"telemetry", "rpc"}


def test_unknown_paths_and_methods(sandbox: SandboxProcess, tenant: Tenant) -> None:
    response = tenant.call("GET", "/api/nosuch")
    assert response.status_code == 404
    document = response.json()
    assert list(document) == ["timestamp", "status", "error", "message", "path"]
    assert (document["error"], document["message"], document["path"]) == (
        "Not Found",
        "No message available",
        "/api/nosuch",
    )
    assert tenant.call("POST", "/api/auth/logout").status_code == 404
    assert tenant.call("PUT", "/api/device", {}).status_code == 405
    assert requests.get(sandbox.url + "/api/nosuch", timeout=60).status_code == 401
    assert requests.get(sandbox.url + "/", timeout=60).status_code == 404


def test_bodies_have_a_limit(sandbox: SandboxProcess, tenant: Tenant) -> None:
    headers = {"Content-Type": "application/json"}
    response = tenant.call("POST", "/api/device", data=b"[" * (16 * 1024 * 1024 + 1), headers=headers)
    assert response.status_code == 413
    assert tenant.call("POST", "/api/device", data=b"[" * 1_000_000, headers=headers).status_code == 400
