"""REST: alarms of 4.x (docs/servers/alarms.md#creating-and-updating)."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox.alarms import SEVERITIES, SandboxAlarm
from pacifictool.sandbox.auth import SandboxUser
from pacifictool.sandbox.generation4.http import Api4, PageLink, json_response, read_object, text_of
from pacifictool.sandbox.generation4.refusals import general, not_found
from pacifictool.sandbox.http import id_of
from pacifictool.sandbox.ids import now_ms
from pacifictool.sandbox.refusals import Refusal, bad_request
from pacifictool.sandbox.rest_alarms import TENANT_AND_CUSTOMER, AlarmController, Originator, milliseconds

_ORDERS: Final = {
    "createdTime": "born",
    "startTs": "start_ts",
    "endTs": "end_ts",
    "ackTs": "ack_ts",
    "clearTs": "clear_ts",
    "type": "type",
    "severity": "severity",
    "status": "cleared",
}


class AlarmController4(AlarmController):
    """The times of a request count, and its status does not (docs/servers/alarms.md#creating-and-updating, row 6)."""

    def add_routes(self, api: Api4) -> None:
        api.route(("POST",), "/api/alarm", self._save, TENANT_AND_CUSTOMER)
        api.route(("GET",), "/api/alarm/{id}", self._get, TENANT_AND_CUSTOMER)
        api.route(("GET",), "/api/alarm/info/{id}", self._info, TENANT_AND_CUSTOMER)
        api.route(("POST",), "/api/alarm/{id}/ack", self._acknowledge, TENANT_AND_CUSTOMER)
        api.route(("POST",), "/api/alarm/{id}/clear", self._clear, TENANT_AND_CUSTOMER)
        api.route(("GET",), "/api/alarm/{kind}/{originator}", self._of_entity, TENANT_AND_CUSTOMER)
        api.route(("GET",), "/api/alarms", self._of_tenant, ("TENANT_ADMIN",))

    def missing(self, kind: str, identifier: str) -> Refusal:
        return not_found(kind, identifier)

    async def _save(self, request: Request, user: SandboxUser) -> Response:
        document = await read_object(request)
        severity, type_ = document.get("severity"), text_of(document, "type")
        if severity is None:
            raise bad_request("Validation error: severity must not be null")
        if severity not in SEVERITIES:
            raise general(
                f"JSON parse error: Cannot deserialize value of type `AlarmSeverity` from {str(severity)[:60]!r}: not"
                f" one of the values accepted for Enum class: {list(SEVERITIES)}"
            )
        originator = self._originator(document.get("originator"), user)
        start, end = milliseconds(document, "startTs"), milliseconds(document, "endTs")
        if 0 < end < start:
            raise bad_request("Alarm start ts can't be greater then alarm end ts!")
        start = start or now_ms()
        times, details = (start, end or start), document.get("details")
        if document.get("id") is not None:
            alarm: SandboxAlarm | None = self.find(id_of(document["id"]), user)
        else:
            alarm = self._alarms.active(user.tenant, originator, type_)
        if alarm is None:
            alarm = self._alarms.create(user.tenant, originator, type_, severity, "ACTIVE_UNACK", times, details)
        else:
            alarm.severity, alarm.details = severity, details
            alarm.start_ts, alarm.end_ts = times
            self._alarms.save(alarm)
        self._store.commit()
        return json_response(_document(alarm))

    def _originator(self, reference: Any, user: SandboxUser) -> Originator:
        """Raises refusals for one that does not exist."""
        if not isinstance(reference, dict):
            raise not_found("ENTITY", "null")
        return self.existing(str(reference.get("entityType")), id_of(reference), user)

    async def _get(self, request: Request, user: SandboxUser) -> Response:
        return json_response(_document(self.find(request.path_params["id"], user)))

    async def _info(self, request: Request, user: SandboxUser) -> Response:
        return json_response(self._with_names(self.find(request.path_params["id"], user)))

    async def _acknowledge(self, request: Request, user: SandboxUser) -> Response:
        alarm = self.find(request.path_params["id"], user)
        if not self.acknowledge(alarm):
            raise bad_request("Alarm was already acknowledged!")
        return json_response(self._with_names(alarm))

    async def _clear(self, request: Request, user: SandboxUser) -> Response:
        alarm = self.find(request.path_params["id"], user)
        if not self.clear(alarm):
            raise bad_request("Alarm was already cleared!")
        return json_response(self._with_names(alarm))

    async def _of_entity(self, request: Request, user: SandboxUser) -> Response:
        originator = self.existing(request.path_params["kind"], request.path_params["originator"], user)
        return self._page(request, user, originator)

    async def _of_tenant(self, request: Request, user: SandboxUser) -> Response:
        return self._page(request, user, None)

    def _page(self, request: Request, user: SandboxUser, originator: Originator | None) -> Response:
        link, wanted = PageLink.from_request(request), self.wanted(request, user, originator, 2**62)
        order = link.column(_ORDERS, "id") + (" DESC" if link.is_descending else "")
        found = self._alarms.page(wanted, f"{order}, id", link.size, link.offset)
        return link.response([self._with_names(alarm) for alarm in found], self._alarms.count(wanted))

    def _with_names(self, alarm: SandboxAlarm) -> dict[str, Any]:
        named = self.with_originator(alarm)
        name = named["originatorName"]
        more = {"originatorLabel": name, "assignee": None, "originatorDisplayName": name}
        return _document(alarm) | {"originatorName": name} | more


def _document(alarm: SandboxAlarm) -> dict[str, Any]:
    return alarm.document() | {
        "customerId": None,
        "acknowledged": alarm.acknowledged,
        "cleared": alarm.cleared,
        "assigneeId": None,
        "assignTs": 0,
        "propagateToOwner": False,
        "propagateToTenant": False,
        "propagateRelationTypes": [],
    }
