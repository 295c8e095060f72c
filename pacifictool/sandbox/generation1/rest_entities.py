"""REST: devices and assets, credentials, relations (docs/servers/1.x.md#devices, docs/servers/1.x.md#assets)."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox.auth import SandboxUser
from pacifictool.sandbox.devices import SandboxDevices
from pacifictool.sandbox.entities import Entities, Entity, NameTaken, TokenTaken
from pacifictool.sandbox.generation1.device_api import DeviceApi1
from pacifictool.sandbox.http import (
    Api,
    TextPageLink,
    empty_response,
    id_of,
    json_response,
    read_object,
    uuid_parameter,
)
from pacifictool.sandbox.ids import NULL_UUID
from pacifictool.sandbox.refusals import GENERAL, FrameworkRefusal, PlatformRefusal, bad_request, forbidden, not_found
from pacifictool.sandbox.store import Store
from pacifictool.sandbox.telemetry import TelemetryStore

_TENANT = ("TENANT_ADMIN",)
_TENANT_AND_CUSTOMER = ("TENANT_ADMIN", "CUSTOMER_USER")
_MAX_TEXT = 255


class EntityController1:
    """Handlers of one entity kind (DEVICE or ASSET), and of what only devices have."""

    def __init__(
        self,
        store: Store,
        entities: Entities,
        devices: SandboxDevices,
        telemetry: TelemetryStore,
        device_api: DeviceApi1,
    ) -> None:
        self._store = store
        self._entities = entities
        self._devices = devices
        self._telemetry = telemetry
        self._device_api = device_api

    def add_routes(self, api: Api) -> None:
        api.route(("GET",), "/api/device/{id}/credentials", self._credentials, _TENANT_AND_CUSTOMER)
        api.route(("POST",), "/api/device/credentials", self._save_credentials, _TENANT_AND_CUSTOMER)
        for kind, name in (("DEVICE", "device"), ("ASSET", "asset")):
            self._add_kind(api, kind, name)
        api.route(("GET",), "/api/relations", self._relations, _TENANT_AND_CUSTOMER)

    def _add_kind(self, api: Api, kind: str, name: str) -> None:
        async def save(request: Request, user: SandboxUser) -> Response:
            return await self._save(kind, request, user)

        async def get(request: Request, user: SandboxUser) -> Response:
            return json_response(self.find(kind, request.path_params["id"], user).document())

        async def delete(request: Request, user: SandboxUser) -> Response:
            return self._delete(self.find(kind, request.path_params["id"], user))

        async def of_tenant(request: Request, user: SandboxUser) -> Response:
            return self._of_tenant(kind, request, user)

        async def types(_request: Request, user: SandboxUser) -> Response:
            tenant = {"entityType": "TENANT", "id": user.tenant}
            found = self._entities.types(kind, user.tenant)
            return json_response([{"tenantId": tenant, "entityType": kind, "type": type_} for type_ in found])

        api.route(("POST",), f"/api/{name}", save, _TENANT_AND_CUSTOMER)
        api.route(("GET",), f"/api/{name}/types", types, _TENANT_AND_CUSTOMER)
        api.route(("GET",), f"/api/{name}/{{id}}", get, _TENANT_AND_CUSTOMER)
        api.route(("DELETE",), f"/api/{name}/{{id}}", delete, _TENANT)
        api.route(("GET",), f"/api/tenant/{name}s", of_tenant, _TENANT)

    def find(self, kind: str, identifier: str, user: SandboxUser) -> Entity:
        """The entity of an id in a path. Raises 400, 403 and 404 refusals."""
        entity = self._entities.find(kind, str(uuid_parameter(identifier)))
        if entity is None:
            raise not_found()
        if not user.may_see(entity.tenant, entity.customer):
            raise forbidden()
        return entity

    async def _save(self, kind: str, request: Request, user: SandboxUser) -> Response:
        document = await read_object(request)
        name, type_ = _text(document, "name"), _text(document, "type")
        old = self.find(kind, id_of(document["id"]), user) if document.get("id") is not None else None
        if old is None and user.authority == "CUSTOMER_USER":
            raise forbidden()
        word = kind.capitalize()
        if not type_:
            raise bad_request(f"{word} type should be specified!")
        if not name:
            raise bad_request(f"{word} name should be specified!")
        if max(len(name), len(type_)) > _MAX_TEXT:
            # docs/servers/1.x.md#devices, row 4; the refusal itself was not observed.
            raise PlatformRefusal(500, "could not execute statement", GENERAL)
        customer = document.get("customerId")
        customer_id = NULL_UUID if customer is None else str(uuid_parameter(id_of(customer)))
        information = document.get("additionalInfo")
        try:
            if old is None:
                entity = self._entities.create(
                    kind, user.tenant, name, type_, customer=customer_id, additional_info=information
                )
            else:
                entity = old
                entity.name, entity.type, entity.additional_info = name, type_, information
                if customer is not None:
                    entity.customer = customer_id
                self._entities.update(entity)
                self._devices.entity_changed(entity)
        except NameTaken:
            raise bad_request(f"{word} with such name already exists!") from None
        self._store.commit()
        return json_response(entity.document())

    def _delete(self, entity: Entity) -> Response:
        self._telemetry.forget(entity.born)
        self._entities.delete(entity)
        self._devices.forget(entity.id, deleted=True)
        self._store.commit()
        return empty_response()

    def _of_tenant(self, kind: str, request: Request, user: SandboxUser) -> Response:
        query = request.query_params
        name = query.get(f"{kind.lower()}Name")
        if name is not None:
            entity = self._entities.find_by_name(kind, user.tenant, name)
            if entity is None:
                raise not_found()
            return json_response(entity.document())
        if "limit" not in query:
            # The request matches the route of a single tenant then.
            raise bad_request(f"Invalid UUID string: {kind.lower()}s")
        link = TextPageLink.from_request(request)
        found = self._entities.page(
            kind, user.tenant, link.limit, after=link.after, type_=query.get("type") or None, prefix=link.text_search
        )
        return link.page([(entity.id, entity.name, entity.document()) for entity in found])

    async def _credentials(self, request: Request, user: SandboxUser) -> Response:
        device = self.find("DEVICE", request.path_params["id"], user)
        credentials = self._entities.credentials(device.id)
        if credentials is None:
            raise not_found()
        return json_response(credentials.document())

    async def _save_credentials(self, request: Request, user: SandboxUser) -> Response:
        document = await read_object(request)
        device = self.find("DEVICE", id_of(document.get("deviceId")), user)
        token = _text(document, "credentialsId")
        if not token:
            raise bad_request("Device credentials id should be specified!")
        if document.get("credentialsType") != "ACCESS_TOKEN":
            raise bad_request("The sandbox supports only ACCESS_TOKEN credentials!")
        try:
            self._entities.change_token(device.id, token, _text(document, "credentialsValue") or None)
        except TokenTaken:
            raise bad_request("Specified credentials are already registered!") from None
        self._store.commit()
        self._device_api.token_changed(device.id)
        credentials = self._entities.credentials(device.id)
        assert credentials is not None
        return json_response(credentials.document())

    async def _relations(self, request: Request, user: SandboxUser) -> Response:
        query = request.query_params
        for side in ("from", "to"):
            identifier, kind = query.get(f"{side}Id"), query.get(f"{side}Type")
            if identifier is not None and kind is not None:
                entity = self.find(kind, identifier, user)
                return json_response(self._entities.relations(f"{side}_id", entity.id, query.get("relationType")))
        raise FrameworkRefusal(400, "Required String parameter 'fromId' is not present")


def _text(document: dict[str, Any], key: str) -> str:
    """A text of a body; numbers are read as text, as Jackson does. Raises the framework's 400 for objects."""
    value = document.get(key)
    if value is None:
        return ""
    if isinstance(value, dict | list):
        raise FrameworkRefusal(
            400,
            f"Could not read document: Can not deserialize instance of java.lang.String out of {key}",
            "org.springframework.http.converter.HttpMessageNotReadableException",
        )
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
