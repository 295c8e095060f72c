"""A reading on its way, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """How the way of a reading ended."""

    ACKNOWLEDGED = "acknowledged"
    """QoS 1: the platform confirmed it."""
    SENT = "sent"
    """QoS 0: handed to the operating system; nobody confirms it."""
    LOST = "lost"
    """Neither; `Reading.reason` says why. The platform may have it all the same: only the confirmation is missing."""


@dataclass(slots=True, eq=False)
class Reading:
    """One measured value; `value` and `ts_ms` never change, however often it is sent."""

    device: str
    number: int
    """Position in the schedule of the device, from 0."""
    ts_ms: int
    """Milliseconds since the epoch; for `bare` messages not part of the message."""
    value: int | float
    payload: bytes
    first_sent: float
    """Monotonic seconds."""
    last_sent: float = 0.0
    packet_id: int = 0
    resent: int = 0
    outcome: Outcome | None = None
    reason: str | None = None
    """Why it was lost."""

    def as_document(self) -> dict[str, Any]:
        """For JSON output."""
        document: dict[str, Any] = {
            "device": self.device,
            "number": self.number,
            "ts": self.ts_ms,
            "value": str(self.value),
        }
        if self.reason is not None:
            document["reason"] = self.reason
        return document
