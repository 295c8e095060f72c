"""Users and their JSON Web Tokens (docs/servers/1.x.md#login-and-tokens).

Every sandbox generates a signing key and keeps it in its data folder; its tokens are not valid at other sandboxes.
"""

from __future__ import annotations

import os
import secrets
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from pacifictool.sandbox.ids import NULL_UUID, IdFactory, created_ms
from pacifictool.sandbox.refusals import TOKEN_EXPIRED, FrameworkRefusal, unauthenticated
from pacifictool.sandbox.store import Store

ACCESS_SECONDS = 900
REFRESH_SECONDS = 3600
_ISSUER = "thingsboard.io"
_REFRESH_SCOPE = "REFRESH_TOKEN"


@dataclass(frozen=True, slots=True)
class SandboxUser:
    """The authenticated user. `authority` is SYS_ADMIN, TENANT_ADMIN or CUSTOMER_USER."""

    id: str
    email: str
    authority: str
    tenant: str
    customer: str

    def may_see(self, tenant: str, customer: str) -> bool:
        """Whether an entity of this tenant and customer is the user's."""
        return tenant == self.tenant and (self.authority != "CUSTOMER_USER" or customer == self.customer)

    def document(self) -> dict[str, Any]:
        """`GET /api/auth/user`."""
        return {
            "id": {"entityType": "USER", "id": self.id},
            "createdTime": created_ms(uuid.UUID(self.id)),
            "additionalInfo": None,
            "tenantId": {"entityType": "TENANT", "id": self.tenant},
            "customerId": {"entityType": "CUSTOMER", "id": self.customer},
            "email": self.email,
            "authority": self.authority,
            "firstName": None,
            "lastName": None,
            "name": self.email,
        }


class Users:
    """The published demo users. Their passwords are public; the sandbox has no other users."""

    def __init__(self, store: Store, ids: IdFactory) -> None:
        def remembered(name: str) -> str:
            known = store.meta(name)
            if known is None:
                known = str(ids.new())
                store.set_meta(name, known)
            return known

        self.tenant = remembered("tenant")
        self.customer = remembered("customer")
        self._passwords: dict[str, str] = {}
        self._users: dict[str, SandboxUser] = {}
        for email, password, authority, tenant, customer in (
            ("sysadmin@thingsboard.org", "sysadmin", "SYS_ADMIN", NULL_UUID, NULL_UUID),
            ("tenant@thingsboard.org", "tenant", "TENANT_ADMIN", self.tenant, NULL_UUID),
            ("customer@thingsboard.org", "customer", "CUSTOMER_USER", self.tenant, self.customer),
        ):
            self._users[email] = SandboxUser(remembered(email), email, authority, tenant, customer)
            self._passwords[email] = password

    def all(self) -> list[SandboxUser]:
        return list(self._users.values())

    def find(self, email: str) -> SandboxUser | None:
        return self._users.get(email)

    def login(self, email: object, password: object) -> SandboxUser:
        """Raises a 401 refusal: "Invalid username or password" for a wrong password, else "Authentication failed"."""
        user = self._users.get(email) if isinstance(email, str) else None
        if user is None or not isinstance(password, str) or not password:
            raise unauthenticated()
        if not secrets.compare_digest(password.encode(), self._passwords[user.email].encode()):
            raise unauthenticated("Invalid username or password")
        return user


def load_signing_key(path: Path) -> bytes:
    """Reads the key, or creates it: 64 random bytes in a file that only the owner can read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        key = secrets.token_bytes(64)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
        return key


class TokenIssuer:
    """Issues and verifies access and refresh tokens (HS512)."""

    def __init__(self, key: bytes, users: Users, access_seconds: float, refresh_seconds: float) -> None:
        self._key = key
        self.users = users
        self._access_seconds = access_seconds
        self._refresh_seconds = refresh_seconds

    def access(self, user: SandboxUser, *, session: str | None = None) -> str:
        """`session` goes into the token as `sessionId`, for generations that have sessions."""
        return self._sign(
            _session_claim(session)
            | {
                "sub": user.email,
                "scopes": [user.authority],
                "userId": user.id,
                "enabled": True,
                "isPublic": False,
                "tenantId": user.tenant,
                "customerId": user.customer,
            },
            self._access_seconds,
        )

    def refresh(self, user: SandboxUser, *, session: str | None = None) -> str:
        claims = _session_claim(session) | {
            "sub": user.email,
            "scopes": [_REFRESH_SCOPE],
            "userId": user.id,
            "isPublic": False,
        }
        return self._sign(claims | {"jti": str(uuid.uuid4())}, self._refresh_seconds)

    def _sign(self, claims: dict[str, Any], seconds: float) -> str:
        now = int(time.time())
        claims = claims | {"iss": _ISSUER, "iat": now, "exp": now + max(1, round(seconds))}
        return jwt.encode(claims, self._key, algorithm="HS512")

    def authenticate(self, token: str) -> SandboxUser:
        """The user of an access token.

        Raises refusals: 401 for a garbage, tampered or expired token; 500 for a refresh token
        (docs/servers/1.x.md#login-and-tokens, row 11).
        """
        claims, user = self.claims(token)
        if claims.get("scopes") == [_REFRESH_SCOPE]:
            # A null pointer exception on a real server, which is easier to notice than a 401
            # (docs/servers/1.x.md#login-and-tokens, row 11).
            raise FrameworkRefusal(500, "No message available", "java.lang.NullPointerException")
        return user

    def user_of_refresh_token(self, token: str) -> SandboxUser:
        """The user of a refresh token. Raises refusals: 401, or 500 for an access token
        (docs/servers/1.x.md#login-and-tokens, row 11)."""
        claims, user = self.claims(token)
        if claims.get("scopes") != [_REFRESH_SCOPE]:
            raise FrameworkRefusal(500, "Invalid Refresh Token scope", "java.lang.IllegalArgumentException")
        return user

    def claims(self, token: str) -> tuple[dict[str, Any], SandboxUser]:
        """The claims of a token of either kind, and its user. Raises 401 refusals."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token, self._key, algorithms=["HS512"], issuer=_ISSUER, options={"require": ["exp", "iat", "sub"]}
            )
        except jwt.ExpiredSignatureError:
            raise unauthenticated("Token has expired", TOKEN_EXPIRED) from None
        except jwt.InvalidTokenError:
            raise unauthenticated("Invalid username or password") from None
        user = self.users.find(claims["sub"])
        if user is None or claims.get("userId") != user.id:
            raise unauthenticated("Invalid username or password")
        return claims, user


def _session_claim(session: str | None) -> dict[str, Any]:
    return {} if session is None else {"sessionId": session}
