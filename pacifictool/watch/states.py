"""What was read of alarms, the topic and the job, as plain values; `model` has the platform, and puts all together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from pacifictool.rest import EntityAlarm
from pacifictool.rest.alarms import alarm_summary

WAITING: Final = "It has not responded yet."
"""The value of `unknown` before a part has been polled for the first time."""


@dataclass(frozen=True, slots=True)
class AlarmsState:
    """The active alarms of the entities that are watched."""

    alarms: tuple[EntityAlarm, ...] = ()
    """The most urgent first."""
    notes: tuple[str, ...] = ()
    """How they are read when there are many entities."""
    pending: str | None = None
    """Why these may not be all: not every entity has been asked so far."""
    unknown: str | None = None

    @property
    def summary(self) -> str:
        """The number and the most urgent one; empty without any."""
        return alarm_summary(self.alarms)

    def as_document(self, shown: int | None = None) -> dict[str, Any]:
        """With the first `shown` alarms; None: all."""
        return {
            "alarms": [alarm.as_document() for alarm in self.alarms[:shown]],
            "alarms_total": len(self.alarms) if self.unknown is None and self.pending is None else None,
            "alarms_pending": self.pending,
            "alarms_unknown": self.unknown,
        }


@dataclass(frozen=True, slots=True)
class WatchedTopicState:
    """What was read from Kafka."""

    name: str
    topic_id: str | None = None
    ends: dict[int, int] = field(default_factory=dict)
    """By partition, the offset of the next record."""
    rate: float | None = None
    """Records per second."""
    unknown: str | None = None
    still_seconds: float = 0.0
    """How long no record has been added, as far as it was watched."""

    def as_document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "partitions": len(self.ends) or None,
            "records": sum(self.ends.values()) if self.ends else None,
            "rate": None if self.rate is None else round(self.rate, 2),
            "unknown": self.unknown,
        }


@dataclass(frozen=True, slots=True)
class JobState:
    """What was read from the job's folder on this machine."""

    folder: str | None = None
    target: str | None = None
    """Where the results go, for example "rest http://localhost:8080"."""
    is_running: bool | None = None
    is_starting: bool = False
    """Whether it has not read the topic yet in this run."""
    counted: dict[int, int] = field(default_factory=dict)
    """By partition, the offset after the last record that was counted or rejected."""
    records: int = 0
    """Counted or rejected since the job's first start."""
    rejects: dict[str, int] = field(default_factory=dict)
    """Number by reason, since the job's first start."""
    posted: int = 0
    """Results that the platform acknowledged, corrections included."""
    corrections: int = 0
    refused: int = 0
    function_failures: int = 0
    """Windows for which a function gave no results."""
    last_function_failure: str | None = None
    open_windows: int | None = None
    """(Window, group) pairs whose results are not delivered yet."""
    rate: float | None = None
    """Records per second."""
    unknown: str | None = None

    @property
    def state(self) -> str:
        """ "running", "stopped" or "unknown"."""
        return "unknown" if self.is_running is None else "running" if self.is_running else "stopped"

    def as_document(self, lag: int | None) -> dict[str, Any]:
        known = self.is_running is not None
        return {
            "state": self.state,
            "lag": lag,
            "records": self.records if known else None,
            "rejects": sum(self.rejects.values()) if known else None,
            "rejects_by_reason": self.rejects,
            "posted": self.posted if known else None,
            "corrections": self.corrections if known else None,
            "refused": self.refused if known else None,
            "function_failures": self.function_failures if known else None,
            "last_function_failure": self.last_function_failure,
            "open_windows": self.open_windows,
            "rate": None if self.rate is None else round(self.rate, 2),
            "target": self.target,
            "checkpoint": self.folder,
            "unknown": self.unknown,
        }
