"""Where alarms go: to the platform over REST, or to the screen."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pacifictool.analytics.alarms import AlarmPlace, AlarmSource
from pacifictool.errors import NotFound
from pacifictool.rest import Asset, Device, Platform
from pacifictool.tools.times import utc_iso


class RestAlarmTarget:
    """Raises alarms on assets and devices, found by their names each time, and created when missing.

    There are few alarms: looking up the entity again finds one that was made again, which servers before 3.0
    would not notice (docs/servers/alarms.md#creating-and-updating, row 14).
    """

    def __init__(self, connect: Callable[[], Platform], *, url: str, entity_type: str) -> None:
        """Connects with the first alarm. `entity_type` is the type of entities that have to be created."""
        self.target = url
        self._connect = connect
        self._entity_type = entity_type
        self._platform: Platform | None = None
        self._lock = threading.Lock()

    @property
    def connections(self) -> int:
        return self.platform().telemetry.writes_at_once()

    def platform(self) -> Platform:
        """The platform, connected. Raises PacificToolError."""
        with self._lock:
            if self._platform is None:
                self._platform = self._connect()
            return self._platform

    def raise_alarm(self, alarm: AlarmSource, *, again: bool) -> str:
        platform = self.platform()
        resources = platform.assets if alarm.kind == "asset" else platform.devices
        entity: Asset | Device = resources.get_or_create(alarm.entity, self._entity_type)
        details = alarm.details or {}
        raised = platform.alarms.raise_alarm(
            entity, alarm.type, alarm.severity, details, alarm.start_ms, alarm.until_ms
        )
        # Two requests at the same moment can create two (docs/servers/alarms.md#creating-and-updating, row 12).
        for each in platform.alarms.active(entity) if again else ():
            if each.type == alarm.type and each.id != raised.id:
                platform.alarms.clear(each.id)
        return raised.id

    def clear(self, place: AlarmPlace, alarm_id: str | None) -> None:
        platform = self.platform()
        if alarm_id is not None:
            platform.alarms.clear(alarm_id)
            return
        kind, name, type_of_alarm = place
        entity: Asset | Device | None = (platform.assets if kind == "asset" else platform.devices).find(name)
        if entity is None:
            return
        try:
            active = platform.alarms.active(entity)
        except NotFound:
            return  # It was deleted just now.
        for each in active:
            if each.type == type_of_alarm:
                platform.alarms.clear(each.id)

    def close(self) -> None:
        """Closes the connection."""
        if self._platform is not None:
            self._platform.close()


class ConsoleAlarmTarget:
    """Hands each change of an alarm to `write` as a line of text."""

    target = "console"
    connections = 1

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def raise_alarm(self, alarm: AlarmSource, *, again: bool) -> str:
        details = alarm.details or {}
        values = details.get("values")
        about = [f"({details['condition']})"] if "condition" in details else []
        about += [f"{key} {value:.6g}" for key, value in values.items()] if isinstance(values, dict) else []
        self._write("  ".join([utc_iso(alarm.until_ms), alarm.entity, f"{alarm.severity} alarm {alarm.type}", *about]))
        return ""

    def clear(self, place: AlarmPlace, alarm_id: str | None) -> None:
        _, entity, type_of_alarm = place
        self._write(f"{entity}  alarm {type_of_alarm} cleared")
