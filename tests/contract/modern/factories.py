"""Creates what the suite needs on a server of 4.x, under unique names, and removes it."""

from __future__ import annotations

import itertools
import secrets
from typing import Any

import requests

from tests.contract.api import Api
from tests.contract.factories import PREFIX, Made, eventually

INPUT_NODE = "org.thingsboard.rule.engine.flow.TbRuleChainInputNode"
TYPE_SWITCH = "org.thingsboard.rule.engine.filter.TbMsgTypeSwitchNode"


class ModernEntityFactory:
    """Creates objects with names that are unique to this run, and records them."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.run = secrets.token_hex(5)
        self.type = f"{PREFIX}-{self.run}"
        self._numbers = itertools.count(1)
        # Devices go before their profiles, and profiles before the rule chains that they name.
        self._made: dict[str, list[str]] = {
            kind: [] for kind in ("device", "asset", "dashboard", "deviceProfile", "assetProfile", "ruleChain")
        }
        self._gateway_devices: list[str] = []

    def name(self, label: str) -> str:
        return f"{PREFIX}-{self.run}-{next(self._numbers)}-{label}"

    def post(self, kind: str, document: dict[str, Any], **query: str) -> requests.Response:
        """Saves an object; what it creates is removed at the end."""
        response = self.api.call("POST", f"/api/{kind}", json=document, params=query)
        if response.status_code == 200:
            self.remember(kind, response.json()["id"]["id"])
        return response

    def remember(self, kind: str, identifier: str) -> None:
        if identifier not in self._made[kind]:
            self._made[kind].append(identifier)

    def create(self, kind: str, document: dict[str, Any], **query: str) -> dict[str, Any]:
        """Saves, which must succeed; returns the saved object."""
        response = self.post(kind, document, **query)
        assert response.status_code == 200, f"POST /api/{kind}: {response.status_code} {response.text}"
        saved: dict[str, Any] = response.json()
        return saved

    def device(self, label: str = "device", **fields: Any) -> Made:
        document = {"name": self.name(label), "type": self.type} | fields
        return self.made("DEVICE", self.create("device", document))

    def asset(self, label: str = "asset") -> Made:
        return self.made("ASSET", self.create("asset", {"name": self.name(label), "type": self.type}))

    def made(self, kind: str, document: dict[str, Any]) -> Made:
        identifier, token = document["id"]["id"], ""
        if kind == "DEVICE":
            token = self.api.get(f"/api/device/{identifier}/credentials")["credentialsId"]
        return Made(kind, identifier, document["name"], document["type"], token)

    def name_for_gateway(self) -> str:
        """A name for a device that a gateway will create."""
        name = self.name("behind-gateway")
        self._gateway_devices.append(name)
        return name

    def find_device(self, name: str) -> dict[str, Any] | None:
        response = self.api.call("GET", "/api/tenant/devices", params={"deviceName": name})
        if response.status_code == 404:
            return None
        document: dict[str, Any] = response.json()
        return document

    def chain(self, *, name: str = "") -> dict[str, Any]:
        """A new rule chain without nodes."""
        return self.create("ruleChain", {"name": name or self.name("chain"), "type": "CORE"})

    def save_metadata(self, chain: dict[str, Any], metadata: dict[str, Any], **more: Any) -> dict[str, Any]:
        response = self.api.call(
            "POST", "/api/ruleChain/metadata", json={"ruleChainId": chain["id"], **metadata, **more}
        )
        assert response.status_code == 200, f"POST metadata: {response.status_code} {response.text}"
        saved: dict[str, Any] = response.json()
        return saved

    def metadata(self, chain_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/api/ruleChain/{chain_id}/metadata")
        return found

    @property
    def root_id(self) -> str:
        """The id of the root chain."""
        page = self.api.get("/api/ruleChains", pageSize=100, page=0, type="CORE")
        identifier: str = next(chain["id"]["id"] for chain in page["data"] if chain["root"])
        return identifier

    def hook(self, chain: dict[str, Any]) -> dict[str, Any]:
        """Connects the root chain's telemetry to a chain, too; returns the root's previous metadata."""
        root = self.metadata(self.root_id)
        node = {
            "type": INPUT_NODE,
            "name": chain["name"],
            "configurationVersion": 1,
            "configuration": {"ruleChainId": chain["id"]["id"], "forwardMsgToDefaultRuleChain": False},
            "additionalInfo": {"layoutX": 0, "layoutY": 0},
        }
        switch = next(index for index, found in enumerate(root["nodes"]) if found["type"] == TYPE_SWITCH)
        connection = {"fromIndex": switch, "toIndex": len(root["nodes"]), "type": "Post telemetry"}
        hooked = {"nodes": [*root["nodes"], node], "connections": [*root["connections"], connection]}
        self.save_metadata({"id": root["ruleChainId"]}, root | hooked)
        return root

    def unhook(self) -> None:
        """Removes every connection to a chain of this run from the root chain."""
        root = self.metadata(self.root_id)
        ours = {
            index
            for index, node in enumerate(root["nodes"])
            if node["type"] == INPUT_NODE and node["name"].startswith(f"{PREFIX}-{self.run}-")
        }
        if not ours:
            return
        left = [index for index in range(len(root["nodes"])) if index not in ours]
        place = {index: position for position, index in enumerate(left)}
        connections = [
            connection | {"fromIndex": place[connection["fromIndex"]], "toIndex": place[connection["toIndex"]]}
            for connection in root["connections"]
            if connection["fromIndex"] in place and connection["toIndex"] in place
        ]
        changed = {
            "nodes": [root["nodes"][index] for index in left],
            "connections": connections,
            "firstNodeIndex": place[root["firstNodeIndex"]],
        }
        self.save_metadata({"id": root["ruleChainId"]}, root | changed)

    def life_cycle(self, node: dict[str, Any]) -> dict[str, Any]:
        """The newest lifecycle event of a node, which may take a while."""
        path = f"/api/events/RULE_NODE/{node['id']['id']}/LC_EVENT"

        def find() -> list[dict[str, Any]]:
            page = self.api.get(
                path, tenantId=self.api.tenant_id, pageSize=4, page=0, sortProperty="createdTime", sortOrder="DESC"
            )
            data: list[dict[str, Any]] = page["data"]
            return data

        found = eventually(find, bool)
        assert found, f"Node {node['name']} has no life-cycle event."
        body: dict[str, Any] = found[0]["body"]
        return body

    def forget(self, kind: str, identifier: str) -> None:
        """Forgets what a test has deleted itself."""
        self._made[kind].remove(identifier)

    def clean_up(self) -> list[str]:
        """Removes everything; returns a line for each object that remains, with the reason."""
        self.unhook()
        for name in self._gateway_devices:
            if (found := self.find_device(name)) is not None:
                self.remember("device", found["id"]["id"])
        for kind in ("deviceProfile", "assetProfile"):
            page = self.api.get(f"/api/{kind}Infos", pageSize=100, page=0, textSearch=f"{PREFIX}-{self.run}")
            for profile in page["data"]:
                self.remember(kind, profile["id"]["id"])
        things = [(kind, identifier) for kind, made in self._made.items() for identifier in made]
        return [reason for kind, identifier in things if (reason := self._take_away(kind, identifier))]

    def _take_away(self, kind: str, identifier: str) -> str:
        """Deletes one object; returns "" or why it remains."""
        response = self.api.call("DELETE", f"/api/{kind}/{identifier}")
        if response.status_code in (200, 404):
            return ""
        return f"{kind} {identifier}: {response.status_code} {response.text}"
