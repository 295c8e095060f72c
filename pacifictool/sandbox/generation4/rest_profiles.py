"""REST: device and asset profiles, dashboards.

docs/servers/4.x.md#devices-and-assets, docs/servers/4.x.md#dashboards.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox.auth import SandboxUser
from pacifictool.sandbox.generation4.documents import (
    ASSET_PROFILE,
    DASHBOARD,
    DEVICE_PROFILE,
    RULE_CHAIN,
    Document,
    Documents,
)
from pacifictool.sandbox.generation4.engine import RuleEngine4
from pacifictool.sandbox.generation4.entities import Entities4
from pacifictool.sandbox.generation4.http import Api4, PageLink, json_response, read_object, text_of
from pacifictool.sandbox.generation4.profiles import TEMPLATES, Profiles
from pacifictool.sandbox.generation4.refusals import words
from pacifictool.sandbox.http import empty_response, id_of
from pacifictool.sandbox.refusals import bad_request
from pacifictool.sandbox.store import Store

_TENANT = ("TENANT_ADMIN",)
_TENANT_AND_CUSTOMER = ("TENANT_ADMIN", "CUSTOMER_USER")
_SORT_KEYS = {"createdTime": "createdTime", "name": "name", "type": "type", "id": "id"}
_INFO_FIELDS = ("id", "name", "image", "defaultDashboardId", "type", "transportType", "tenantId")
_DASHBOARD_FIELDS = ("title", "image", "assignedCustomers", "mobileHide", "mobileOrder", "configuration", "externalId")
_DASHBOARD_MEDIA_TYPE = "application/json;charset=UTF-8"


class ProfileController:
    """Profiles of devices and assets."""

    def __init__(
        self, store: Store, documents: Documents, entities: Entities4, profiles: Profiles, engine: RuleEngine4
    ) -> None:
        self._store = store
        self._documents = documents
        self._entities = entities
        self._profiles = profiles
        self._engine = engine

    def add_routes(self, api: Api4) -> None:
        for kind, name in ((DEVICE_PROFILE, "deviceProfile"), (ASSET_PROFILE, "assetProfile")):
            self._add_kind(api, kind, name)

    def _add_kind(self, api: Api4, kind: str, name: str) -> None:
        async def save(request: Request, user: SandboxUser) -> Response:
            return self._save(kind, await read_object(request), user)

        async def get(request: Request, user: SandboxUser) -> Response:
            return json_response(self._documents.require(kind, request.path_params["id"], user.tenant))

        async def delete(request: Request, user: SandboxUser) -> Response:
            return self._delete(kind, self._documents.require(kind, request.path_params["id"], user.tenant))

        async def page(request: Request, user: SandboxUser) -> Response:
            return PageLink.from_request(request).page(self._documents.all(kind, user.tenant), _SORT_KEYS)

        async def infos(request: Request, user: SandboxUser) -> Response:
            return PageLink.from_request(request).page(self._documents.all(kind, user.tenant), _SORT_KEYS, _info)

        async def default_info(_request: Request, user: SandboxUser) -> Response:
            entity_kind = "DEVICE" if kind == DEVICE_PROFILE else "ASSET"
            found = self._profiles.get_or_create(entity_kind, user.tenant, "")
            self._store.commit()
            return json_response(_info(found))

        api.route(("POST",), f"/api/{name}", save, _TENANT)
        api.route(("GET",), f"/api/{name}s", page, _TENANT)
        api.route(("GET",), f"/api/{name}Infos", infos, _TENANT_AND_CUSTOMER)
        api.route(("GET",), f"/api/{name}Info/default", default_info, _TENANT_AND_CUSTOMER)
        api.route(("GET",), f"/api/{name}/{{id}}", get, _TENANT)
        api.route(("DELETE",), f"/api/{name}/{{id}}", delete, _TENANT)

    def _save(self, kind: str, document: Document, user: SandboxUser) -> Response:
        old = self._documents.referenced(kind, document, user.tenant)
        word, name = words(kind), text_of(document, "name")
        if not name.strip():
            raise bad_request(f"{word} name should be specified!")
        if kind == DEVICE_PROFILE:
            for field, text in (("type", "type"), ("transportType", "transport type"), ("profileData", "data")):
                if document.get(field) is None:
                    raise bad_request(f"{word} {text} should be specified!")
        same = self._documents.find_by_name(kind, user.tenant, name)
        if same is not None and same is not old:
            raise bad_request(f"{word} with such name already exists!")
        if old is not None and name != old["name"] and self._is_used(kind, old):
            raise bad_request("The sandbox does not rename profiles that are in use!")
        chain = document.get("defaultRuleChainId")
        if chain is not None:
            self._documents.require(RULE_CHAIN, id_of(chain), user.tenant)
        content = {field: document.get(field, default) for field, default in TEMPLATES[kind].items()}
        content["default"] = old is not None and old["default"]
        saved = self._documents.save(kind, user.tenant, old, content, document.get("version"))
        self._store.commit()
        self._engine.profiles_changed()
        return json_response(saved)

    def _is_used(self, kind: str, profile: Document) -> bool:
        entity_kind = "DEVICE" if kind == DEVICE_PROFILE else "ASSET"
        return profile["name"] in self._entities.types(entity_kind, profile["tenantId"]["id"])

    def _delete(self, kind: str, profile: Document) -> Response:
        if profile["default"]:
            raise bad_request(f"Deletion of Default {words(kind)} is prohibited!")
        if self._is_used(kind, profile):
            noun = "devices" if kind == DEVICE_PROFILE else "assets"
            raise bad_request(f"The {words(kind).lower()} referenced by the {noun} cannot be deleted!")
        self._documents.delete(kind, profile)
        self._store.commit()
        self._engine.profiles_changed()
        return empty_response()


def _info(profile: Document) -> Document:
    return {field: profile[field] for field in _INFO_FIELDS if field in profile}


class DashboardController4:
    """Dashboards: only the title is checked, everything else is stored unchanged."""

    def __init__(self, store: Store, documents: Documents) -> None:
        self._store = store
        self._documents = documents

    def add_routes(self, api: Api4) -> None:
        api.route(("POST",), "/api/dashboard", self._save, _TENANT)
        api.route(("GET",), "/api/dashboard/{id}", self._get, _TENANT_AND_CUSTOMER)
        api.route(("GET",), "/api/dashboard/info/{id}", self._get_info, _TENANT_AND_CUSTOMER)
        api.route(("DELETE",), "/api/dashboard/{id}", self._delete, _TENANT)
        api.route(("GET",), "/api/tenant/dashboards", self._page, _TENANT)

    def _find(self, request: Request, user: SandboxUser) -> Document:
        return self._documents.require(DASHBOARD, request.path_params["id"], user.tenant)

    async def _save(self, request: Request, user: SandboxUser) -> Response:
        document = await read_object(request)
        old = self._documents.referenced(DASHBOARD, document, user.tenant)
        if not text_of(document, "title").strip():
            raise bad_request("Dashboard title should be specified!")
        content: dict[str, Any] = {field: document.get(field) for field in _DASHBOARD_FIELDS}
        content |= {"mobileHide": document.get("mobileHide") is True, "name": document["title"], "resources": None}
        saved = self._documents.save(DASHBOARD, user.tenant, old, content, document.get("version"))
        self._store.commit()
        return json_response(saved, media_type=_DASHBOARD_MEDIA_TYPE)

    async def _get(self, request: Request, user: SandboxUser) -> Response:
        return json_response(self._find(request, user), media_type=_DASHBOARD_MEDIA_TYPE)

    async def _get_info(self, request: Request, user: SandboxUser) -> Response:
        return json_response(_without_configuration(self._find(request, user)))

    async def _delete(self, request: Request, user: SandboxUser) -> Response:
        self._documents.delete(DASHBOARD, self._find(request, user))
        self._store.commit()
        return empty_response()

    async def _page(self, request: Request, user: SandboxUser) -> Response:
        return PageLink.from_request(request).page(
            self._documents.all(DASHBOARD, user.tenant),
            {"createdTime": "createdTime", "title": "title", "id": "id"},
            _without_configuration,
            name="title",
        )


def _without_configuration(dashboard: Document) -> Document:
    return {key: value for key, value in dashboard.items() if key not in ("configuration", "resources")}
