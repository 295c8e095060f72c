"""Creates what the suite needs on a server of 4.x, under unique names, and removes it."""

from __future__ import annotations

from typing import Any

from tests.contract.api import Api
from tests.contract.factories import PREFIX, Made, RunFactory
from tests.contract.waiting import eventually

INPUT_NODE = "org.thingsboard.rule.engine.flow.TbRuleChainInputNode"
TYPE_SWITCH = "org.thingsboard.rule.engine.filter.TbMsgTypeSwitchNode"


class ModernEntityFactory(RunFactory):
    """Creates devices, assets, dashboards, profiles and rule chains."""

    def __init__(self, api: Api) -> None:
        # Devices go before their profiles, and profiles before the rule chains that they name.
        super().__init__(api, ("device", "asset", "dashboard", "deviceProfile", "assetProfile", "ruleChain"))
        self.type = f"{PREFIX}-{self.run}"

    def device(self, label: str = "device", **fields: Any) -> Made:
        document = {"name": self.name(label), "type": self.type} | fields
        return self.made("DEVICE", self.create("device", document))

    def asset(self, label: str = "asset") -> Made:
        return self.made("ASSET", self.create("asset", {"name": self.name(label), "type": self.type}))

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
        """The newest event of a start or an update of a node, which may take a while."""

        def find() -> list[dict[str, Any]]:
            return [body for body in self.life_cycle_events(node) if body["event"] != "STOPPED"]

        found = eventually(find, bool)
        assert found, f"Node {node['name']} has no life-cycle event."
        return found[0]

    def life_cycle_events(self, node: dict[str, Any]) -> list[dict[str, Any]]:
        """The last lifecycle events of a node, newest first; those of one millisecond in any order."""
        query = {"pageSize": 4, "page": 0, "sortProperty": "createdTime", "sortOrder": "DESC"}
        path = f"/api/events/RULE_NODE/{node['id']['id']}/LC_EVENT"
        return [found["body"] for found in self.api.get(path, tenantId=self.api.tenant_id, **query)["data"]]

    def clean_up(self) -> list[str]:
        """Removes everything; returns a line for each object that remains, with the reason."""
        self.unhook()
        self.remember_gateway_devices()
        for kind in ("deviceProfile", "assetProfile"):
            page = self.api.get(f"/api/{kind}Infos", pageSize=100, page=0, textSearch=f"{PREFIX}-{self.run}")
            for profile in page["data"]:
                self.remember(kind, profile["id"]["id"])
        return self.take_away_all()
