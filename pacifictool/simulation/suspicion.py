"""Why a platform ends sessions again and again: it says nothing in MQTT 3.1.1, but how it happens tells.

Facts (platform-modern, section 5): from 2.0 on a second session with the same access token ends the first, so that two
simulators throw each other out for ever; and a device that sends more than its tenant's profile allows is closed upon
at the message that is too many.
"""

from __future__ import annotations

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
