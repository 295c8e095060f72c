"""REST: devices and assets, credentials, relations (docs/servers/4.x.md#devices-and-assets)."""

from __future__ import annotations

import secrets
import string
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox.auth import SandboxUser
from pacifictool.sandbox.devices import SERVER, SandboxDevices
from pacifictool.sandbox.entities import Entity, NameTaken, TokenTaken
from pacifictool.sandbox.faults import Faults
from pacifictool.sandbox.generation4.device_api import DeviceApi4
from pacifictool.sandbox.generation4.documents import Document, Documents
from pacifictool.sandbox.generation4.entities import Details, Entities4
from pacifictool.sandbox.generation4.http import Api4, PageLink, json_response, read_object, text_of
from pacifictool.sandbox.generation4.profiles import Profiles, profile_kind
from pacifictool.sandbox.generation4.refusals import LimitReached, not_found, stale
from pacifictool.sandbox.http import empty_response, id_of, uuid_parameter
from pacifictool.sandbox.ids import NULL_UUID, now_ms
from pacifictool.sandbox.refusals import bad_request, forbidden
from pacifictool.sandbox.refusals import not_found as not_found_by_name
from pacifictool.sandbox.store import Store
from pacifictool.sandbox.telemetry import TelemetryStore

_TENANT = ("TENANT_ADMIN",)
_TENANT_AND_CUSTOMER = ("TENANT_ADMIN", "CUSTOMER_USER")
_MAX_TEXT = 255
_TOKEN_IN_USE = "Device credentials are already assigned to another device!"  # noqa: S105 - a message


class EntityController4:
    """Handlers of both entity kinds, and of what only devices have."""

    def __init__(
        self,
        store: Store,
        entities: Entities4,
        documents: Documents,
        profiles: Profiles,
        devices: SandboxDevices,
        telemetry: TelemetryStore,
        device_api: DeviceApi4,
        faults: Faults,
    ) -> None:
        self._store = store
        self._entities = entities
        self._documents = documents
        self._profiles = profiles
        self._devices = devices
        self._telemetry = telemetry
        self._device_api = device_api
        self._max_devices = faults.max_devices

    def add_routes(self, api: Api4) -> None:
        api.route(("GET",), "/api/device/{id}/credentials", self._credentials, _TENANT_AND_CUSTOMER)
        api.route(("POST",), "/api/device/credentials", self._save_credentials, _TENANT_AND_CUSTOMER)
        api.route(("POST",), "/api/device-with-credentials", self._save_with_credentials, _TENANT)
        for kind, name in (("DEVICE", "device"), ("ASSET", "asset")):
            self._add_kind(api, kind, name)
        api.route(("GET",), "/api/relations", self._relations, _TENANT_AND_CUSTOMER)
        api.route(("GET",), "/api/tenant/{id}", _not_a_page, _TENANT)

    def _add_kind(self, api: Api4, kind: str, name: str) -> None:
        async def save(request: Request, user: SandboxUser) -> Response:
            query = request.query_params
            policy = query.get("nameConflictPolicy") == "UNIQUIFY"
            token = query.get("accessToken") if kind == "DEVICE" else None
            entity = await self._save(kind, await read_object(request), user, token=token, uniquifies=policy)
            self._store.commit()
            return json_response(self._entities.document(entity))

        async def get(request: Request, user: SandboxUser) -> Response:
            return json_response(self._entities.document(self.find(kind, request.path_params["id"], user)))

        async def info(request: Request, user: SandboxUser) -> Response:
            return json_response(self._info(self.find(kind, request.path_params["id"], user)))

        async def delete(request: Request, user: SandboxUser) -> Response:
            return self._delete(self.find(kind, request.path_params["id"], user))

        async def of_tenant(request: Request, user: SandboxUser) -> Response:
            return self._of_tenant(kind, request, user)

        async def infos(request: Request, user: SandboxUser) -> Response:
            return self._infos(kind, request, user)

        async def by_ids(request: Request, user: SandboxUser) -> Response:
            wanted = [part for part in request.query_params.get(f"{name}Ids", "").split(",") if part]
            found = (self._entities.find(kind, str(uuid_parameter(identifier))) for identifier in wanted)
            return json_response(
                [self._entities.document(entity) for entity in found if entity and entity.tenant == user.tenant]
            )

        async def types(_request: Request, user: SandboxUser) -> Response:
            tenant = {"entityType": "TENANT", "id": user.tenant}
            found = self._entities.types(kind, user.tenant)
            return json_response([{"tenantId": tenant, "entityType": kind, "type": type_} for type_ in found])

        api.route(("POST",), f"/api/{name}", save, _TENANT_AND_CUSTOMER)
        api.route(("GET",), f"/api/{name}/types", types, _TENANT_AND_CUSTOMER)
        api.route(("GET",), f"/api/{name}/info/{{id}}", info, _TENANT_AND_CUSTOMER)
        api.route(("GET",), f"/api/{name}/{{id}}", get, _TENANT_AND_CUSTOMER)
        api.route(("DELETE",), f"/api/{name}/{{id}}", delete, _TENANT)
        api.route(("GET",), f"/api/{name}s", by_ids, _TENANT_AND_CUSTOMER)
        api.route(("GET",), f"/api/tenant/{name}s", of_tenant, _TENANT)
        api.route(("GET",), f"/api/tenant/{name}Infos", infos, _TENANT)

    def find(self, kind: str, identifier: str, user: SandboxUser) -> Entity:
        """The entity of an id in a path. Raises 400, 403 and 404 refusals."""
        entity = self._entities.find(kind, str(uuid_parameter(identifier)))
        if entity is None:
            raise not_found(kind, identifier)
        if not user.may_see(entity.tenant, entity.customer):
            raise forbidden()
        return entity

    def _info(self, entity: Entity) -> Document:
        is_active = (
            entity.kind == "DEVICE" and self._devices.for_entity(entity).attributes[SERVER].get("active") is True
        )
        return self._entities.info(entity, is_active=is_active)

    async def _save(
        self, kind: str, document: Document, user: SandboxUser, *, token: str | None = None, uniquifies: bool = False
    ) -> Entity:
        """Creates or changes an entity; not committed yet. Missing fields become null."""
        old = self.find(kind, id_of(document["id"]), user) if document.get("id") is not None else None
        if old is None and user.authority == "CUSTOMER_USER":
            raise forbidden()
        word, name = kind.capitalize(), text_of(document, "name")
        if not name.strip():
            raise bad_request(f"{word} name should be specified!")
        type_ = self._type(kind, document, user)
        for field, text in (("name", name), ("type", type_)):
            if len(text) > _MAX_TEXT:
                raise bad_request(f"Validation error: {field} length must be equal or less than {_MAX_TEXT}")
        details = Details(0) if old is None else self._entities.details(old)
        if old is not None and document.get("version") is not None and document["version"] != details.version:
            raise stale(kind)
        if old is None and kind == "DEVICE":
            self._check_limit(user.tenant)
        if token and self._entities.device_by_token(token) is not None:
            raise bad_request(_TOKEN_IN_USE)
        if uniquifies and old is None and self._entities.find_by_name(kind, user.tenant, name):
            name += "_" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(6))
        customer = document.get("customerId")
        customer_id = NULL_UUID if customer is None else str(uuid_parameter(id_of(customer)))
        information = document.get("additionalInfo")
        await self._profiles.get_or_create_in_a_race(kind, user.tenant, type_)
        try:
            if old is None:
                entity = self._entities.create(
                    kind, user.tenant, name, type_, customer=customer_id, additional_info=information, token=token
                )
                if kind == "DEVICE":
                    self._devices.put_attributes(self._devices.for_entity(entity), SERVER, {"active": False}, now_ms())
            else:
                entity = old
                entity.name, entity.type, entity.additional_info = name, type_, information
                if customer is not None:
                    entity.customer = customer_id
                self._entities.update(entity)
                self._devices.entity_changed(entity)
        except NameTaken:
            raise bad_request(f"{word} with such name already exists!") from None
        details.version += 1
        details.label = document.get("label")
        self._entities.save_details(entity, details)
        return entity

    def _type(self, kind: str, document: Document, user: SandboxUser) -> str:
        """The type, which is the profile's name if the document names one."""
        field = "deviceProfileId" if kind == "DEVICE" else "assetProfileId"
        if document.get(field) is not None:
            profile = self._documents.require(profile_kind(kind), id_of(document[field]), user.tenant)
            return str(profile["name"])
        return text_of(document, "type").strip() or "default"

    def _check_limit(self, tenant: str) -> None:
        if self._max_devices and self._entities.count("DEVICE", tenant) >= self._max_devices:
            raise LimitReached("DEVICE", self._max_devices)

    def _delete(self, entity: Entity) -> Response:
        self._telemetry.forget(entity.born)
        self._entities.delete(entity)
        self._store.commit()
        self._device_api.close_sessions(entity.id)
        self._devices.forget(entity.id, deleted=True)
        return empty_response()

    def _of_tenant(self, kind: str, request: Request, user: SandboxUser) -> Response:
        query = request.query_params
        name = query.get(f"{kind.lower()}Name")
        if name is not None:
            entity = self._entities.find_by_name(kind, user.tenant, name)
            if entity is None:
                raise not_found_by_name()
            return json_response(self._entities.document(entity))
        link, found, total = self._page(kind, request, user)
        return link.response([self._entities.document(entity) for entity in found], total)

    def _infos(self, kind: str, request: Request, user: SandboxUser) -> Response:
        link, found, total = self._page(kind, request, user)
        return link.response([self._info(entity) for entity in found], total)

    def _page(self, kind: str, request: Request, user: SandboxUser) -> tuple[PageLink, list[Entity], int]:
        query, link = request.query_params, PageLink.from_request(request)
        type_ = query.get("type") or None
        profile = query.get(f"{kind.lower()}ProfileId")
        if profile:
            type_ = self._documents.require(profile_kind(kind), profile, user.tenant)["name"]
        active = query.get("active") if request.url.path.endswith("Infos") else None
        found, total = self._entities.numbered_page(
            kind, user.tenant, link, type_=type_, active=None if active is None else active == "true"
        )
        return link, found, total

    def _credentials_document(self, device: Entity) -> Document:
        credentials = self._entities.credentials(device.id)
        if credentials is None:
            raise not_found_by_name()
        return credentials.document() | {"version": 1}

    async def _credentials(self, request: Request, user: SandboxUser) -> Response:
        return json_response(self._credentials_document(self.find("DEVICE", request.path_params["id"], user)))

    async def _save_credentials(self, request: Request, user: SandboxUser) -> Response:
        document = await read_object(request)
        device = self.find("DEVICE", id_of(document.get("deviceId")), user)
        if document.get("id") is None:
            raise bad_request("Credentials for this device are already specified!")
        token = _token(document)
        try:
            self._entities.change_token(device.id, token, text_of(document, "credentialsValue") or None)
        except TokenTaken:
            raise bad_request(_TOKEN_IN_USE) from None
        self._store.commit()
        self._device_api.close_sessions(device.id)
        self._devices.forget(device.id)
        return json_response(self._credentials_document(device))

    async def _save_with_credentials(self, request: Request, user: SandboxUser) -> Response:
        document = await read_object(request)
        device, credentials = document.get("device"), document.get("credentials")
        if not isinstance(device, dict) or not isinstance(credentials, dict):
            raise bad_request("Validation error: device and credentials must not be null")
        entity = await self._save("DEVICE", device, user, token=_token(credentials))
        self._store.commit()
        return json_response(self._entities.document(entity))

    async def _relations(self, request: Request, user: SandboxUser) -> Response:
        query = request.query_params
        for side in ("from", "to"):
            identifier, kind = query.get(f"{side}Id"), query.get(f"{side}Type")
            if identifier is not None and kind is not None:
                entity = self.find(kind, identifier, user)
                return json_response(self._entities.relations(f"{side}_id", entity.id, query.get("relationType")))
        raise bad_request("Required request parameter 'fromId' for method parameter type String is not present")


async def _not_a_page(request: Request, user: SandboxUser) -> Response:
    identifier = str(uuid_parameter(request.path_params["id"]))
    if identifier != user.tenant:
        raise forbidden()
    return json_response(
        {"id": {"entityType": "TENANT", "id": user.tenant}, "title": "Tenant", "name": "Tenant", "version": 1}
    )


def _token(document: dict[str, Any]) -> str:
    """The access token of credentials in a body. Raises 400 refusals."""
    token = text_of(document, "credentialsId")
    if not token:
        raise bad_request("Device credentials id should be specified!")
    if document.get("credentialsType") != "ACCESS_TOKEN":
        raise bad_request("The sandbox supports only ACCESS_TOKEN credentials!")
    return token
