"""REST: plugins, rules and their events (docs/servers/1.x.md#rules-and-plugins)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox.auth import SandboxUser
from pacifictool.sandbox.generation1.components import Components, StoredComponent, StoredPlugin, StoredRule
from pacifictool.sandbox.generation1.lifecycle import LifecycleService
from pacifictool.sandbox.http import (
    Api,
    TextPageLink,
    UserHandler,
    empty_response,
    id_of,
    json_response,
    read_object,
    uuid_parameter,
)
from pacifictool.sandbox.ids import NULL_UUID, uuid_time
from pacifictool.sandbox.refusals import forbidden, not_found

_ADMINS = ("SYS_ADMIN", "TENANT_ADMIN")


class ComponentController:
    """Handlers of plugins and rules."""

    def __init__(self, components: Components, lifecycle: LifecycleService) -> None:
        self._components = components
        self._lifecycle = lifecycle

    def add_routes(self, api: Api) -> None:
        for name in ("plugin", "rule"):
            self._add_kind(api, name)
        api.route(("POST",), "/api/plugin", self._save_plugin, _ADMINS)
        api.route(("POST",), "/api/rule", self._save_rule, _ADMINS)
        api.route(("GET",), "/api/plugin/token/{token}", self._plugin_by_token, _ADMINS)
        api.route(("GET",), "/api/rule/token/{token}", self._rules_by_token, _ADMINS)

    def _add_kind(self, api: Api, name: str) -> None:
        async def all_visible(_request: Request, user: SandboxUser) -> Response:
            return json_response([item.document(for_tenant=user.tenant) for item in self._visible(name, user)])

        async def page(request: Request, user: SandboxUser) -> Response:
            link = TextPageLink.from_request(request)
            prefix = link.text_search or ""
            own = [
                item
                for item in self._visible(name, user)
                if item.tenant == user.tenant
                and uuid_time(uuid_parameter(item.id)) > link.after
                and item.name.lower().startswith(prefix)
            ]
            return link.page([(item.id, item.name, item.document()) for item in own[: link.limit]])

        async def get(request: Request, user: SandboxUser) -> Response:
            found = self._find(name, request.path_params["id"], user)
            return json_response(found.document(for_tenant=user.tenant))

        def change(verb: str) -> UserHandler:
            async def handler(request: Request, user: SandboxUser) -> Response:
                await self._change(self._find(name, request.path_params["id"], user, to_change=True), verb)
                return empty_response()

            return handler

        async def delete(request: Request, user: SandboxUser) -> Response:
            found = self._find(name, request.path_params["id"], user, to_change=True)
            if isinstance(found, StoredPlugin):
                self._lifecycle.delete_plugin(found)
            else:
                self._lifecycle.delete_rule(found)
            return empty_response()

        api.route(("GET",), f"/api/{name}s", all_visible, _ADMINS)
        api.route(("GET",), f"/api/{name}", page, ("TENANT_ADMIN",))
        api.route(("GET",), f"/api/{name}/{{id}}", get, _ADMINS)
        api.route(("DELETE",), f"/api/{name}/{{id}}", delete, _ADMINS)
        for verb in ("activate", "suspend"):
            api.route(("POST",), f"/api/{name}/{{id}}/{verb}", change(verb), _ADMINS)

    def _visible(self, name: str, user: SandboxUser) -> Sequence[StoredComponent]:
        everything: dict[str, StoredPlugin] | dict[str, StoredRule] = (
            self._components.plugins if name == "plugin" else self._components.rules
        )
        return [item for item in everything.values() if item.tenant in (NULL_UUID, user.tenant)]

    def _find(self, name: str, identifier: str, user: SandboxUser, *, to_change: bool = False) -> StoredComponent:
        wanted = str(uuid_parameter(identifier))
        found = next((item for item in self._visible(name, user) if item.id == wanted), None)
        if found is None:
            raise not_found()
        if to_change and found.tenant != user.tenant:
            raise forbidden()
        return found

    async def _change(self, component: StoredComponent, verb: str) -> None:
        if isinstance(component, StoredPlugin):
            if verb == "activate":
                await self._lifecycle.activate_plugin(component)
            else:
                self._lifecycle.suspend_plugin(component)
        elif verb == "activate":
            self._lifecycle.activate_rule(component)
        else:
            self._lifecycle.suspend_rule(component)

    async def _save_plugin(self, request: Request, user: SandboxUser) -> Response:
        document = await read_object(request)
        old = self._old("plugin", document, user)
        assert old is None or isinstance(old, StoredPlugin)
        return json_response((await self._lifecycle.save_plugin(document, user.tenant, old)).document())

    async def _save_rule(self, request: Request, user: SandboxUser) -> Response:
        document = await read_object(request)
        old = self._old("rule", document, user)
        assert old is None or isinstance(old, StoredRule)
        return json_response(self._lifecycle.save_rule(document, user.tenant, old).document())

    def _old(self, name: str, document: dict[str, Any], user: SandboxUser) -> StoredComponent | None:
        reference = document.get("id")
        return None if reference is None else self._find(name, id_of(reference), user, to_change=True)

    async def _plugin_by_token(self, request: Request, user: SandboxUser) -> Response:
        token = request.path_params["token"]
        for plugin in self._visible("plugin", user):
            if isinstance(plugin, StoredPlugin) and plugin.api_token == token:
                return json_response(plugin.document(for_tenant=user.tenant))
        raise not_found()

    async def _rules_by_token(self, request: Request, user: SandboxUser) -> Response:
        token = request.path_params["token"]
        found = [rule for rule in self._components.rules_of_plugin(token) if rule in self._visible("rule", user)]
        return json_response([rule.document() for rule in found])
