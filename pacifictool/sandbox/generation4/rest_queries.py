"""REST: entity queries, the part that reads latest values of many devices or assets with one request."""

from __future__ import annotations

import json
import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox.auth import SandboxUser
from pacifictool.sandbox.generation4.http import JSON, Api4, read_object
from pacifictool.sandbox.generation4.refusals import general
from pacifictool.sandbox.generation4.telemetry import Point, TelemetryStore4
from pacifictool.sandbox.ids import created_ms
from pacifictool.sandbox.refusals import bad_request
from pacifictool.sandbox.store import Store
from pacifictool.sandbox.values import java_double, java_text

_COLUMNS = {"createdTime": "born", "name": "name", "type": "type"}


class EntityQueryController:
    """`POST /api/entitiesQuery/find` with the filters `entityList` and `entityName`, without `keyFilters`."""

    def __init__(self, store: Store, telemetry: TelemetryStore4) -> None:
        self._store = store
        self._telemetry = telemetry

    def add_routes(self, api: Api4) -> None:
        api.route(("POST",), "/api/entitiesQuery/find", self._find, ("TENANT_ADMIN",))

    async def _find(self, request: Request, user: SandboxUser) -> Response:
        query = await read_object(request)
        link = query.get("pageLink") or {}
        size, page = link.get("pageSize"), link.get("page")
        if not isinstance(size, int) or not isinstance(page, int) or size < 1 or page < 0:
            raise bad_request(f"Incorrect page link page size '{size}'. Page size must be greater than zero.")
        kind, where, parameters = _conditions(query.get("entityFilter") or {})
        order = link.get("sortOrder") or {}
        column = _COLUMNS.get(str((order.get("key") or {}).get("key")), "born")
        direction = "DESC" if order.get("direction") == "DESC" else "ASC"
        # "+" keeps the planner from an index over all entities: a list of ids is looked up.
        where = f"+tenant = ? AND +kind = ? AND {where}"
        rows = self._store.rows(
            f"SELECT born, id, name, type FROM entity WHERE {where} ORDER BY {column} {direction} LIMIT ? OFFSET ?",  # noqa: S608 - constants
            (user.tenant, kind, *parameters, size + 1, page * size),
        )
        has_next = len(rows) > size
        rows = rows[:size]
        total = len(rows)
        if page or has_next:
            counting = f"SELECT count(*) FROM entity WHERE {where}"  # noqa: S608 - constants
            [(total,)] = self._store.rows(counting, (user.tenant, kind, *parameters))
        fields = [field["key"] for field in query.get("entityFields") or []]
        keys = [key["key"] for key in query.get("latestValues") or [] if key.get("type") == "TIME_SERIES"]
        points = [(json.dumps(key), self._telemetry.latest_of([row[0] for row in rows], key)) for key in keys]
        data = ",".join([_entity_data(kind, row, fields, points) for row in rows])
        counts = {"totalPages": -(-total // size), "totalElements": total, "hasNext": has_next}
        body = f'{{"data":[{data}],{json.dumps(counts)[1:]}'
        return Response(body.encode("ascii"), headers={"Content-Type": JSON})


def _conditions(entity_filter: dict[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    """Kind of entity, SQL condition and its parameters. Raises refusals."""
    match entity_filter:
        case {"type": "entityList", "entityType": str(kind), "entityList": list(ids)} if ids:
            return kind, "id IN (SELECT value FROM json_each(?))", (json.dumps(ids),)
        case {"type": "entityName", "entityType": str(kind), "entityNameFilter": str(beginning)}:
            return kind, "search_name LIKE ?", (f"{beginning.lower()}%",)
    raise general(f"JSON parse error: the sandbox does not support the entity filter {str(entity_filter)[:100]}")


def _entity_data(kind: str, row: tuple[Any, ...], fields: list[str], points: list[tuple[str, dict[int, Point]]]) -> str:
    """One entity as JSON. Formatted by hand: a query may return thousands."""
    born, identifier, name, type_ = row
    latest = []
    if fields:
        known = {"name": name, "type": type_, "createdTime": str(created_ms(uuid.UUID(identifier)))}
        shown = {field: {"ts": 0, "value": known.get(field, "")} for field in fields}
        latest.append(f'"ENTITY_FIELD":{json.dumps(shown)}')
    if points:
        values = ",".join([f"{key}:{_shown(found.get(born))}" for key, found in points])
        latest.append(f'"TIME_SERIES":{{{values}}}')
    entity_id = f'{{"entityType":"{kind}","id":"{identifier}"}}'
    return f'{{"entityId":{entity_id},"latest":{{{",".join(latest)}}},"timeseries":{{}}}}'


def _shown(point: Point | None) -> str:
    """The value as JSON; empty and with timestamp 0 for a key that has none."""
    if point is None:
        return '{"ts":0,"value":""}'
    timestamp, value = point
    text = f'"{java_double(value)}"' if type(value) is float else json.dumps(java_text(value))
    return f'{{"ts":{timestamp},"value":{text}}}'
