"""Rule chains as servers from 2.0 on store them: what forwarding needs, and no more than was observed.

docs/servers/2.x-3.x.md#rule-chains, docs/servers/4.x.md#rule-chains.

Nothing is unique; metadata without node ids replace the nodes, with ids they keep them; a stale version is refused
(3.8 and later); any configuration is accepted, and a bad one shows in the node's lifecycle events; a chain in use may
be deleted. Everything else follows the script of `ScriptedPlatform`.
"""

from __future__ import annotations

import copy
import itertools
import uuid
from collections.abc import Callable
from typing import Any

from pacifictool.server_version import ServerVersion
from tests.support.scripted_platform import Reply, Request, ScriptedPlatform, platform_error

TENANT = {"entityType": "TENANT", "id": "7b2ee740-e799-11f1-9f43-213db154d0ac"}
SWITCH = "org.thingsboard.rule.engine.filter.TbMsgTypeSwitchNode"
INPUT = "org.thingsboard.rule.engine.flow.TbRuleChainInputNode"
KAFKA = "org.thingsboard.rule.engine.kafka.TbKafkaNode"
_DROPPED = ("keySerializer", "valueSerializer")


class ChainServer:
    """The rule chains of one tenant on a scripted platform of a given version."""

    def __init__(self, platform: ScriptedPlatform, version: str) -> None:
        parsed = ServerVersion.parse(version)
        assert parsed is not None
        self.version = parsed
        self.platform = platform
        self.chains: dict[str, dict[str, Any]] = {}
        self.metadata: dict[str, dict[str, Any]] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.profiles: list[dict[str, Any]] = []
        self.starts: Callable[[dict[str, Any]], str | None] = lambda _node: None
        """Why a node does not start."""
        self.saved: list[dict[str, Any]] = []
        """Metadata as they were sent."""
        self.created: list[dict[str, Any]] = []
        self.before_save: Callable[[], None] = lambda: None
        self._numbers = itertools.count(1)
        self._now = itertools.count(1795478368942)
        platform.on("GET", "/api/plugins", Reply(404))
        if parsed.at_least(3, 3, 3):
            platform.on("GET", "/api/system/info", Reply(json={"version": version, "type": "CE"}))
        platform.on("GET", "/api/ruleChains", self._list)
        platform.on("POST", "/api/ruleChain", self._create)
        platform.on("POST", "/api/ruleChain/metadata", self._save)
        platform.on("GET", "/api/deviceProfileInfos", self._profiles)
        self.root_id = self.add_chain("Root Rule Chain", root=True)
        self.store(self.root_id, root_metadata(self.root_id))

    def add_chain(self, name: str, *, root: bool = False, **more: Any) -> str:
        identifier = self._id()
        chain = {
            "id": {"entityType": "RULE_CHAIN", "id": identifier},
            "createdTime": next(self._now),
            "tenantId": TENANT,
            "name": name,
            "firstRuleNodeId": None,
            "root": root,
            "debugMode": False,
        }
        if self.version.at_least(3, 3):
            chain["type"] = "CORE"
        self.chains[identifier] = {**chain, **more}
        empty: dict[str, Any] = {"firstNodeIndex": None, "nodes": [], "connections": None, "ruleChainConnections": None}
        self.metadata[identifier] = {"ruleChainId": chain["id"], **empty}
        if self.version.at_least(3, 8):
            self.metadata[identifier]["version"] = 1
        self.platform.on("GET", f"/api/ruleChain/{identifier}/metadata", lambda _: self._metadata_reply(identifier))
        self.platform.on("DELETE", f"/api/ruleChain/{identifier}", lambda _: self._delete(identifier))
        return identifier

    def store(self, chain_id: str, metadata: dict[str, Any]) -> dict[str, Any]:
        """Stores metadata, gives ids to nodes without one, starts new or changed nodes, converts old formats."""
        kept = copy.deepcopy(metadata)
        old = {node["id"]["id"]: node for node in self.metadata[chain_id]["nodes"]}
        for node in kept["nodes"]:
            known = old.get((node.get("id") or {}).get("id"))
            if known is None:
                node["id"] = {"entityType": "RULE_NODE", "id": self._id()}
            self._upgrade(node)
            if known is None or known["configuration"] != node["configuration"]:
                self._start(node, "STARTED" if known is None else "UPDATED")
        if self.version.at_least(3, 3, 3):
            self._convert(kept)
        if self.version.at_least(3, 8):
            kept["version"] = self.metadata[chain_id].get("version", 0) + 1
        self.metadata[chain_id] = kept
        return kept

    def with_name(self, name: str) -> list[str]:
        return [identifier for identifier, chain in self.chains.items() if chain["name"] == name]

    def root_now(self) -> dict[str, Any]:
        """The root chain, without its version and times of change."""
        return {key: value for key, value in copy.deepcopy(self.metadata[self.root_id]).items() if key != "version"}

    def add_profile(self, name: str, chain_id: str | None) -> None:
        identifier = self._id()
        profile = {
            "id": {"entityType": "DEVICE_PROFILE", "id": identifier},
            "name": name,
            "defaultRuleChainId": None if chain_id is None else {"entityType": "RULE_CHAIN", "id": chain_id},
        }
        self.profiles.append(profile)
        self.platform.on("GET", f"/api/deviceProfile/{identifier}", Reply(json=profile))

    def _id(self) -> str:
        return str(uuid.UUID(int=next(self._numbers) << 64))

    def _upgrade(self, node: dict[str, Any]) -> None:
        if node["type"] == KAFKA and self.version.at_least(4) and not node.get("configurationVersion"):
            node["configuration"] = {k: v for k, v in node["configuration"].items() if k not in _DROPPED}
            node["configuration"]["keyPattern"] = None
        if self.version.at_least(3, 6):
            node["configurationVersion"] = 1 if node["type"] in (KAFKA, INPUT) else 0

    def _start(self, node: dict[str, Any], event: str) -> None:
        identifier = node["id"]["id"]
        strict = node["type"] == KAFKA and self.version.at_least(4) and set(_DROPPED) & set(node["configuration"])
        error = "UnrecognizedPropertyException: keySerializer" if strict else self.starts(node)
        log = self.events.setdefault(identifier, [])
        outcomes = [(event, error)] if error is None else [(event, error), ("STOPPED", None)]
        for name, reason in outcomes:
            log.insert(
                0,
                {
                    "id": {"id": self._id()},
                    "createdTime": next(self._now),
                    "body": {"server": "vm", "event": name, "success": reason is None, "error": reason},
                },
            )
        self.platform.on("GET", f"/api/events/RULE_NODE/{identifier}/LC_EVENT", lambda request: self._log(log, request))

    def _convert(self, metadata: dict[str, Any]) -> None:
        for link in metadata.get("ruleChainConnections") or []:
            target = link["targetRuleChainId"]["id"]
            node = {"type": INPUT, "name": self.chains[target]["name"], "configuration": {"ruleChainId": target}}
            node["id"] = {"entityType": "RULE_NODE", "id": self._id()}
            self._start(node, "STARTED")
            end = {"fromIndex": link["fromIndex"], "toIndex": len(metadata["nodes"]), "type": link["type"]}
            metadata["nodes"].append(node)
            metadata["connections"] = [*(metadata["connections"] or []), end]
        metadata["ruleChainConnections"] = None

    def _page(self, items: list[dict[str, Any]], request: Request) -> Reply:
        if self.version.at_least(3):
            if not {"pageSize", "page"} <= set(request.query):
                return platform_error(400, "Parameter conditions not met", 31)
            more = {"totalPages": 1, "totalElements": len(items), "hasNext": False}
            return Reply(json={"data": items, **more})
        if "limit" not in request.query:
            return platform_error(400, "Parameter conditions not met", 31)
        return Reply(json={"data": items, "nextPageLink": None, "hasNext": False})

    def _list(self, request: Request) -> Reply:
        return self._page(list(self.chains.values()), request)

    def _log(self, log: list[dict[str, Any]], request: Request) -> Reply:
        assert request.query["tenantId"] == TENANT["id"]
        return self._page(log, request)

    def _profiles(self, request: Request) -> Reply:
        if not self.version.at_least(3, 2):
            return Reply(404)
        infos = [{key: profile[key] for key in ("id", "name")} for profile in self.profiles]
        return self._page([info for info in infos if request.query["textSearch"] in info["name"]], request)

    def _create(self, request: Request) -> Reply:
        self.created.append(request.json)
        return Reply(json=self.chains[self.add_chain(request.json["name"])])

    def _metadata_reply(self, identifier: str) -> Reply:
        if identifier not in self.metadata:
            return platform_error(404, f"Rule chain with id [{identifier}] is not found", 32)
        return Reply(json=self.metadata[identifier])

    def _save(self, request: Request) -> Reply:
        document = request.json
        self.saved.append(document)
        self.before_save()
        identifier = document["ruleChainId"]["id"]
        version = document.get("version")
        if self.version.at_least(3, 8) and version not in (None, self.metadata[identifier]["version"]):
            return platform_error(409, "Rule chain was already changed by someone else", 35)
        return Reply(json=self.store(identifier, document))

    def _delete(self, identifier: str) -> Reply:
        if identifier not in self.chains:
            return platform_error(404, f"Rule chain with id [{identifier}] is not found", 32)
        if any((profile["defaultRuleChainId"] or {}).get("id") == identifier for profile in self.profiles):
            return platform_error(400, "The rule chain referenced by the device profiles cannot be deleted!", 31)
        del self.chains[identifier], self.metadata[identifier]
        return Reply(content_type="")


def root_metadata(root_id: str) -> dict[str, Any]:
    """The first nodes of a tenant's default root chain, with positions on the canvas."""

    def node(kind: str, name: str, x: int, y: int) -> dict[str, Any]:
        layout = {"description": "", "layoutX": x, "layoutY": y}
        return {
            "type": f"org.thingsboard.rule.engine.{kind}",
            "name": name,
            "configuration": {},
            "additionalInfo": layout,
        }

    return {
        "ruleChainId": {"entityType": "RULE_CHAIN", "id": root_id},
        "firstNodeIndex": 2,
        "nodes": [
            node("telemetry.TbMsgTimeseriesNode", "Save Timeseries", 824, 156),
            node("telemetry.TbMsgAttributesNode", "Save Client Attributes", 825, 52),
            node("filter.TbMsgTypeSwitchNode", "Message Type Switch", 347, 149),
        ],
        "connections": [
            {"fromIndex": 2, "toIndex": 0, "type": "Post telemetry"},
            {"fromIndex": 2, "toIndex": 1, "type": "Post attributes"},
        ],
        "ruleChainConnections": None,
    }
