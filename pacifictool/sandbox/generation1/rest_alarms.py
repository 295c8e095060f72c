"""REST: alarms of 1.x (docs/servers/alarms.md#creating-and-updating)."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox.alarms import SEVERITIES, STATUSES, SandboxAlarm
from pacifictool.sandbox.auth import SandboxUser
from pacifictool.sandbox.http import Api, TimePageLink, empty_response, id_of, json_response, read_object
from pacifictool.sandbox.ids import now_ms, parse_uuid
from pacifictool.sandbox.refusals import FrameworkRefusal, Refusal, bad_request
from pacifictool.sandbox.rest_alarms import TENANT_AND_CUSTOMER, AlarmController, Originator, milliseconds

_UNREADABLE = "org.springframework.http.converter.HttpMessageNotReadableException"


class AlarmController1(AlarmController):
    """The status of a request counts, and its times hardly (docs/servers/alarms.md#creating-and-updating, row 5)."""

    def add_routes(self, api: Api) -> None:
        of_entity = "{kind}/{originator}"
        api.route(("POST",), "/api/alarm", self._save, TENANT_AND_CUSTOMER)
        api.route(("GET",), "/api/alarm/{id}", self._get, TENANT_AND_CUSTOMER)
        api.route(("GET",), "/api/alarm/info/{id}", self._info, TENANT_AND_CUSTOMER)
        api.route(("POST",), "/api/alarm/{id}/ack", self._acknowledge, TENANT_AND_CUSTOMER)
        api.route(("POST",), "/api/alarm/{id}/clear", self._clear, TENANT_AND_CUSTOMER)
        api.route(("GET",), f"/api/alarm/highestSeverity/{of_entity}", self._highest_severity, TENANT_AND_CUSTOMER)
        api.route(("GET",), f"/api/alarm/{of_entity}", self._page, TENANT_AND_CUSTOMER)

    def unknown_status(self, text: str) -> Refusal:
        return FrameworkRefusal(500, f"No enum constant of an alarm's status: {text}")

    async def _save(self, request: Request, user: SandboxUser) -> Response:
        document = await read_object(request)
        severity, status = _enumerated(document, "severity", SEVERITIES), _enumerated(document, "status", STATUSES)
        type_, originator = document.get("type"), _originator(document.get("originator"))
        if not type_ or not isinstance(type_, str):
            raise bad_request("Alarm type should be specified!")
        for what, given in (("originator", originator), ("severity", severity), ("status", status)):
            if given is None:
                raise bad_request(f"Alarm {what} should be specified!")
        assert originator is not None
        assert severity is not None
        assert status is not None
        start = milliseconds(document, "startTs") or now_ms()
        times = start, milliseconds(document, "endTs") or start
        if document.get("id") is not None:
            alarm: SandboxAlarm | None = self.find(id_of(document["id"]), user)
        else:
            alarm = self._alarms.active(user.tenant, originator, type_)
        if alarm is None:
            alarm = self._alarms.create(
                user.tenant, originator, type_, severity, status, times, document.get("details")
            )
        else:
            alarm.end_ts = max(alarm.end_ts, *times)
            alarm.severity, alarm.details = severity, document.get("details")
            alarm.cleared, alarm.acknowledged = status.startswith("CLEARED"), not status.endswith("UNACK")
            self._alarms.save(alarm)
        self._store.commit()
        return json_response(alarm.document())

    async def _get(self, request: Request, user: SandboxUser) -> Response:
        return json_response(self.find(request.path_params["id"], user).document())

    async def _info(self, request: Request, user: SandboxUser) -> Response:
        return json_response(self.with_originator(self.find(request.path_params["id"], user)))

    async def _acknowledge(self, request: Request, user: SandboxUser) -> Response:
        self.acknowledge(self.find(request.path_params["id"], user))
        return empty_response()

    async def _clear(self, request: Request, user: SandboxUser) -> Response:
        self.clear(self.find(request.path_params["id"], user))
        return empty_response()

    async def _page(self, request: Request, user: SandboxUser) -> Response:
        originator = self.existing(request.path_params["kind"], request.path_params["originator"], user)
        link = TimePageLink.from_request(request)
        found = self._alarms.page(self.wanted(request, user, originator, link.before), "born DESC", link.limit)
        names = request.query_params.get("fetchOriginator") == "true"
        return link.page(
            [self.with_originator(alarm) if names else alarm.document() | {"originatorName": None} for alarm in found]
        )

    async def _highest_severity(self, request: Request, user: SandboxUser) -> Response:
        originator = self.existing(request.path_params["kind"], request.path_params["originator"], user)
        found = self._alarms.page(self.wanted(request, user, originator, 2**62), "born", -1)
        highest = min((SEVERITIES.index(alarm.severity) for alarm in found), default=None)
        text = "" if highest is None else SEVERITIES[highest]
        return Response(text.encode("ascii"), headers={"Content-Type": "application/json;charset=UTF-8"})


def _enumerated(document: dict[str, Any], key: str, known: tuple[str, ...]) -> str | None:
    """One of the known texts. Raises the framework's 400 for another one."""
    value = document.get(key)
    if value is not None and value not in known:
        raise _unreadable(f"Can not deserialize value of an alarm's {key} from {str(value)[:60]!r}: {list(known)}")
    return value


def _originator(reference: Any) -> Originator | None:
    """Kind and id; an entity that does not exist is accepted. Raises the framework's 400."""
    if reference is None:
        return None
    kind = reference.get("entityType") if isinstance(reference, dict) else None
    try:
        if not isinstance(kind, str):
            raise ValueError("an originator needs an entityType")  # noqa: TRY004 - handled here
        return kind, str(parse_uuid(id_of(reference)))
    except ValueError as error:
        raise _unreadable(str(error)) from None


def _unreadable(reason: str) -> FrameworkRefusal:
    return FrameworkRefusal(400, f"Could not read document: {reason}", _UNREADABLE)
