"""REST: the event log, `GET /api/events/{type}/{id}[/{eventType}]?tenantId=&limit=`, newest first."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox.auth import SandboxUser
from pacifictool.sandbox.http import Api, json_response, number_parameter, uuid_parameter
from pacifictool.sandbox.ids import created_ms, uuid_of_time, uuid_time
from pacifictool.sandbox.refusals import bad_request, forbidden
from pacifictool.sandbox.store import Store


class EventController:
    """Pages through events by the id of the last one seen, as on 1.x."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add_routes(self, api: Api) -> None:
        for path in ("/api/events/{kind}/{id}", "/api/events/{kind}/{id}/{type}"):
            api.route(("GET",), path, self._events, ("SYS_ADMIN", "TENANT_ADMIN", "CUSTOMER_USER"))

    async def _events(self, request: Request, user: SandboxUser) -> Response:
        query = request.query_params
        tenant = str(uuid_parameter(query.get("tenantId", "")))
        if tenant != user.tenant:
            raise forbidden()
        limit = number_parameter(request, "limit")
        if limit < 1:
            raise bad_request(f"Incorrect page link TimePageLink(limit={limit})")
        entity, kind = str(uuid_parameter(request.path_params["id"])), request.path_params["kind"]
        type_ = request.path_params.get("type")
        offset = query.get("idOffset")
        before = uuid_time(uuid_parameter(offset)) if offset else 2**62
        rows = self._store.rows(
            "SELECT born, type, body FROM event WHERE entity_id = ? AND entity_kind = ? AND tenant = ? AND born < ?"
            " AND (? IS NULL OR type = ?) ORDER BY born DESC LIMIT ?",
            (entity, kind, tenant, before, type_, type_, limit),
        )
        data = [event_document(row, tenant, kind, entity) for row in rows]
        next_link = None
        if len(data) >= limit:
            next_link = {
                "limit": limit,
                "startTime": None,
                "endTime": None,
                "ascOrder": False,
                "idOffset": data[-1]["id"]["id"],
            }
        return json_response({"data": data, "nextPageLink": next_link, "hasNext": next_link is not None})


def event_document(row: tuple[Any, ...], tenant: str, kind: str, entity: str) -> dict[str, Any]:
    """An event as REST shows it, from its columns `born`, `type` and `body`."""
    identifier = uuid_of_time(row[0])
    return {
        "id": {"id": str(identifier)},
        "createdTime": created_ms(identifier),
        "tenantId": {"entityType": "TENANT", "id": tenant},
        "type": row[1],
        "uid": str(identifier),
        "entityId": {"entityType": kind, "id": entity},
        "body": json.loads(row[2]),
    }
