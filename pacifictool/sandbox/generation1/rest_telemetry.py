"""REST: telemetry and attributes under /api/plugins/telemetry. Errors are plain texts or empty bodies.

docs/servers/1.x.md#telemetry-over-rest, docs/servers/1.x.md#attributes-over-rest.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox.auth import SandboxUser
from pacifictool.sandbox.devices import CLIENT, SERVER, SHARED, SandboxDevices
from pacifictool.sandbox.entities import Entities, Entity
from pacifictool.sandbox.generation1.device_api import DeviceApi1
from pacifictool.sandbox.http import empty_response, json_response, read_body, strict_json
from pacifictool.sandbox.ids import now_ms, parse_uuid
from pacifictool.sandbox.refusals import FrameworkRefusal, TextRefusal
from pacifictool.sandbox.rest_telemetry import TelemetryController, attribute_list, path_parts
from pacifictool.sandbox.store import Store
from pacifictool.sandbox.telemetry import AGGREGATIONS, AttributeStore, TelemetryStore
from pacifictool.sandbox.values import InvalidJson, PayloadRefused, Values, parse_json, parse_telemetry

_ENTITY_TYPES = ("TENANT", "CUSTOMER", "USER", "RULE", "PLUGIN", "DASHBOARD", "ASSET", "DEVICE", "ALARM")
_DEFAULT_LIMIT = 100
_LONG_MAX = 2**63 - 1


class TelemetryController1(TelemetryController):
    """The paths are parsed as the server's telemetry plugin does."""

    def __init__(
        self,
        store: Store,
        entities: Entities,
        devices: SandboxDevices,
        telemetry: TelemetryStore,
        attributes: AttributeStore,
        device_api: DeviceApi1,
    ) -> None:
        super().__init__(store, entities, devices, attributes, device_api.shared_attributes_changed)
        self._telemetry = telemetry

    async def _get(self, request: Request, user: SandboxUser) -> Response:
        parts = path_parts(request)
        if len(parts) not in (4, 5) or parts[2] not in ("keys", "values"):
            raise TextRefusal(400)
        reference = _reference(parts[0], parts[1])
        what, scope = parts[3], parts[4] if len(parts) == 5 else None
        if what == "timeseries":
            if parts[2] == "keys":
                return json_response(self._telemetry.keys(self._entity(reference, user).born))
            return self._values(request, reference, user)
        if what != "attributes":
            raise TextRefusal(400)
        found = self._attributes.get(self._entity(reference, user).born, scope)
        if parts[2] == "keys":
            return json_response([key for key, _, _ in found])
        return json_response(attribute_list(request, found))

    def _values(self, request: Request, reference: tuple[str, str], user: SandboxUser) -> Response:
        query = request.query_params
        if not query.get("keys"):
            raise FrameworkRefusal(
                400,
                "Required String parameter 'keys' is not present",
                "org.springframework.web.bind.MissingServletRequestParameterException",
            )
        keys = query["keys"].split(",")
        while keys and not keys[-1]:
            keys.pop()
        start, end, interval = (_number(request, name) for name in ("startTs", "endTs", "interval"))
        limit = _number(request, "limit")
        if start is None and end is None and interval is None:
            _check_answerable(keys, 1)
            entity = self._entity(reference, user)
            return json_response({key: [self._latest(entity, key)] for key in keys})
        if start is None or end is None or interval is None or interval < 0:
            raise TextRefusal(400)
        aggregation = query.get("agg", "NONE") if interval else "NONE"
        if aggregation not in AGGREGATIONS:
            raise FrameworkRefusal(
                500,
                f"No enum constant org.thingsboard.server.common.data.kv.Aggregation.{aggregation}",
                "java.lang.IllegalArgumentException",
            )
        limit = _DEFAULT_LIMIT if limit is None else limit
        _check_answerable(keys, limit)
        entity = self._entity(reference, user)
        document = {}
        for key in keys:
            if aggregation == "NONE":
                points = self._telemetry.range(entity.born, key, start, end, limit)
            else:
                points = self._telemetry.aggregate(entity.born, key, start, end, interval, aggregation)
            if points:
                document[key] = [{"ts": timestamp, "value": value} for timestamp, value in points]
        return json_response(document)

    def _latest(self, entity: Entity, key: str) -> dict[str, Any]:
        found = self._telemetry.latest(entity.born, key)
        return {"ts": now_ms(), "value": None} if found is None else {"ts": found[0], "value": found[1]}

    async def _post(self, request: Request, user: SandboxUser) -> Response:
        parts = path_parts(request)
        if len(parts) == 2:
            return await self._post_attributes(request, user, _reference("DEVICE", parts[0]), parts[1])
        if len(parts) == 3:
            return await self._post_attributes(request, user, _reference(parts[0], parts[1]), parts[2])
        if len(parts) == 4 and parts[2] == "attributes":
            return await self._post_attributes(request, user, _reference(parts[0], parts[1]), parts[3])
        if len(parts) in (4, 5) and parts[2] == "timeseries":
            reference = _reference(parts[0], parts[1])
            if len(parts) == 5:
                _long(parts[4], TextRefusal)
            return await self._post_timeseries(request, user, reference)
        raise TextRefusal(400)

    async def _post_timeseries(self, request: Request, user: SandboxUser, reference: tuple[str, str]) -> Response:
        body = await read_body(request)
        try:
            readings = parse_telemetry(parse_json(body), now_ms())
        except InvalidJson as error:
            raise TextRefusal(400, f"Unable to parse timeseries payload: {error}") from None
        except PayloadRefused as error:
            raise TextRefusal(400, str(error)) from None
        if not any(values for _, values in readings):
            raise TextRefusal(400, "No timeseries data found in request body!")
        entity = self._entity(reference, user)
        for timestamp, values in readings:
            self._telemetry.add(entity.born, timestamp, values)
        self._store.commit()
        return empty_response()

    async def _post_attributes(
        self, request: Request, user: SandboxUser, reference: tuple[str, str], scope: str
    ) -> Response:
        if scope not in (SERVER, SHARED):
            raise TextRefusal(400)
        values = _attribute_values(await read_body(request))
        entity = self._entity(reference, user)
        return self._put_attributes(entity, scope, values, lambda value: value)

    async def _delete(self, request: Request, user: SandboxUser) -> Response:
        parts = path_parts(request)
        if len(parts) == 2:
            reference, scope = _reference("DEVICE", parts[0]), parts[1]
        elif len(parts) == 3:
            reference, scope = _reference(parts[0], parts[1]), parts[2]
        else:
            raise TextRefusal(400)
        keys = [key for key in request.query_params.get("keys", "").split(",") if key]
        if scope not in (SERVER, SHARED, CLIENT) or not keys:
            raise TextRefusal(400)
        entity = self._entity(reference, user)
        return self._delete_attributes(entity, scope, keys)


def _reference(kind: str, identifier: str) -> tuple[str, str]:
    if kind not in _ENTITY_TYPES:
        raise TextRefusal(400, f"No enum constant org.thingsboard.server.common.data.EntityType.{kind}")
    try:
        return kind, str(parse_uuid(identifier))
    except ValueError as error:
        raise TextRefusal(400, str(error)) from None


def _long(text: str, refusal: type[TextRefusal] | None = None) -> int:
    try:
        number = int(text)
        if abs(number) > _LONG_MAX or not text.removeprefix("-").removeprefix("+").isdigit():
            raise ValueError(text)
    except ValueError:
        message = f'For input string: "{text}"'
        if refusal is not None:
            raise refusal(400, message) from None
        raise FrameworkRefusal(500, message, "java.lang.NumberFormatException") from None
    return number


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    return None if text is None else _long(text)


def _check_answerable(keys: list[str], limit: int) -> None:
    """A server gives up after about 30 s (docs/servers/1.x.md#telemetry-over-rest, row 19); waiting has no point."""
    if limit < 1 or not all(keys):
        raise FrameworkRefusal(
            503, "No message available", "org.springframework.web.context.request.async.AsyncRequestTimeoutException"
        )


def _attribute_values(body: bytes) -> Values:
    try:
        document = strict_json(body)
    except ValueError:
        raise TextRefusal(400, "Unable to parse attributes payload: Invalid JSON body!") from None
    if not isinstance(document, dict):
        raise TextRefusal(400)
    values: Values = {
        key: value
        for key, value in document.items()
        if isinstance(value, str | bool | float) or (isinstance(value, int) and abs(value) <= _LONG_MAX)
    }
    if not values:
        raise TextRefusal(400, "No attributes data found in request body!")
    return values
