"""Why a platform ends sessions again and again: it says nothing in MQTT 3.1.1, but how it happens tells.

On 4.x a second session with the same access token ends the first, so that two simulators throw each other out for ever
(docs/servers/4.x.md#mqtt, row 4); and a device that sends more than its tenant's profile allows is closed upon at the
message that is too many (docs/servers/4.x.md#limits, row 2). Servers from 2.0 on are taken to do the same.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

LOOKED_AT: Final = 4
"""So many sessions in a row must have ended early before anything is said."""

_SHORT_SECONDS: Final = 10.0
"""A session that lasted longer is no sign of either: two simulators with back-off meet within a few seconds."""
_CLEARLY_IDLE: Final = 2
"""So many of them must have ended while no reading was on its way, to rule out that readings were the cause."""

_POISON_SECONDS: Final = 5.0
"""A connection that ends within this time after a message may have ended because of it."""
_JUST_SENT: Final = 0.25
"""With QoS 0: a connection that ends within this share of a period after a message may have ended because of it."""
_POISON_STRIKES: Final = 4
"""So many connections in a row end right after a message, the last three with one message alone: it is poison."""
_DOUBTFUL_STRIKES: Final = 6
"""With QoS 0, when not all of them ended at once: until then another program with the same token would have shown."""


class Suspicion(Enum):
    """What seems to end the sessions of a device."""

    SHARED_TOKEN = auto()
    RATE_LIMIT = auto()


@dataclass(frozen=True, slots=True)
class _Session:
    began: float
    ended: float
    amid_readings: bool
    delivered: int


class Interruptions:
    """The last sessions of one device that the platform ended early. Times are monotonic seconds."""

    __slots__ = ("_sessions",)

    def __init__(self) -> None:
        self._sessions: deque[_Session] = deque(maxlen=LOOKED_AT)

    @property
    def any_idle(self) -> bool:
        """Whether one of them ended while no reading was on its way."""
        return any(not session.amid_readings for session in self._sessions)

    def note(self, began: float, ended: float, *, amid_readings: bool, delivered: int) -> Suspicion | None:
        """Notes that the platform ended a session; what that makes of it all, if anything.

        `amid_readings`: whether a reading had just been sent; `delivered`: how many this session had brought through.
        """
        sessions = self._sessions
        if ended - began > _SHORT_SECONDS:
            sessions.clear()
            return None
        if sessions and began - sessions[-1].ended > _SHORT_SECONDS:
            sessions.clear()
        sessions.append(_Session(began, ended, amid_readings, delivered))
        if len(sessions) < LOOKED_AT:
            return None
        if sum(not session.amid_readings for session in sessions) >= _CLEARLY_IDLE:
            return Suspicion.SHARED_TOKEN
        if all(session.amid_readings for session in sessions) and any(session.delivered for session in sessions):
            return Suspicion.RATE_LIMIT
        return None


class SessionHistory:
    """What the sessions of one device came to: whether its own messages end them, or somebody else does.

    Poison is a message that the platform answers by closing the connection, each time. Times are monotonic seconds.
    """

    __slots__ = ("_delivered", "_interruptions", "_is_shared", "_period", "_qos", "began", "last_publish", "strikes")

    def __init__(self, *, qos: int, period_seconds: float) -> None:
        """`period_seconds` lies between two readings."""
        self._qos = qos
        self._period = period_seconds
        self._interruptions: Interruptions | None = None
        self._is_shared = False
        self._delivered = 0
        self.began = 0.0
        """When the last session began."""
        self.last_publish = -math.inf
        """When it sent its last message."""
        self.strikes = 0
        """How many sessions in a row have ended right after a message. While there are any, the next message is to go
        alone, so that the guilty one is known."""

    def begin(self, now: float) -> None:
        """A session begins."""
        self.began = now
        self.last_publish = -math.inf
        self._delivered = 0

    def delivered(self, count: int) -> None:
        """Readings have come through: acknowledged, with QoS 1."""
        self._delivered += count
        if self._qos:
            self.strikes = 0

    def end(self, now: float, *, by_platform: bool, in_flight: int) -> Suspicion | None:
        """The session has ended, with so many messages unacknowledged; what that makes of it all, if anything."""
        suspicion = self._suspected(now, in_flight) if by_platform else None
        self._count_strike(now, in_flight)
        return suspicion

    def has_lasted(self, now: float) -> bool:
        """Whether the session that began last stood long enough to have proved itself."""
        return now - self.began > _POISON_SECONDS

    def is_poisoned(self) -> bool:
        """Whether the platform ends each session because of what is sent."""
        doubtful = not self._qos and self._interruptions is not None and self._interruptions.any_idle
        return self.strikes >= (_DOUBTFUL_STRIKES if doubtful else _POISON_STRIKES)

    def _suspected(self, now: float, in_flight: int) -> Suspicion | None:
        if self._interruptions is None:
            self._interruptions = Interruptions()
        just_sent = now - self.last_publish < _JUST_SENT * self._period
        suspicion = self._interruptions.note(
            self.began, now, amid_readings=in_flight > 0 if self._qos else just_sent, delivered=self._delivered
        )
        self._is_shared = suspicion is Suspicion.SHARED_TOKEN
        return suspicion

    def _count_strike(self, now: float, in_flight: int) -> None:
        if self._is_shared or now - self.last_publish > _POISON_SECONDS:
            self.strikes = 0
        elif self._qos:
            if in_flight:
                self.strikes = 1 if self._delivered else self.strikes + 1
        else:
            self.strikes = 0 if self.has_lasted(now) else self.strikes + 1


def explain(suspicion: Suspicion, device: str) -> str:
    """One sentence for a person."""
    begins = f"The platform ends the sessions of device {device!r} again and again"
    if suspicion is Suspicion.SHARED_TOKEN:
        return (
            f"{begins}: it seems that another program uses its access token, and they throw each other out (from 2.0 on"
            " a platform allows one session per token); stop one of them."
        )
    return (
        f"{begins} in the midst of its readings: it seems to take only so many messages of a device (rate limits in the"
        " tenant's profile); lower --rate, or have the limit raised."
    )
