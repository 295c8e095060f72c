"""A platform as far as alarms are concerned, with the rule of all servers: one active alarm of a type and originator."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pacifictool.analytics.alarms import AlarmPlace, AlarmSource


@dataclass
class ModelAlarm:
    """An alarm of the model."""

    id: str
    place: AlarmPlace
    severity: str
    start_ms: int
    end_ms: int
    details: Any
    is_active: bool = True


@dataclass
class AlarmPlatform:
    """An AlarmTarget that remembers. `before` and `after` are called around each change, and may raise."""

    before: Callable[[str], None] = lambda _what: None
    after: Callable[[str], None] = lambda _what: None
    target: str = "model"
    connections: int = 1
    alarms: list[ModelAlarm] = field(default_factory=list)
    calls: list[tuple[str, AlarmPlace]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def raise_alarm(self, alarm: AlarmSource, *, again: bool = False) -> str:
        with self._lock:
            self.before("raise")
            self.calls.append(("raise", alarm.place))
            found = self._active(alarm.place)
            if found is None:
                found = ModelAlarm(f"id {len(self.alarms)}", alarm.place, "", 0, 0, None)
                self.alarms.append(found)
            found.severity, found.start_ms, found.end_ms = alarm.severity, alarm.start_ms, alarm.until_ms
            found.details = alarm.details
            self.after("raise")
            return found.id

    def clear(self, place: AlarmPlace, alarm_id: str | None) -> None:
        with self._lock:
            self.before("clear")
            self.calls.append(("clear", place))
            for each in self.alarms:
                if each.id == alarm_id or (alarm_id is None and each.place == place):
                    each.is_active = False
            self.after("clear")

    def _active(self, place: AlarmPlace) -> ModelAlarm | None:
        found = [each for each in self.alarms if each.is_active and each.place == place]
        assert len(found) <= 1
        return found[0] if found else None

    @property
    def active(self) -> dict[AlarmPlace, str]:
        """Severity by place."""
        return {each.place: each.severity for each in self.alarms if each.is_active}
