"""The hops of a trace, and the outcome of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from pacifictool.problems import Problem


class HopStatus(StrEnum):
    """The outcome of one hop."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not reached."""


TITLES: Final = {
    "ready": "All parts respond",
    "accepted": "Accepted over MQTT",
    "stored": "Stored on the device",
    "matched": "Matched by the rule",
    "kafka": "Written to Kafka",
    "counted": "Counted in a window",
    "posted": "Result posted",
    "readable": "Result readable",
}
"""In the order in which a reading passes them."""


def hop_title(name: str, result: str = "result") -> str:
    """The title of a hop; `result`: what a person calls a result, such as "mean"."""
    return TITLES[name].replace("Result", f"{result[:1].upper()}{result[1:]}")


LAST_HOP: Final = {"stored": "stored", "kafka": "kafka", "result": "readable"}
"""By the values of `--until`."""


@dataclass(frozen=True, slots=True)
class TraceHop:
    """One hop."""

    name: str
    status: HopStatus
    seconds: float | None = None
    """From sending to observing it; None for what happens before, or is only inferred."""
    detail: str = ""
    result: str = "result"
    """What a person calls a result."""

    @property
    def title(self) -> str:
        return hop_title(self.name, self.result)

    def as_document(self) -> dict[str, Any]:
        return {
            "hop": self.name,
            "title": self.title,
            "status": str(self.status),
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "detail": self.detail,
        }


class TraceStopped(Exception):
    """The probe does not get past the current hop."""

    def __init__(self, code: str, text: str, fix: str | None, *, also: Sequence[str] = ()) -> None:
        """`also`: codes of further problems."""
        super().__init__(text)
        self.code, self.text, self.fix, self.also = code, text, fix, tuple(also)

    @classmethod
    def by(cls, problems: Sequence[Problem], *, more: str = "") -> TraceStopped:
        """The first problem explains it; `more` is added to its text."""
        first = problems[0]
        also = dict.fromkeys(str(other.code) for other in problems if other.code != first.code)
        return cls(first.code, first.text + more, first.fix, also=tuple(also))


@dataclass(slots=True)
class TraceResult:
    """All hops of one probe."""

    device: str
    key: str = ""
    """Of the reading."""
    value: float | None = None
    ts_ms: int | None = None
    hops: list[TraceHop] = field(default_factory=list)
    code: str | None = None
    """Of the problem that stopped it; None when it passed the last hop."""
    also: tuple[str, ...] = ()
    """Codes of further problems."""
    fix: str | None = None
    notes: list[str] = field(default_factory=list)
    """What else a person should know."""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return self.code is None

    @property
    def failed_hop(self) -> TraceHop | None:
        return next((hop for hop in self.hops if hop.status is HopStatus.FAILED), None)

    def as_document(self) -> dict[str, Any]:
        """For JSON output. `mend` is the name that `fix` had before."""
        return {
            "ok": self.ok,
            "device": self.device,
            "key": self.key,
            "value": self.value,
            "ts": self.ts_ms,
            "hops": [hop.as_document() for hop in self.hops],
            "cause": None if self.code is None else str(self.code),
            "reason": None if self.failed_hop is None else self.failed_hop.detail,
            "also": list(self.also),
            "fix": self.fix,
            "mend": self.fix,
            "notes": self.notes,
            "seconds": round(self.seconds, 3),
        }
