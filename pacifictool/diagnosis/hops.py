"""The hops of a trace, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from pacifictool.diagnosis.faults import Fault


class HopStatus(StrEnum):
    """What became of one hop."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not reached."""


TITLES: Final = {
    "ready": "All ends are there",
    "accepted": "Accepted over MQTT",
    "stored": "Stored on the device",
    "matched": "Matched by the rule",
    "kafka": "Written to Kafka",
    "counted": "Counted in a window",
    "posted": "Mean posted",
    "readable": "Mean readable",
}
"""In the order of the way."""

LAST_HOP: Final = {"stored": "stored", "kafka": "kafka", "asset": "readable"}
"""By what `--until` may say."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of the way."""

    name: str
    status: HopStatus
    seconds: float | None = None
    """When it was seen, after the reading was sent; None for what happens before, or is only concluded."""
    detail: str = ""

    @property
    def title(self) -> str:
        return TITLES[self.name]

    def as_document(self) -> dict[str, Any]:
        return {
            "hop": self.name,
            "title": self.title,
            "status": str(self.status),
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "detail": self.detail,
        }


class Stopped(Exception):
    """The way ends here."""

    def __init__(self, cause: str, sentence: str, mend: str | None, *, also: Sequence[str] = ()) -> None:
        super().__init__(sentence)
        self.cause = cause
        self.sentence = sentence
        self.mend = mend
        self.also = tuple(also)
        """Further causes that were found."""

    @classmethod
    def by(cls, faults: Sequence[Fault], *, more: str = "") -> Stopped:
        """The first of the faults explains it; `more` is added to its sentence."""
        first, *others = faults
        also = dict.fromkeys(str(other.cause) for other in others if other.cause != first.cause)
        return cls(first.cause, first.sentence + more, first.mend, also=tuple(also))


@dataclass(slots=True)
class TraceResult:
    """The whole way."""

    device: str
    value: float | None = None
    ts_ms: int | None = None
    hops: list[Hop] = field(default_factory=list)
    cause: str | None = None
    """Why the way ended early, for scripts; None when it was walked to its end."""
    also: tuple[str, ...] = ()
    """Further causes that were found."""
    mend: str | None = None
    """What to do about the cause."""
    notes: list[str] = field(default_factory=list)
    """What else a person should know."""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return self.cause is None

    @property
    def stop(self) -> Hop | None:
        """The hop at which the way ended early."""
        return next((hop for hop in self.hops if hop.status is HopStatus.FAILED), None)

    def as_document(self) -> dict[str, Any]:
        """For JSON output."""
        return {
            "ok": self.ok,
            "device": self.device,
            "value": self.value,
            "ts": self.ts_ms,
            "hops": [hop.as_document() for hop in self.hops],
            "cause": None if self.cause is None else str(self.cause),
            "reason": None if self.stop is None else self.stop.detail,
            "also": list(self.also),
            "mend": self.mend,
            "notes": self.notes,
            "seconds": round(self.seconds, 3),
        }
