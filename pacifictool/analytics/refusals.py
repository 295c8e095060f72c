"""Which failures of the platform no repetition fixes."""

from __future__ import annotations

from pacifictool.errors import AlreadyExists, InvalidRequest, PacificToolError


def is_refusal(error: PacificToolError) -> bool:
    """Whether the platform found fault with what it was sent.

    Other responses of the 4xx kind (408 and 425 of a proxy, 409, 413) and any to a login say nothing about that.
    AlreadyExists: a database that takes two names for one; the other one is not ours to write to.
    """
    if not isinstance(error, InvalidRequest | AlreadyExists) or error.during_login:
        return False
    # None: it cannot be sent at all; 500: too long for its column (docs/servers/1.x.md#devices, row 4).
    return error.status in (None, 400, 500)
