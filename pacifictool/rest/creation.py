"""Creating something exactly once, although the connection may break after the request was sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from pacifictool.errors import AlreadyExists
from pacifictool.rest.http import Session

CLOCK_TOLERANCE_MS = 1000
"""For the drift of two clocks since the last login (see `Session.server_time_ms`)."""


class Created(Protocol):
    """Anything with a time of creation."""

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
    before, and the other subclasses of PlatformError.
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
        return parse(session.request("POST", path, json=document, expect=dict, find_result=find_ours))
    except AlreadyExists:
        # An earlier attempt may have been carried out after the look-up.
        if is_repeated and (ours := find_ours()) is not None:
            return parse(ours)
        raise
