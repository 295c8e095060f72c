"""Why a platform disconnects a device again and again: MQTT 3.1.1 gives no reason, but the pattern shows the cause.

On 4.x a second session with the same access token ends the first, so that two simulators disconnect each other for ever
(docs/servers/4.x.md#mqtt, row 4); and a device that exceeds a rate limit of its tenant's profile is disconnected at the
first message beyond it (docs/servers/4.x.md#limits, row 2). Servers from 2.0 on are assumed to do the same.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

SESSIONS_NEEDED: Final = 4
"""How many sessions in a row must have ended early before a cause is named."""

_SHORT_SECONDS: Final = 10.0
"""A session that lasted longer points to neither cause: two simulators with back-off meet within a few seconds."""
_IDLE_SESSIONS_NEEDED: Final = 2
"""How many of them must have ended while no reading was in flight, which rules out that readings were the cause."""

_POISON_SECONDS: Final = 5.0
"""A connection that ends within this time after a message may have ended because of it."""
_JUST_SENT: Final = 0.25
"""With QoS 0: a connection that ends within this share of a period after a message may have ended because of it."""
_ENDS_FOR_POISON: Final = 4
"""After this many sessions in a row that ended right after a message, the last three with a single message in flight,
the message is taken for the cause."""
_ENDS_FOR_POISON_IF_UNCLEAR: Final = 6
"""The same with QoS 0, when not all of them ended at once: another program with the same token would show by then."""


class DisconnectCause(Enum):
    """The likely reason why the platform ends the sessions of a device."""

    SHARED_TOKEN = auto()
    RATE_LIMIT = auto()


@dataclass(frozen=True, slots=True)
class _EarlyEnd:
    began: float
    ended: float
    in_readings: bool
    delivered: int


class EarlyDisconnects:
    """The latest sessions of one device that the platform ended early. Times are monotonic seconds."""

    __slots__ = ("_sessions",)

    def __init__(self) -> None:
        self._sessions: deque[_EarlyEnd] = deque(maxlen=SESSIONS_NEEDED)

    @property
    def any_idle(self) -> bool:
        """Whether one of them ended while no reading was in flight."""
        return any(not session.in_readings for session in self._sessions)

    def add(self, began: float, ended: float, *, in_readings: bool, delivered: int) -> DisconnectCause | None:
        """Adds a session that the platform ended; the cause that the sessions so far point to, if any.

        `in_readings`: whether a reading had just been sent; `delivered`: how many readings the session delivered.
        """
        sessions = self._sessions
        if ended - began > _SHORT_SECONDS:
            sessions.clear()
            return None
        if sessions and began - sessions[-1].ended > _SHORT_SECONDS:
            sessions.clear()
        sessions.append(_EarlyEnd(began, ended, in_readings, delivered))
        if len(sessions) < SESSIONS_NEEDED:
            return None
        if sum(not session.in_readings for session in sessions) >= _IDLE_SESSIONS_NEEDED:
            return DisconnectCause.SHARED_TOKEN
        if all(session.in_readings for session in sessions) and any(session.delivered for session in sessions):
            return DisconnectCause.RATE_LIMIT
        return None


class SessionHistory:
    """How the sessions of one device ended: because of its own messages, or for another cause.

    A poison message is one to which the platform responds by closing the connection, every time. Times are monotonic
    seconds.
    """

    __slots__ = (
        "_delivered", "_early", "_is_token_shared", "_period", "_qos", "began", "ends_after_message", "last_publish",
    )  # fmt: skip

    def __init__(self, *, qos: int, period_seconds: float) -> None:
        """`period_seconds` is the time between two readings."""
        self._qos = qos
        self._period = period_seconds
        self._early: EarlyDisconnects | None = None
        self._is_token_shared = False
        self._delivered = 0
        self.began = 0.0
        """When the latest session began."""
        self.last_publish = -math.inf
        """When it sent its latest message."""
        self.ends_after_message = 0
        """How many sessions in a row ended right after a message. While this is not 0, the next message must be the
        only one in flight, so that a poison message can be identified."""

    def begin(self, now: float) -> None:
        """A session begins."""
        self.began = now
        self.last_publish = -math.inf
        self._delivered = 0

    def delivered(self, count: int) -> None:
        """Readings were delivered: acknowledged, with QoS 1."""
        self._delivered += count
        if self._qos:
            self.ends_after_message = 0

    def end(self, now: float, *, by_platform: bool, in_flight: int) -> DisconnectCause | None:
        """The session has ended with `in_flight` messages unacknowledged; the likely cause, if there is a pattern."""
        cause = self._likely_cause(now, in_flight) if by_platform else None
        self._count_end(now, in_flight)
        return cause

    def has_lasted(self, now: float) -> bool:
        """Whether the latest session has lasted too long to have been ended by its first messages."""
        return now - self.began > _POISON_SECONDS

    def is_poisoned(self) -> bool:
        """Whether the platform ends each session because of what is sent."""
        unclear = not self._qos and self._early is not None and self._early.any_idle
        return self.ends_after_message >= (_ENDS_FOR_POISON_IF_UNCLEAR if unclear else _ENDS_FOR_POISON)

    def _likely_cause(self, now: float, in_flight: int) -> DisconnectCause | None:
        if self._early is None:
            self._early = EarlyDisconnects()
        just_sent = now - self.last_publish < _JUST_SENT * self._period
        cause = self._early.add(
            self.began, now, in_readings=in_flight > 0 if self._qos else just_sent, delivered=self._delivered
        )
        self._is_token_shared = cause is DisconnectCause.SHARED_TOKEN
        return cause

    def _count_end(self, now: float, in_flight: int) -> None:
        if self._is_token_shared or now - self.last_publish > _POISON_SECONDS:
            self.ends_after_message = 0
        elif self._qos:
            if in_flight:
                self.ends_after_message = 1 if self._delivered else self.ends_after_message + 1
        else:
            self.ends_after_message = 0 if self.has_lasted(now) else self.ends_after_message + 1


def explain(cause: DisconnectCause, device: str) -> str:
    """One sentence for a person: the cause, and what to do."""
    start = f"The platform ends the sessions of device {device!r} again and again"
    if cause is DisconnectCause.SHARED_TOKEN:
        return (
            f"{start}: another program seems to use its access token, and they disconnect each other (from 2.0 on a"
            " platform allows one session per token); stop one of them."
        )
    return (
        f"{start} while it publishes: it seems to accept only a limited number of messages from a device (rate limits"
        " in the tenant's profile); lower --rate, or have the limit raised."
    )
