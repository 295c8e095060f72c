"""Creating something exactly once, although the connection may break after the request was sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from pacifictool.errors import AlreadyExists
from pacifictool.rest.retry import outcome_unknown
from pacifictool.rest.session import Session

CLOCK_TOLERANCE_MS = 1000
"""For the drift of two clocks since the last login (see `Session.server_time_ms`)."""


class Created(Protocol):
    """Anything with a time of creation."""

    @property
    def created_time(self) -> int: ...


Thing = TypeVar("Thing", bound=Created)


def create_once(
    session: Session,
    path: str,
    document: dict[str, Any],
    parse: Callable[[Any], Thing],
    find: Callable[[], Thing | None],
) -> Thing:
    """POSTs `document`; before repeating an attempt with an unknown outcome, looks whether it had succeeded.

    `find` looks up the thing by what makes it unique, and returns None also for one that differs from `document`.
    What it finds is ours when it is not older than our first attempt. Raises AlreadyExists for one that was there
    before, and the other subclasses of PlatformError.
    """
    session.log_in()
    began = session.server_time_ms() - CLOCK_TOLERANCE_MS

    def adopt() -> Thing | None:
        found = find()
        return found if found is not None and found.created_time >= began else None

    def attempt(number: int) -> Thing:
        if number > 1 and (ours := adopt()) is not None:
            return ours
        try:
            return parse(session.request("POST", path, json=document, repeatable=False, expect=dict))
        except AlreadyExists:
            # The attempt before may have been carried out after we had looked.
            if number > 1 and (ours := adopt()) is not None:
                return ours
            raise

    return session.retrier.run(attempt, outcome_unknown)
