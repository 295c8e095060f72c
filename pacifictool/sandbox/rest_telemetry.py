"""REST: what telemetry and attributes under /api/plugins/telemetry have in common on all servers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox.auth import SandboxUser
from pacifictool.sandbox.devices import SHARED, SandboxDevices
from pacifictool.sandbox.entities import Entities, Entity
from pacifictool.sandbox.http import Api, empty_response
from pacifictool.sandbox.ids import now_ms
from pacifictool.sandbox.refusals import TextRefusal, forbidden
from pacifictool.sandbox.store import Store
from pacifictool.sandbox.telemetry import AttributeStore
from pacifictool.sandbox.values import Value, Values, json_value


class TelemetryController(ABC):
    """One handler per method, which parses the path after the prefix."""

    def __init__(
        self,
        store: Store,
        entities: Entities,
        devices: SandboxDevices,
        attributes: AttributeStore,
        notify: Callable[[str, dict[str, Any]], None],
    ) -> None:
        """`notify` tells a device, by id, its changed shared attributes."""
        self._store = store
        self._entities = entities
        self._devices = devices
        self._attributes = attributes
        self._notify = notify

    def add_routes(self, api: Api) -> None:
        path, authorities = "/api/plugins/telemetry/{rest:path}", ("TENANT_ADMIN", "CUSTOMER_USER")
        api.route(("GET",), path, self._get, authorities)
        api.route(("POST",), path, self._post, authorities)
        api.route(("DELETE",), path, self._delete, authorities)

    @abstractmethod
    async def _get(self, request: Request, user: SandboxUser) -> Response: ...

    @abstractmethod
    async def _post(self, request: Request, user: SandboxUser) -> Response: ...

    @abstractmethod
    async def _delete(self, request: Request, user: SandboxUser) -> Response: ...

    def _entity(self, reference: tuple[str, str], user: SandboxUser) -> Entity:
        """The entity of a kind and id. Raises 403 and 404 refusals."""
        entity = self._entities.find(*reference)
        if entity is None:
            raise TextRefusal(404, f"{reference[0].capitalize()} with requested id wasn't found!")
        if not user.may_see(entity.tenant, entity.customer):
            raise forbidden()
        return entity

    def _put_attributes(self, entity: Entity, scope: str, values: Values, shown: Callable[[Value], Any]) -> Response:
        """Stores attributes; a device is notified of shared ones, as `shown` makes them JSON."""
        if entity.kind == "DEVICE":
            self._devices.put_attributes(self._devices.for_entity(entity), scope, values, now_ms())
        else:
            self._attributes.put(entity.born, scope, values, now_ms())
        return self._attributes_changed(entity, scope, {key: shown(value) for key, value in values.items()})

    def _delete_attributes(self, entity: Entity, scope: str, keys: list[str]) -> Response:
        if entity.kind == "DEVICE":
            self._devices.delete_attributes(self._devices.for_entity(entity), scope, keys)
        else:
            self._attributes.delete(entity.born, scope, keys)
        return self._attributes_changed(entity, scope, {"deleted": keys})

    def _attributes_changed(self, entity: Entity, scope: str, document: dict[str, Any]) -> Response:
        self._store.commit()
        if entity.kind == "DEVICE" and scope == SHARED:
            self._notify(entity.id, document)
        return empty_response()


def path_parts(request: Request) -> list[str]:
    """The path after the prefix, split at slashes."""
    rest: str = request.path_params["rest"]
    return rest.strip("/").split("/")


def attribute_list(request: Request, found: list[tuple[str, Value, int]]) -> list[dict[str, Any]]:
    """The attributes that a query asks for with `keys`, by default all, as REST shows them."""
    wanted = request.query_params.get("keys")
    keys = None if not wanted else wanted.split(",")
    return [
        {"lastUpdateTs": updated, "key": key, "value": json_value(value)}
        for key, value, updated in found
        if keys is None or key in keys
    ]
