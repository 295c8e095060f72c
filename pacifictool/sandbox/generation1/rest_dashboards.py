"""REST: dashboards. The platform stores them for its web UI and checks only their titles.

As on 4.x (docs/servers/4.x.md#dashboards, rows 1 and 4), which has the same endpoint but for versions and paging. On
a 1.4 server it was only seen that one is accepted (docs/servers/1.x.md#dashboards, row 1).
"""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox.auth import SandboxUser
from pacifictool.sandbox.http import (
    Api,
    TextPageLink,
    empty_response,
    id_of,
    json_response,
    read_object,
    uuid_parameter,
)
from pacifictool.sandbox.ids import IdFactory, created_ms, uuid_time
from pacifictool.sandbox.refusals import bad_request, not_found
from pacifictool.sandbox.store import Store

DASHBOARD = "DASHBOARD"
_TENANT = ("TENANT_ADMIN",)
_KEPT = ("title", "assignedCustomers", "configuration")

Document = dict[str, Any]


class DashboardController1:
    """Dashboards, straight from and to the database: they are few and rarely requested."""

    def __init__(self, store: Store, ids: IdFactory) -> None:
        self._store = store
        self._ids = ids

    def add_routes(self, api: Api) -> None:
        api.route(("POST",), "/api/dashboard", self._save, _TENANT)
        api.route(("GET",), "/api/dashboard/{id}", self._get, (*_TENANT, "CUSTOMER_USER"))
        api.route(("DELETE",), "/api/dashboard/{id}", self._delete, _TENANT)
        api.route(("GET",), "/api/tenant/dashboards", self._page, _TENANT)

    async def _save(self, request: Request, user: SandboxUser) -> Response:
        document = await read_object(request)
        reference = document.get("id")
        old = None if reference is None else self._find(id_of(reference), user)
        title = document.get("title")
        if not isinstance(title, str) or not title.strip():
            raise bad_request("Dashboard title should be specified!")
        new_id = self._ids.new()
        saved: Document = old or {
            "id": {"entityType": DASHBOARD, "id": str(new_id)},
            "createdTime": created_ms(new_id),
            "tenantId": {"entityType": "TENANT", "id": user.tenant},
        }
        saved |= {key: document.get(key) for key in _KEPT} | {"name": title}
        if old is None:
            self._store.write(
                "INSERT INTO component VALUES (?, ?, ?, ?, ?)",
                (uuid_time(new_id), str(new_id), DASHBOARD, user.tenant, json.dumps(saved)),
            )
        else:
            self._store.write("UPDATE component SET document = ? WHERE id = ?", (json.dumps(saved), saved["id"]["id"]))
        self._store.commit()
        return json_response(saved)

    async def _get(self, request: Request, user: SandboxUser) -> Response:
        return json_response(self._find(request.path_params["id"], user))

    async def _delete(self, request: Request, user: SandboxUser) -> Response:
        found = self._find(request.path_params["id"], user)
        self._store.write("DELETE FROM component WHERE id = ?", (found["id"]["id"],))
        self._store.commit()
        return empty_response()

    async def _page(self, request: Request, user: SandboxUser) -> Response:
        link = TextPageLink.from_request(request)
        prefix = link.text_search or ""
        rows = self._store.rows(
            "SELECT document FROM component WHERE kind = ? AND tenant = ? AND born > ? ORDER BY born",
            (DASHBOARD, user.tenant, link.after),
        )
        found = [document for row in rows if (document := json.loads(row[0]))["title"].lower().startswith(prefix)]
        return link.page(
            [
                (item["id"]["id"], item["title"], {key: item[key] for key in item if key != "configuration"})
                for item in found[: link.limit]
            ]
        )

    def _find(self, identifier: str, user: SandboxUser) -> Document:
        row = self._store.row(
            "SELECT document FROM component WHERE id = ? AND kind = ? AND tenant = ?",
            (str(uuid_parameter(identifier)), DASHBOARD, user.tenant),
        )
        if row is None:
            raise not_found()
        found: Document = json.loads(row[0])
        return found
