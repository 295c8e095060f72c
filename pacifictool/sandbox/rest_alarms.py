"""REST: what both generations do with alarms (docs/servers/alarms.md#creating-and-updating)."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from pacifictool.sandbox.alarms import SEARCHES, STATUSES, AlarmFilter, SandboxAlarm, SandboxAlarms
from pacifictool.sandbox.auth import SandboxUser
from pacifictool.sandbox.entities import Entities
from pacifictool.sandbox.http import uuid_parameter
from pacifictool.sandbox.ids import now_ms
from pacifictool.sandbox.refusals import Refusal, bad_request, forbidden, not_found
from pacifictool.sandbox.store import Store

ALARM = "ALARM"
TENANT_AND_CUSTOMER = ("TENANT_ADMIN", "CUSTOMER_USER")

Originator = tuple[str, str]
"""Kind and id of an entity."""


class AlarmController:
    """Finds, filters, acknowledges and clears. Subclasses say how a generation saves and pages."""

    def __init__(self, store: Store, alarms: SandboxAlarms, entities: Entities) -> None:
        self._store = store
        self._alarms = alarms
        self._entities = entities

    def missing(self, _kind: str, _identifier: str) -> Refusal:
        """The refusal for an alarm or entity that does not exist."""
        return not_found()

    def unknown_status(self, text: str) -> Refusal:
        """The refusal for a `status` or `searchStatus` of a query that does not exist."""
        return bad_request(f"No enum constant of an alarm's status: {text}")

    def find(self, identifier: str, user: SandboxUser) -> SandboxAlarm:
        """The alarm of an id in a path or body; its originator may be deleted. Raises 400, 403 and 404 refusals."""
        alarm = self._alarms.find(str(uuid_parameter(identifier)))
        if alarm is None:
            raise self.missing(ALARM, identifier)
        entity = self._entities.find(alarm.originator_kind, alarm.originator)
        if not user.may_see(alarm.tenant, "" if entity is None else entity.customer):
            raise forbidden()
        return alarm

    def existing(self, kind: str, identifier: str, user: SandboxUser) -> Originator:
        """An entity that the user may see. Raises 400, 403 and 404 refusals."""
        entity = self._entities.find(kind, str(uuid_parameter(identifier)))
        if entity is None:
            raise self.missing(kind, identifier)
        if not user.may_see(entity.tenant, entity.customer):
            raise forbidden()
        return kind, entity.id

    def wanted(self, request: Request, user: SandboxUser, originator: Originator | None, before: int) -> AlarmFilter:
        """Which alarms a query asks for. Raises refusals."""
        search, status = request.query_params.get("searchStatus"), request.query_params.get("status")
        if search and status:
            raise bad_request(
                "Invalid alarms search query: Both parameters 'searchStatus' and 'status' can't be specified at the"
                " same time!"
            )
        for text, known in ((search, SEARCHES), (status, STATUSES)):
            if text and text not in known:
                raise self.unknown_status(text)
        return AlarmFilter(user.tenant, originator, search or "ANY", status or None, before)

    def acknowledge(self, alarm: SandboxAlarm) -> bool:
        """False when it was before."""
        if alarm.acknowledged:
            return False
        alarm.acknowledged, alarm.ack_ts = True, now_ms()
        return self._saved(alarm)

    def clear(self, alarm: SandboxAlarm) -> bool:
        """False when it was before."""
        if alarm.cleared:
            return False
        alarm.cleared, alarm.clear_ts = True, now_ms()
        return self._saved(alarm)

    def with_originator(self, alarm: SandboxAlarm) -> dict[str, Any]:
        """The alarm with its originator's name."""
        entity = self._entities.find(alarm.originator_kind, alarm.originator)
        return alarm.document() | {"originatorName": None if entity is None else entity.name}

    def _saved(self, alarm: SandboxAlarm) -> bool:
        self._alarms.save(alarm)
        self._store.commit()
        return True


def milliseconds(document: dict[str, Any], key: str) -> int:
    """A time of a body; 0, as Java has it, where there is none."""
    value = document.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else 0
