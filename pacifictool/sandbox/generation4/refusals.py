"""Refusals of 4.x. Nearly all have the platform's own shape."""

from __future__ import annotations

from pacifictool.sandbox.refusals import NOT_FOUND, PlatformRefusal, Refusal

TOO_MANY_REQUESTS, VERSION_CONFLICT, ENTITY_LIMIT, DATABASE = 33, 35, 41, 46
"""errorCodes that 1.x does not have."""


class LoginRedirect(Refusal):
    """The response to an authorization header of an unknown kind: a redirect to the login page."""

    def __init__(self) -> None:
        super().__init__(302, "")


class LimitReached(PlatformRefusal):
    """The tenant's limit of entities of a kind is reached."""

    def __init__(self, kind: str, limit: int) -> None:
        super().__init__(403, f"{kind.capitalize()}s limit reached", ENTITY_LIMIT)
        self.kind = kind
        self.limit = limit


def words(kind: str) -> str:
    """ "RULE_CHAIN" as in messages: "Rule chain"."""
    return kind.replace("_", " ").capitalize()


def not_found(kind: str, identifier: str) -> PlatformRefusal:
    return PlatformRefusal(404, f"{words(kind)} with id [{identifier}] is not found", NOT_FOUND)


def stale(kind: str) -> PlatformRefusal:
    return PlatformRefusal(409, f"{words(kind)} was already changed by someone else", VERSION_CONFLICT)


def general(message: str) -> PlatformRefusal:
    """Status 500, which the server also uses for many client errors."""
    return PlatformRefusal(500, message, 2)
