"""REST: rule chains, their metadata, trying out scripts, and the event log (docs/servers/4.x.md#rule-chains)."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from pacifictool.sandbox.auth import SandboxUser
from pacifictool.sandbox.generation4.documents import Document
from pacifictool.sandbox.generation4.http import (
    Api4,
    PageLink,
    integer,
    json_response,
    read_object,
    text_of,
)
from pacifictool.sandbox.generation4.nodes import compile_script
from pacifictool.sandbox.generation4.readings import dump, parse_json
from pacifictool.sandbox.generation4.rule_chains import RuleChains, chain_document, metadata_document
from pacifictool.sandbox.http import empty_response, uuid_parameter
from pacifictool.sandbox.refusals import bad_request, forbidden
from pacifictool.sandbox.rest_events import EventController, event_document
from pacifictool.sandbox.scripting import ScriptFailed, ScriptRefused
from pacifictool.sandbox.values import PayloadRefused

_TENANT = ("TENANT_ADMIN",)
_SORT_KEYS = {"createdTime": "createdTime", "name": "name", "root": "root", "id": "id"}


class RuleChainController:
    """Chains by id and by page."""

    def __init__(self, chains: RuleChains) -> None:
        self._chains = chains

    def add_routes(self, api: Api4) -> None:
        api.route(("POST",), "/api/ruleChain", self._save, _TENANT)
        api.route(("POST",), "/api/ruleChain/metadata", self._save_metadata, _TENANT)
        api.route(("POST",), "/api/ruleChain/testScript", _test_script, _TENANT)
        api.route(("GET",), "/api/ruleChain/{id}", self._get, _TENANT)
        api.route(("DELETE",), "/api/ruleChain/{id}", self._delete, _TENANT)
        api.route(("GET",), "/api/ruleChain/{id}/metadata", self._get_metadata, _TENANT)
        api.route(("POST",), "/api/ruleChain/{id}/root", self._make_root, _TENANT)
        api.route(("GET",), "/api/ruleChains", self._page, _TENANT)
        api.route(("GET",), "/api/ruleChains/export", self._export, _TENANT)
        api.route(("POST",), "/api/ruleChains/import", self._import, _TENANT)

    def _find(self, request: Request, user: SandboxUser) -> Document:
        return self._chains.require(request.path_params["id"], user.tenant)

    async def _save(self, request: Request, user: SandboxUser) -> Response:
        document = await read_object(request)
        return json_response(chain_document(await self._chains.save(document, user.tenant)))

    async def _save_metadata(self, request: Request, user: SandboxUser) -> Response:
        return json_response(
            metadata_document(await self._chains.save_metadata(await read_object(request), user.tenant))
        )

    async def _get(self, request: Request, user: SandboxUser) -> Response:
        return json_response(chain_document(self._find(request, user)))

    async def _get_metadata(self, request: Request, user: SandboxUser) -> Response:
        return json_response(metadata_document(self._find(request, user)))

    async def _delete(self, request: Request, user: SandboxUser) -> Response:
        self._chains.delete(self._find(request, user))
        return empty_response()

    async def _make_root(self, request: Request, user: SandboxUser) -> Response:
        return json_response(chain_document(await self._chains.make_root(self._find(request, user))))

    async def _page(self, request: Request, user: SandboxUser) -> Response:
        query = request.query_params
        if (wanted := query.get("ruleChainIds")) is not None:
            identifiers = {part for part in wanted.split(",") if part}
            found = [chain for chain in self._chains.all(user.tenant) if chain["id"]["id"] in identifiers]
            return json_response([chain_document(chain) for chain in found])
        # Chains for edge servers are listed separately.
        chains = self._chains.all(user.tenant, query.get("type") or "CORE")
        return PageLink.from_request(request).page(chains, _SORT_KEYS, chain_document)

    async def _export(self, request: Request, user: SandboxUser) -> Response:
        limit = integer(request, "limit")
        if limit is None or limit < 1:
            raise bad_request("Required request parameter 'limit' for method parameter type int is not present")
        chains = self._chains.all(user.tenant)[:limit]
        return json_response(
            {
                "ruleChains": [chain_document(chain) for chain in chains],
                "metadata": [metadata_document(chain) for chain in chains],
            }
        )

    async def _import(self, request: Request, user: SandboxUser) -> Response:
        overwrite = request.query_params.get("overwrite") == "true"
        return json_response(
            await self._chains.import_all(await read_object(request), user.tenant, overwrite=overwrite)
        )


async def _test_script(request: Request, _user: SandboxUser) -> Response:
    document = await read_object(request)
    language, script = request.query_params.get("scriptLang", "JS"), text_of(document, "script")
    metadata = document.get("metadata")
    texts = {str(key): str(value) for key, value in metadata.items()} if isinstance(metadata, dict) else {}
    output, error = "", ""
    try:
        compiled = compile_script({"scriptLang": language, "jsScript": script, "tbelScript": script})
        result = compiled.run(parse_json(text_of(document, "msg")), texts, text_of(document, "msgType"))
        output = dump(result)
    except (ScriptRefused, ScriptFailed, PayloadRefused) as failure:
        error = str(failure)
    return json_response({"output": output, "error": error})


class EventController4(EventController):
    """`GET /api/events/{type}/{id}[/{eventType}]?tenantId=&pageSize=&page=`."""

    async def _events(self, request: Request, user: SandboxUser) -> Response:
        query, link = request.query_params, PageLink.from_request(request)
        tenant = str(uuid_parameter(query.get("tenantId", "")))
        if tenant != user.tenant:
            raise forbidden()
        entity, kind = str(uuid_parameter(request.path_params["id"])), request.path_params["kind"]
        type_ = request.path_params.get("type")
        link.column({"createdTime": "born", "id": "born", "ts": "born"}, "born")
        descends = link.is_descending or link.sort is None
        where = "entity_id = ? AND entity_kind = ? AND tenant = ? AND (? IS NULL OR type = ?)"
        parameters: tuple[Any, ...] = (entity, kind, tenant, type_, type_)
        total = self._store.row(f"SELECT count(*) FROM event WHERE {where}", parameters)  # noqa: S608 - constants
        assert total is not None
        rows = self._store.rows(
            f"SELECT born, type, body FROM event WHERE {where}"  # noqa: S608 - constants
            f" ORDER BY born {'DESC' if descends else 'ASC'} LIMIT ? OFFSET ?",
            (*parameters, link.size, min(link.offset, 2**62)),
        )
        return link.response([event_document(row, tenant, kind, entity) for row in rows], total[0])
