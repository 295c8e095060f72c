"""Alarms in the database: at most one of a type is active on an originator. What differs by generation stands there."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pacifictool.sandbox.ids import IdFactory, created_ms, uuid_time
from pacifictool.sandbox.store import Store

SEVERITIES = ("CRITICAL", "MAJOR", "MINOR", "WARNING", "INDETERMINATE")
"""The most urgent first."""
STATUSES = ("ACTIVE_UNACK", "ACTIVE_ACK", "CLEARED_UNACK", "CLEARED_ACK")
SEARCHES = {
    "ANY": "",
    "ACTIVE": "NOT cleared",
    "CLEARED": "cleared",
    "ACK": "acknowledged",
    "UNACK": "NOT acknowledged",
}
"""What `searchStatus` can be, as a condition."""
_COLUMNS = (
    "id, tenant, originator_kind, originator, type, severity,"
    " cleared, acknowledged, start_ts, end_ts, ack_ts, clear_ts, details"
)


@dataclass(slots=True)
class SandboxAlarm:
    """One alarm. Times are in ms since the epoch, 0 for never."""

    id: str
    tenant: str
    originator_kind: str
    originator: str
    type: str
    severity: str
    cleared: bool
    acknowledged: bool
    start_ts: int
    end_ts: int
    ack_ts: int
    clear_ts: int
    details: Any

    @property
    def status(self) -> str:
        return f"{'CLEARED' if self.cleared else 'ACTIVE'}_{'ACK' if self.acknowledged else 'UNACK'}"

    def document(self) -> dict[str, Any]:
        """What both generations show of it."""
        return {
            "id": {"entityType": "ALARM", "id": self.id},
            "createdTime": created_ms(uuid.UUID(self.id)),
            "tenantId": {"entityType": "TENANT", "id": self.tenant},
            "type": self.type,
            "originator": {"entityType": self.originator_kind, "id": self.originator},
            "severity": self.severity,
            "startTs": self.start_ts,
            "endTs": self.end_ts,
            "ackTs": self.ack_ts,
            "clearTs": self.clear_ts,
            "details": self.details,
            "propagate": False,
            "status": self.status,
            "name": self.type,
        }


@dataclass(frozen=True, slots=True)
class AlarmFilter:
    """Which alarms to list; None and "ANY" for any."""

    tenant: str
    originator: tuple[str, str] | None = None
    """Kind and id."""
    search: str = "ANY"
    """A key of SEARCHES."""
    status: str | None = None
    """One of STATUSES."""
    before: int = 2**62
    """Only those born before."""

    def condition(self) -> tuple[str, list[Any]]:
        """SQL and its parameters."""
        parts, parameters = ["tenant = ?", "born < ?"], [self.tenant, self.before]
        if self.originator is not None:
            parts.append("originator_kind = ? AND originator = ?")
            parameters += self.originator
        if SEARCHES[self.search]:
            parts.append(SEARCHES[self.search])
        if self.status is not None:
            parts.append("cleared = ? AND acknowledged = ?")
            parameters += [self.status.startswith("CLEARED"), not self.status.endswith("UNACK")]
        return " AND ".join(parts), parameters


class SandboxAlarms:
    """Alarms of all tenants. An alarm stays when its originator is deleted (docs/servers/alarms.md#reading, row 4)."""

    def __init__(self, store: Store, ids: IdFactory) -> None:
        self._store = store
        self._ids = ids

    def find(self, identifier: str) -> SandboxAlarm | None:
        return self._first("id = ?", (identifier,))

    def active(self, tenant: str, originator: tuple[str, str], type_: str) -> SandboxAlarm | None:
        """The one that is active, if any; `originator` is its kind and id."""
        return self._first(
            "tenant = ? AND originator_kind = ? AND originator = ? AND type = ? AND NOT cleared",
            (tenant, *originator, type_),
        )

    def create(
        self,
        tenant: str,
        originator: tuple[str, str],
        type_: str,
        severity: str,
        status: str,
        times: tuple[int, int],
        details: Any,
    ) -> SandboxAlarm:
        """Stores a new alarm; `times` are its start and end."""
        identifier = self._ids.new()
        is_cleared, is_acknowledged = status.startswith("CLEARED"), not status.endswith("UNACK")
        alarm = SandboxAlarm(
            str(identifier), tenant, *originator, type_, severity, is_cleared, is_acknowledged, *times, 0, 0, details
        )
        self._store.write(
            f"INSERT INTO alarm (born, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
            (uuid_time(identifier), *_row(alarm)),
        )
        return alarm

    def save(self, alarm: SandboxAlarm) -> None:
        """Stores what has changed of an alarm."""
        self._store.write(
            "UPDATE alarm SET severity = ?, cleared = ?, acknowledged = ?, start_ts = ?, end_ts = ?, ack_ts = ?,"
            " clear_ts = ?, details = ? WHERE id = ?",
            (*_row(alarm)[5:], alarm.id),
        )

    def count(self, wanted: AlarmFilter) -> int:
        condition, parameters = wanted.condition()
        row = self._store.row(f"SELECT count(*) FROM alarm WHERE {condition}", parameters)  # noqa: S608 - constants
        assert row is not None
        return int(row[0])

    def page(self, wanted: AlarmFilter, order: str, limit: int, offset: int = 0) -> list[SandboxAlarm]:
        """Up to `limit` alarms in the order of an SQL expression."""
        condition, parameters = wanted.condition()
        rows = self._store.rows(
            f"SELECT {_COLUMNS} FROM alarm WHERE {condition} ORDER BY {order} LIMIT ? OFFSET ?",  # noqa: S608 - constants
            (*parameters, limit, min(offset, 2**62)),
        )
        return [_of_row(row) for row in rows]

    def _first(self, condition: str, parameters: Sequence[Any]) -> SandboxAlarm | None:
        row = self._store.row(f"SELECT {_COLUMNS} FROM alarm WHERE {condition} ORDER BY born DESC", parameters)  # noqa: S608 - constants
        return None if row is None else _of_row(row)


def _row(alarm: SandboxAlarm) -> tuple[Any, ...]:
    """In the order of _COLUMNS."""
    return (
        alarm.id,
        alarm.tenant,
        alarm.originator_kind,
        alarm.originator,
        alarm.type,
        alarm.severity,
        alarm.cleared,
        alarm.acknowledged,
        alarm.start_ts,
        alarm.end_ts,
        alarm.ack_ts,
        alarm.clear_ts,
        json.dumps(alarm.details),
    )


def _of_row(row: tuple[Any, ...]) -> SandboxAlarm:
    alarm = SandboxAlarm(*row)
    alarm.cleared, alarm.acknowledged = bool(alarm.cleared), bool(alarm.acknowledged)
    alarm.details = json.loads(row[-1])
    return alarm
