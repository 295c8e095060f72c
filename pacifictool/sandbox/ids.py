"""Identifiers: version-1 UUIDs that grow strictly, so that sorting by their time is sorting by creation."""

from __future__ import annotations

import secrets
import time
import uuid

NULL_UUID = "13814000-1dd2-11b2-8080-808080808080"
"""What the platform writes for "no customer" and for the tenant of system plugins."""

_EPOCH_OFFSET = 0x01B21DD213814000
"""100-ns intervals between 1582-10-15 (version 1) and 1970-01-01."""


class IdFactory:
    """Creates UUIDs whose time strictly increases within one process, even if the clock is set back.

    `after` is the `uuid_time` of the newest stored identifier: a restart with a clock that was set back still sorts.
    """

    def __init__(self, after: int = 0) -> None:
        self._last = after
        self._node = secrets.randbits(48) | 0x010000000000
        self._sequence = secrets.randbits(14)

    def new(self) -> uuid.UUID:
        self._last = max(time.time_ns() // 100 + _EPOCH_OFFSET, self._last + 1)
        timestamp = self._last
        return uuid.UUID(
            fields=(
                timestamp & 0xFFFFFFFF,
                timestamp >> 32 & 0xFFFF,
                (timestamp >> 48 & 0x0FFF) | 0x1000,
                self._sequence >> 8 | 0x80,
                self._sequence & 0xFF,
                self._node,
            )
        )


def uuid_time(value: uuid.UUID) -> int:
    """The creation order: the 60-bit time of a version-1 UUID in 100-ns intervals."""
    return value.time


def created_ms(value: uuid.UUID) -> int:
    """`createdTime` of an entity: milliseconds since 1970, as the platform derives them from the identifier."""
    return (value.time - _EPOCH_OFFSET) // 10_000


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def parse_uuid(text: str) -> uuid.UUID:
    """Reads a UUID as Java does; raises ValueError with the platform's own words."""
    if len(text) != 36 or text.count("-") != 4:
        raise ValueError(f"Invalid UUID string: {text}")
    try:
        return uuid.UUID(text)
    except ValueError:
        raise ValueError(f"Invalid UUID string: {text}") from None


def uuid_of_time(timestamp: int) -> uuid.UUID:
    """A UUID with the given `uuid_time`, for rows that store only that."""
    return uuid.UUID(fields=(timestamp & 0xFFFFFFFF, timestamp >> 32 & 0xFFFF, timestamp >> 48 | 0x1000, 0x80, 0, 0))
