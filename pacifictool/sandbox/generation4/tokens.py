"""Tokens of 4.x: longer lives, rotated refresh tokens, an effective logout, and API keys."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

from pacifictool.sandbox.auth import SandboxUser, TokenIssuer, Users
from pacifictool.sandbox.generation4.documents import API_KEY, Document, Documents
from pacifictool.sandbox.generation4.refusals import general
from pacifictool.sandbox.refusals import TOKEN_EXPIRED, FrameworkRefusal, unauthenticated
from pacifictool.sandbox.store import Store

ACCESS_SECONDS, REFRESH_SECONDS = 9000, 604_800
_LOGGED_OUT = "logged out:"


class TokenIssuer4(TokenIssuer):
    """Every access token belongs to a session, which a logout ends."""

    def __init__(
        self,
        key: bytes,
        users: Users,
        store: Store,
        documents: Documents,
        access_seconds: float,
        refresh_seconds: float,
    ) -> None:
        super().__init__(key, users, access_seconds, refresh_seconds)
        self._store = store
        self._documents = documents

    def login(self, user: SandboxUser) -> dict[str, str]:
        """Both tokens of a new session."""
        session = str(uuid.uuid4())
        return {"token": self.access(user, session=session), "refreshToken": self.refresh(user, session=session)}

    def renew(self, refresh_token: str) -> dict[str, str]:
        """A new pair of tokens for a refresh token. Raises refusals."""
        return self.login(self.user_of_refresh_token(refresh_token))

    def authenticate(self, token: str) -> SandboxUser:
        try:
            user = super().authenticate(token)
        except FrameworkRefusal:
            raise general("Invalid access token scope") from None
        self._check_session(self.claims(token)[0])
        return user

    def user_of_refresh_token(self, token: str) -> SandboxUser:
        try:
            user = super().user_of_refresh_token(token)
        except FrameworkRefusal as error:
            raise general(error.message) from None
        self._check_session(self.claims(token)[0])
        return user

    def log_out(self, token: str) -> None:
        """Ends the session of an access token. Raises refusals."""
        session = self.claims(token)[0].get("sessionId")
        self._store.set_meta(f"{_LOGGED_OUT}{session}", "1")

    def _check_session(self, claims: dict[str, Any]) -> None:
        if self._store.meta(f"{_LOGGED_OUT}{claims.get('sessionId')}") is not None:
            raise unauthenticated("Token has expired", TOKEN_EXPIRED)

    def create_api_key(self, user: SandboxUser, description: str, *, is_enabled: bool) -> tuple[Document, str]:
        """A new key: its document, and its value, which is shown only once."""
        value = f"tb_{secrets.token_urlsafe(48)}"
        content = {
            "userId": {"entityType": "USER", "id": user.id},
            "expirationTime": 0,
            "description": description,
            "enabled": is_enabled,
            "value": value,
            "email": user.email,
        }
        return self._documents.create(API_KEY, user.tenant, content), value

    def user_of_api_key(self, value: str) -> SandboxUser:
        """Raises 401 refusals."""
        for user in self.users.all():
            key = self._documents.find_by_name(API_KEY, user.tenant, value, "value")
            if key is not None:
                if not key["enabled"]:
                    raise unauthenticated("User account is not active")
                owner = self.users.find(key["email"])
                assert owner is not None
                return owner
        raise unauthenticated("Invalid username or password")
