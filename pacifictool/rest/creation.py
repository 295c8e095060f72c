"""Creating something exactly once, although the connection may break after the request was sent."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from pacifictool.errors import AlreadyExists, NameChanged
from pacifictool.rest.http import Session

CLOCK_TOLERANCE_MS = 1000
"""For the drift of two clocks since the last login (see `Session.server_time_ms`)."""


_NAMES = ("name", "title", "apiToken", "pluginToken")
"""Fields by which things are found again."""


class Created(Protocol):
    """Anything with an id and a time of creation."""

    @property
    def id(self) -> str: ...

    @property
    def created_time(self) -> int: ...

    @property
    def raw(self) -> Mapping[str, Any]: ...


Resource = TypeVar("Resource", bound=Created)


def create_idempotently(
    session: Session,
    path: str,
    document: dict[str, Any],
    parse: Callable[[Any], Resource],
    find: Callable[[], Resource | None],
) -> Resource:
    """POSTs `document`; before repeating an attempt with an unknown outcome, looks whether it had succeeded.

    `find` looks up the resource by what makes it unique, and returns None also for one that differs from `document`.
    What it finds is ours when it is not older than our first attempt. Raises AlreadyExists for one that was there
    before, NameChanged when the server keeps another name, and the other subclasses of PlatformError.
    """
    session.log_in()
    began = session.server_time_ms() - CLOCK_TOLERANCE_MS
    is_repeated = False

    def find_ours() -> dict[str, Any] | None:
        nonlocal is_repeated
        is_repeated = True
        found = find()
        return dict(found.raw) if found is not None and found.created_time >= began else None

    try:
        response = session.request("POST", path, json=document, expect=dict, find_result=find_ours)
    except AlreadyExists:
        # An earlier attempt may have been processed after the lookup.
        if is_repeated and (ours := find_ours()) is not None:
            return parse(ours)
        raise
    created = parse(response)
    origin = "created just now" if created.created_time >= began else "there before"
    check_names(session, document, response, created.id, origin)
    return created


def name_changed(session: Session, wanted: str, kept: str, identifier: str, origin: str) -> NameChanged:
    """The error for a server that keeps the name `kept` instead of `wanted`; `origin` says where that is from."""
    # Two spellings of one text look alike.
    look_alike = unicodedata.normalize("NFC", wanted) == unicodedata.normalize("NFC", kept)
    show = ascii if look_alike else repr
    return NameChanged(
        f"The server at {session.url} keeps the name {show(wanted)} as {show(kept)} (id {identifier}, {origin}): two "
        "names could come to mean one thing.",
        hint="Use a name that the server keeps as it is: without spaces at its ends, in one case, with composed "
        "characters. What has that id is left as it is; delete it if nobody needs it.",
        id=identifier,
    )


def check_names(
    session: Session, sent: Mapping[str, Any], response: Mapping[str, Any], identifier: str, origin: str
) -> None:
    """Raises NameChanged when the server keeps a name of what was sent otherwise; `origin` as for `name_changed`.

    A type is the name of a profile on later generations. Some servers put their default profile in its place, which is
    another matter: only a type that is spelled otherwise counts.

    Nothing is deleted: an earlier attempt whose outcome is unknown, somebody else, or a server that takes the new for
    what it has already may have a share in it, and no time of creation rules that out.
    """
    for field in (*_NAMES, "type"):
        wanted, kept = sent.get(field), response.get(field)
        if not isinstance(wanted, str) or not isinstance(kept, str) or wanted == kept:
            continue
        if field != "type" or _without_spelling(wanted) == _without_spelling(kept):
            raise name_changed(session, wanted, kept, identifier, origin)


def _without_spelling(text: str) -> str:
    return unicodedata.normalize("NFKC", " ".join(text.split())).casefold()
