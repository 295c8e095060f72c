"""Tokens of 4.x: longer lives, rotated refresh tokens, and API keys."""

from __future__ import annotations

import secrets
import uuid

from pacifictool.sandbox.auth import SandboxUser, TokenIssuer, Users
from pacifictool.sandbox.generation4.documents import API_KEY, Document, Documents
from pacifictool.sandbox.generation4.refusals import general
from pacifictool.sandbox.refusals import FrameworkRefusal, unauthenticated

ACCESS_SECONDS, REFRESH_SECONDS = 9000, 604_800


class TokenIssuer4(TokenIssuer):
    """Every access token names a session, which lives as long as the token: a logout does not end it
    (docs/servers/4.x.md#login-and-tokens, row 9)."""

    def __init__(
        self,
        key: bytes,
        users: Users,
        documents: Documents,
        access_seconds: float,
        refresh_seconds: float,
    ) -> None:
        super().__init__(key, users, access_seconds, refresh_seconds)
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
            return super().authenticate(token)
        except FrameworkRefusal:
            raise general("Invalid access token scope") from None

    def user_of_refresh_token(self, token: str) -> SandboxUser:
        try:
            return super().user_of_refresh_token(token)
        except FrameworkRefusal as error:
            raise general(error.message) from None

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
