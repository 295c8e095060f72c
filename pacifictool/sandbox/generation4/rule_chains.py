"""Rule chains and their metadata, with the few checks of a save.

docs/servers/4.x.md#rule-chains, rows 1, 2, 3 and 4.
"""

from __future__ import annotations

import copy
from typing import Any

from pacifictool.sandbox.generation4.documents import DEVICE_PROFILE, RULE_CHAIN, Document, Documents, reference
from pacifictool.sandbox.generation4.engine import RuleEngine4
from pacifictool.sandbox.generation4.nodes import INPUT, upgraded
from pacifictool.sandbox.generation4.refusals import general
from pacifictool.sandbox.http import id_of
from pacifictool.sandbox.ids import IdFactory, created_ms, now_ms
from pacifictool.sandbox.refusals import bad_request
from pacifictool.sandbox.store import Store

DEBUG_MINUTES = 15
"""maxDebugModeDurationMinutes of the default tenant profile."""
_GRAPH = "graph"
"""Where a chain's stored document keeps its metadata."""


class RuleChains:
    """The operations behind the REST controller. Every method raises the platform's refusals."""

    def __init__(self, store: Store, ids: IdFactory, documents: Documents, engine: RuleEngine4) -> None:
        self._store = store
        self._ids = ids
        self._documents = documents
        self._engine = engine

    async def start(self) -> None:
        """Runs everything that is stored."""
        for chain in self._documents.everything(RULE_CHAIN):
            await self._engine.load(chain, chain[_GRAPH], is_restart=True)
            if chain["root"] and chain["type"] == "CORE":
                self._engine.use_root(chain["tenantId"]["id"], chain["id"]["id"])

    def all(self, tenant: str, type_: str | None = None) -> list[Document]:
        """The chains of a tenant, of one type or of all."""
        found = self._documents.all(RULE_CHAIN, tenant)
        return [chain for chain in found if type_ is None or chain["type"] == type_]

    def require(self, identifier: str, tenant: str) -> Document:
        return self._documents.require(RULE_CHAIN, identifier, tenant)

    async def save(self, document: Document, tenant: str) -> Document:
        """Creates a chain, or renames the one with the document's id; names need not be unique."""
        old = self._documents.referenced(RULE_CHAIN, document, tenant)
        name = document.get("name")
        if not isinstance(name, str) or not name.strip():
            raise bad_request("Rule chain name should be specified!")
        content = {
            "name": name,
            "debugMode": document.get("debugMode") is True,
            "configuration": document.get("configuration"),
            "additionalInfo": document.get("additionalInfo"),
        }
        if old is not None:
            saved = self._documents.change(RULE_CHAIN, old, content, version=document.get("version"))
        else:
            if document.get("root") is True:
                raise bad_request("Another root rule chain is present in scope of current tenant!")
            saved = self.create(tenant, content, type_=document.get("type") or "CORE")
            await self._engine.load(saved, saved[_GRAPH])
        self._store.commit()
        return saved

    def create(self, tenant: str, content: Document, *, type_: str = "CORE", root: bool = False) -> Document:
        """A chain without nodes, not committed and not running yet."""
        fixed = {"type": type_, "firstRuleNodeId": None, "root": root, "externalId": None}
        graph: Document = {"firstNodeIndex": None, "nodes": [], "connections": []}
        return self._documents.create(RULE_CHAIN, tenant, fixed | content | {_GRAPH: graph})

    async def save_metadata(self, document: Document, tenant: str) -> Document:
        """Replaces a chain's nodes: those with a known id are kept, others deleted, new ones created."""
        chain = self.require(id_of(document.get("ruleChainId")), tenant)
        changed = self.store_metadata(chain, document)
        self._store.commit()
        await self._engine.load(changed, changed[_GRAPH])
        return changed

    def store_metadata(self, chain: Document, document: Document) -> Document:
        """Checks and stores metadata; returns the changed chain, which is not running yet."""
        given_nodes = [node for node in document.get("nodes") or [] if isinstance(node, dict)]
        first = document.get("firstNodeIndex")
        connections = [dict(connection) for connection in document.get("connections") or []]
        for index in [first, *(connection.get(end) for connection in connections for end in ("fromIndex", "toIndex"))]:
            if index is not None and not (isinstance(index, int) and 0 <= index < len(given_nodes)):
                raise general(f"Index {index} out of bounds for length {len(given_nodes)}")
        legacy = document.get("ruleChainConnections") or []
        for hook in legacy:
            source = hook.get("fromIndex")
            if not (isinstance(source, int) and 0 <= source < len(given_nodes)):
                raise general(f"Index {source} out of bounds for length {len(given_nodes)}")
        if _has_cycle(len(given_nodes), connections):
            raise bad_request("Can't create circling relations in rule chain.")
        old = {node["id"]["id"]: node for node in chain[_GRAPH]["nodes"]}
        nodes = [self._node(node, chain, old) for node in given_nodes]
        for hook in legacy:
            target = len(nodes)
            nodes.append(self._legacy_input(hook, chain))
            connections.append({"fromIndex": hook["fromIndex"], "toIndex": target, "type": hook.get("type")})
        graph = {"firstNodeIndex": first, "nodes": nodes, "connections": connections}
        first_id = None if first is None else nodes[first]["id"]
        return self._documents.change(
            RULE_CHAIN, chain, {"firstRuleNodeId": first_id, _GRAPH: graph}, version=document.get("version")
        )

    def _node(self, given: Document, chain: Document, old: dict[str, Document]) -> Document:
        wanted = given.get("id")
        known = None if wanted is None else old.get(id_of(wanted))
        if known is None:
            identifier = self._ids.new()
            born = {"id": reference("RULE_NODE", str(identifier)), "createdTime": created_ms(identifier)}
        else:
            born = {key: known[key] for key in ("id", "createdTime")}
        type_, version = str(given.get("type") or ""), given.get("configurationVersion")
        version, configuration = upgraded(type_, version if isinstance(version, int) else 0, given.get("configuration"))
        return {
            **born,
            "ruleChainId": chain["id"],
            "type": type_,
            "name": given.get("name"),
            "debugSettings": _debug_settings(given),
            "singletonMode": given.get("singletonMode") is True,
            "queueName": given.get("queueName"),
            "configurationVersion": version,
            "configuration": copy.deepcopy(configuration),
            "externalId": None,
            "additionalInfo": copy.deepcopy(given.get("additionalInfo")),
        }

    def _legacy_input(self, hook: Document, chain: Document) -> Document:
        """The node for a connection to another chain in the format of servers before 3.3.3."""
        target = id_of(hook.get("targetRuleChainId"))
        layout = hook.get("additionalInfo")
        if not isinstance(layout, dict):
            raise general("class com.fasterxml.jackson.databind.node.NullNode cannot be cast to ObjectNode")
        found = self._documents.find(RULE_CHAIN, target)
        place = {key: value for key, value in layout.items() if key not in ("description", "ruleChainNodeId")}
        node = {
            "type": INPUT,
            "name": "Rule Chain Input" if found is None else found["name"],
            "configuration": {"ruleChainId": target},
            "additionalInfo": place,
        }
        return self._node(node, chain, {})

    async def make_root(self, chain: Document) -> Document:
        """Makes a chain the root chain, instead of the previous one."""
        tenant = chain["tenantId"]["id"]
        for other in self.all(tenant, chain["type"]):
            if other["root"]:
                self._documents.change(RULE_CHAIN, other, {"root": False})
        saved = self._documents.change(RULE_CHAIN, self.require(chain["id"]["id"], tenant), {"root": True})
        self._store.commit()
        self._engine.use_root(tenant, saved["id"]["id"])
        return saved

    def delete(self, chain: Document) -> None:
        """Deletes a chain, even if an input node refers to it."""
        identifier, tenant = chain["id"]["id"], chain["tenantId"]["id"]
        if chain["root"]:
            raise bad_request("Deletion of Root Tenant Rule Chain is prohibited!")
        for profile in self._documents.all(DEVICE_PROFILE, tenant):
            if profile["defaultRuleChainId"] is not None and profile["defaultRuleChainId"]["id"] == identifier:
                raise bad_request("The rule chain referenced by the device profiles cannot be deleted!")
        self._engine.unload(identifier)
        self._documents.delete(RULE_CHAIN, chain)
        self._store.commit()

    async def import_all(self, document: Document, tenant: str, *, overwrite: bool) -> list[Document]:
        """Chains with metadata, under any ids; `overwrite` changes one of the same name, which keeps its own id."""
        results, chains = [], {}
        for given in document.get("ruleChains") or []:
            named = [chain for chain in self.all(tenant) if chain["name"] == given.get("name")]
            existing = named[0] if overwrite and named else None
            identifier = None if existing is None else existing["id"]
            saved = await self.save({**given, "id": identifier, "root": False, "version": None}, tenant)
            chains[id_of(given.get("id"))] = saved
            results.append(
                {"ruleChainId": saved["id"], "ruleChainName": saved["name"], "updated": existing is not None}
            )
        for metadata in document.get("metadata") or []:
            target = chains.get(id_of(metadata.get("ruleChainId")))
            if target is None:
                continue
            nodes = [_with_mapped_chain(node, chains) for node in metadata.get("nodes") or []]
            await self.save_metadata({**metadata, "ruleChainId": target["id"], "nodes": nodes, "version": None}, tenant)
        return results


def chain_document(chain: Document) -> Document:
    """A chain as REST shows it."""
    return {key: value for key, value in chain.items() if key != _GRAPH}


def metadata_document(chain: Document) -> Document:
    """A chain's nodes and connections as REST shows them."""
    return {"ruleChainId": chain["id"], "version": chain["version"], **chain[_GRAPH], "ruleChainConnections": None}


def _with_mapped_chain(node: Document, chains: dict[str, Document]) -> Document:
    """A node without an id; a reference to a chain of the same import gets that chain's new id."""
    copied = copy.deepcopy(node)
    copied.pop("id", None)
    configuration = copied.get("configuration")
    if copied.get("type") == INPUT and isinstance(configuration, dict):
        target = chains.get(str(configuration.get("ruleChainId")))
        if target is not None:
            configuration["ruleChainId"] = target["id"]["id"]
    return copied


def _debug_settings(node: Document) -> Document | None:
    """Debugging is limited in time: "all" becomes an end time, also for the older `debugMode`."""
    given = node.get("debugSettings")
    if not isinstance(given, dict):
        if node.get("debugMode") is not True:
            return None
        given = {"failuresEnabled": True, "allEnabled": True}
    until = given.get("allEnabledUntil") or 0
    if given.get("allEnabled") is True:
        until = now_ms() + DEBUG_MINUTES * 60_000
    return {
        "failuresEnabled": given.get("failuresEnabled") is True,
        "allEnabled": False,
        "allEnabledUntil": until,
    }


def _has_cycle(size: int, connections: list[dict[str, Any]]) -> bool:
    """Whether the chain has a cycle: removing nodes without incoming connections must leave none."""
    incoming = [0] * size
    for connection in connections:
        incoming[connection["toIndex"]] += 1
    free = [index for index in range(size) if not incoming[index]]
    taken = 0
    while free:
        index = free.pop()
        taken += 1
        for connection in connections:
            if connection["fromIndex"] == index:
                incoming[connection["toIndex"]] -= 1
                if not incoming[connection["toIndex"]]:
                    free.append(connection["toIndex"])
    return taken < size
