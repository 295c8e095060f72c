"""REST: telemetry and attributes under /api/plugins/telemetry. Most errors are plain texts.

docs/servers/4.x.md#telemetry-over-rest, docs/servers/4.x.md#attributes-over-rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox.auth import SandboxUser
from pacifictool.sandbox.devices import CLIENT, SERVER, SHARED, SandboxDevices
from pacifictool.sandbox.entities import Entity
from pacifictool.sandbox.faults import Faults
from pacifictool.sandbox.generation4.device_api import DeviceApi4
from pacifictool.sandbox.generation4.entities import Entities4
from pacifictool.sandbox.generation4.http import integer, json_response
from pacifictool.sandbox.generation4.readings import metadata_text, parse_json, parse_telemetry, parse_values
from pacifictool.sandbox.generation4.refusals import general
from pacifictool.sandbox.generation4.telemetry import Point, TelemetryStore4
from pacifictool.sandbox.http import empty_response, read_body, uuid_parameter
from pacifictool.sandbox.ids import now_ms
from pacifictool.sandbox.refusals import NOT_FOUND, PlatformRefusal, TextRefusal, bad_request
from pacifictool.sandbox.rest_telemetry import TelemetryController, attribute_list, path_parts
from pacifictool.sandbox.store import Store
from pacifictool.sandbox.telemetry import AGGREGATIONS, AttributeStore
from pacifictool.sandbox.values import InvalidJson, PayloadRefused, Value, Values, java_text, json_value

_ENTITY_TYPES = (
    "TENANT", "CUSTOMER", "USER", "DASHBOARD", "ASSET", "DEVICE", "ALARM", "RULE_CHAIN", "RULE_NODE", "ENTITY_VIEW",
    "DEVICE_PROFILE", "ASSET_PROFILE", "EDGE", "API_KEY",
)  # fmt: skip
_SCOPES = (CLIENT, SERVER, SHARED)
_DEFAULT_LIMIT = 100
_MAX_INTERVALS = 700


class TelemetryController4(TelemetryController):
    """The paths are parsed as the server's controller does."""

    def __init__(
        self,
        store: Store,
        entities: Entities4,
        devices: SandboxDevices,
        telemetry: TelemetryStore4,
        attributes: AttributeStore,
        device_api: DeviceApi4,
        faults: Faults,
    ) -> None:
        super().__init__(store, entities, devices, attributes, device_api.shared_attributes_changed)
        self._telemetry = telemetry
        self._latency_seconds = faults.telemetry_latency_seconds

    async def _get(self, request: Request, user: SandboxUser) -> Response:
        match path_parts(request):
            case [kind, identifier, "keys", "timeseries"]:
                return json_response(self._telemetry.keys(self._entity(_reference(kind, identifier), user).born))
            case [kind, identifier, "keys", "attributes", *scope]:
                entity = self._entity(_reference(kind, identifier), user)
                return json_response([key for key, _, _ in self._attributes.get(entity.born, _optional(scope))])
            case [kind, identifier, "values", "timeseries"]:
                return self._values(request, self._entity(_reference(kind, identifier), user))
            case [kind, identifier, "values", "attributes", *scope]:
                entity = self._entity(_reference(kind, identifier), user)
                return json_response(attribute_list(request, self._attributes.get(entity.born, _optional(scope))))
        raise _no_such_path(request)

    def _values(self, request: Request, entity: Entity) -> Response:
        query = request.query_params
        keys = [key for key in query.get("keys", "").split(",") if key] or self._telemetry.keys(entity.born)
        start, end, limit = integer(request, "startTs"), integer(request, "endTs"), integer(request, "limit")
        strict = query.get("useStrictDataTypes") == "true"
        if start is None or end is None:
            return json_response({key: [self._latest(entity, key, strict=strict)] for key in keys})
        limit = _DEFAULT_LIMIT if limit is None else limit
        if limit < 1:
            raise TextRefusal(400, "Page size must not be less than one")
        aggregation, interval = query.get("agg") or "NONE", integer(request, "interval") or 0
        if aggregation not in AGGREGATIONS:
            raise bad_request(f"No enum constant org.thingsboard.server.common.data.kv.Aggregation.{aggregation}")
        document = {}
        for key in keys:
            if aggregation == "NONE" or interval <= 0:
                ascending = (query.get("orderBy") or "DESC").upper() == "ASC"
                points = self._telemetry.values(entity.born, key, start, end, limit, ascending=ascending)
            else:
                points = self._buckets(entity, key, start, end, interval, aggregation)
            if points:
                show: Callable[[Value], Any] = json_value if strict else _text
                document[key] = [{"ts": ts, "value": show(value)} for ts, value in points]
        return json_response(document)

    def _buckets(self, entity: Entity, key: str, start: int, end: int, interval: int, aggregation: str) -> list[Point]:
        count = (end - start) // interval
        if count > _MAX_INTERVALS:
            raise TextRefusal(
                400,
                f"Incorrect TsKvQuery. Number of intervals is to high - {count}. Please increase 'interval' parameter "
                "value for your query or reduce the time range of the query.",
            )
        return self._telemetry.buckets(entity.born, key, start, end, interval, aggregation)

    def _latest(self, entity: Entity, key: str, *, strict: bool) -> dict[str, Any]:
        found = self._telemetry.latest_value(entity.born, key)
        return {"ts": now_ms(), "value": None} if found is None else _shown(found, strict=strict)

    async def _post(self, request: Request, user: SandboxUser) -> Response:
        if self._latency_seconds:
            await asyncio.sleep(self._latency_seconds)
        match path_parts(request):
            case [kind, identifier, "timeseries", _]:
                return await self._post_timeseries(request, user, _reference(kind, identifier))
            case [kind, identifier, "timeseries", _, ttl]:
                if not ttl.lstrip("-").isdigit():
                    raise bad_request(f"Method parameter 'ttl': For input string: \"{ttl}\"")
                return await self._post_timeseries(request, user, _reference(kind, identifier))
            case [kind, identifier, "attributes", scope] | [kind, identifier, scope]:
                return await self._post_attributes(request, user, _reference(kind, identifier), scope)
            case [identifier, scope]:
                return await self._post_attributes(request, user, _reference("DEVICE", identifier), scope)
        raise _no_such_path(request)

    async def _post_timeseries(self, request: Request, user: SandboxUser, reference: tuple[str, str]) -> Response:
        body = await read_body(request)
        if not body:
            raise general("Required request body is missing")
        try:
            readings = parse_telemetry(parse_json(body), now_ms(), accepts_null=False)
        except InvalidJson as error:
            raise TextRefusal(400, f"Unable to parse time series payload: {error}") from None
        except PayloadRefused as error:
            raise TextRefusal(400, f"Unable to parse time series payload. Invalid JSON body: {error}") from None
        if not any(values for _, values in readings):
            raise TextRefusal(400, "No time series data found in request body!")
        entity = self._entity(reference, user)
        for timestamp, values in readings:
            self._telemetry.add(entity.born, timestamp, values)
        self._store.commit()
        return empty_response()

    async def _post_attributes(
        self, request: Request, user: SandboxUser, reference: tuple[str, str], scope: str
    ) -> Response:
        _check_scope(scope)
        if scope == CLIENT:
            raise TextRefusal(400, f"Invalid scope: {scope}")
        values = _attribute_values(await read_body(request))
        entity = self._entity(reference, user)
        return self._put_attributes(entity, scope, values, json_value)

    async def _delete(self, request: Request, user: SandboxUser) -> Response:
        keys = [key for key in request.query_params.get("keys", "").split(",") if key]
        match path_parts(request):
            case [kind, identifier, "timeseries", "delete"]:
                return self._delete_timeseries(request, user, _reference(kind, identifier), keys)
            case [kind, identifier, scope]:
                reference = _reference(kind, identifier)
            case [identifier, scope]:
                reference = _reference("DEVICE", identifier)
            case _:
                raise _no_such_path(request)
        _check_scope(scope)
        if not keys:
            raise TextRefusal(400, "Empty keys: ")
        entity = self._entity(reference, user)
        return self._delete_attributes(entity, scope, keys)

    def _delete_timeseries(
        self, request: Request, user: SandboxUser, reference: tuple[str, str], keys: list[str]
    ) -> Response:
        if not keys:
            raise TextRefusal(400, "Empty keys: ")
        everything = request.query_params.get("deleteAllDataForKeys") == "true"
        start, end = integer(request, "startTs"), integer(request, "endTs")
        if not everything and (start is None or end is None):
            raise TextRefusal(
                400, "When deleteAllDataForKeys is false, start and end timestamp values shouldn't be empty"
            )
        entity = self._entity(reference, user)
        for key in keys:
            if everything:
                self._telemetry.delete_key(entity.born, key)
            elif start is not None and end is not None:
                self._telemetry.delete_range(entity.born, key, start, end)
        self._store.commit()
        return empty_response()


def _no_such_path(request: Request) -> PlatformRefusal:
    return PlatformRefusal(404, f"No static resource {request.url.path.lstrip('/')}.", NOT_FOUND)


def _reference(kind: str, identifier: str) -> tuple[str, str]:
    if kind not in _ENTITY_TYPES:
        raise bad_request(f"No enum constant org.thingsboard.server.common.data.EntityType.{kind}")
    return kind, str(uuid_parameter(identifier))


def _optional(scope: list[str]) -> str | None:
    """The scope in a path, if there is one. Raises refusals."""
    if not scope:
        return None
    _check_scope(scope[0])
    return scope[0]


def _check_scope(scope: str) -> None:
    if scope not in _SCOPES:
        raise bad_request(f"Method parameter 'scope': Failed to convert value to AttributeScope; got '{scope}'")


def _shown(point: Point, *, strict: bool) -> dict[str, Any]:
    return {"ts": point[0], "value": json_value(point[1]) if strict else _text(point[1])}


def _text(value: Value) -> str:
    return metadata_text(value) if value is True or value is False else java_text(value)


def _attribute_values(body: bytes) -> Values:
    try:
        document = parse_json(body)
    except InvalidJson:
        raise general("JSON parse error: the attributes cannot be read") from None
    if not isinstance(document, dict):
        raise TextRefusal(400, "Request is not a JSON object")
    if not document:
        raise TextRefusal(400, "No attributes data found in request body!")
    try:
        return parse_values(document, accepts_null=False)
    except PayloadRefused as error:
        raise general(str(error)) from None
