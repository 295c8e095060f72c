"""REST: the event log, `GET /api/events/{type}/{id}[/{eventType}]?tenantId=&limit=[&offset=]`, newest first."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox.auth import SandboxUser
from pacifictool.sandbox.http import Api, TimePageLink, uuid_parameter
from pacifictool.sandbox.ids import created_ms, uuid_of_time
from pacifictool.sandbox.refusals import forbidden
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
        link = TimePageLink.from_request(request)
        entity, kind = str(uuid_parameter(request.path_params["id"])), request.path_params["kind"]
        type_ = request.path_params.get("type")
        rows = self._store.rows(
            "SELECT born, type, body FROM event WHERE entity_id = ? AND entity_kind = ? AND tenant = ? AND born < ?"
            " AND (? IS NULL OR type = ?) ORDER BY born DESC LIMIT ?",
            (entity, kind, tenant, link.before, type_, type_, link.limit),
        )
        return link.page([event_document(row, tenant, kind, entity) for row in rows])


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
