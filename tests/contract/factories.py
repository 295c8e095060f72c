"""Creates what the suite needs on the server, under unique names, and removes it."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import requests

from pacifictool.rest import EntityId
from tests.contract.api import Api

MAX_RULE_DELETIONS: Final = 3
"""A fourth within a minute kills the tenant (docs/servers/1.x.md#deleting-rules, row 1), so a run makes no more than these …"""
RULE_DELETIONS_AFTER_SECONDS: Final = 65.0
"""… and none before this time after its start, when those of the previous run are older than a minute."""
PREFIX: Final = "contract"


@dataclass(frozen=True, slots=True)
class Made:
    """A device or asset of this run. `token` is "" for an asset."""

    kind: str
    id: str
    name: str
    type: str
    token: str = ""

    @property
    def path(self) -> str:
        """The path of its telemetry and attributes."""
        return f"/api/plugins/telemetry/{self.kind}/{self.id}"

    @property
    def entity(self) -> EntityId:
        """Its id for the REST client."""
        return EntityId.device(self.id) if self.kind == "DEVICE" else EntityId.asset(self.id)


class RunFactory:
    """Creates objects with names that are unique to this run, and records them for the end."""

    def __init__(self, api: Api, kinds: Iterable[str]) -> None:
        """`kinds`: of objects, in the order in which they are removed."""
        self.api = api
        self.run = secrets.token_hex(5)
        self._numbers = itertools.count(1)
        self._made: dict[str, list[str]] = {kind: [] for kind in kinds}
        self._gateway_devices: list[str] = []

    def name(self, label: str) -> str:
        """A new name, in lower case to keep searches simple."""
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

    def forget(self, kind: str, identifier: str) -> None:
        """Forgets what a test has deleted itself."""
        self._made[kind].remove(identifier)

    def create(self, kind: str, document: dict[str, Any], **query: str) -> dict[str, Any]:
        """Saves, which must succeed; returns the saved object."""
        response = self.post(kind, document, **query)
        assert response.status_code == 200, f"POST /api/{kind}: {response.status_code} {response.text}"
        saved: dict[str, Any] = response.json()
        return saved

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

    def remember_gateway_devices(self) -> None:
        """Records the devices that gateways have created."""
        for name in self._gateway_devices:
            if (found := self.find_device(name)) is not None:
                self.remember("device", found["id"]["id"])

    def take_away_all(self) -> list[str]:
        """Deletes what is recorded; returns a line for each object that remains, with the reason."""
        things = [(kind, identifier) for kind, made in self._made.items() for identifier in made]
        return [reason for kind, identifier in things if (reason := self._take_away(kind, identifier))]

    def _take_away(self, kind: str, identifier: str) -> str:
        """Deletes one object; returns "" or why it remains."""
        response = self._delete(kind, identifier)
        if response.status_code in (200, 404):
            return ""
        return f"{kind} {identifier}: {response.status_code} {response.text}"

    def _delete(self, kind: str, identifier: str) -> requests.Response:
        return self.api.call("DELETE", f"/api/{kind}/{identifier}")


class EntityFactory(RunFactory):
    """Creates plugins, rules, devices and assets."""

    def __init__(self, api: Api, *, spare_the_server: bool) -> None:
        """`spare_the_server`: delays deletions of rules until those of earlier runs are old enough."""
        super().__init__(api, ("rule", "plugin", "device", "asset"))
        self._rule_deletions_from = time.monotonic() + (RULE_DELETIONS_AFTER_SECONDS if spare_the_server else 0)
        self._rules_deleted = 0

    def device(self, label: str = "device", *, type: str = "", additional_info: dict[str, Any] | None = None) -> Made:  # noqa: A002 - the platform's word
        document: dict[str, Any] = {"name": self.name(label), "type": type or f"{PREFIX}-{self.run}"}
        if additional_info is not None:
            document["additionalInfo"] = additional_info
        return self.made("DEVICE", self.create("device", document))

    def gateway(self) -> Made:
        return self.device("gateway", additional_info={"gateway": True})

    def asset(self, label: str = "asset", *, type: str = "") -> Made:  # noqa: A002 - the platform's word
        return self.made(
            "ASSET", self.create("asset", {"name": self.name(label), "type": type or f"{PREFIX}-{self.run}"})
        )

    def delete_rule(self, identifier: str) -> requests.Response:
        """Deletes a rule; refuses more than MAX_RULE_DELETIONS."""
        assert self._rules_deleted < MAX_RULE_DELETIONS, "Another rule deletion could kill the tenant on a real server."
        time.sleep(max(0.0, self._rule_deletions_from - time.monotonic()))
        self._rules_deleted += 1
        self._made["rule"].remove(identifier)
        return self.api.call("DELETE", f"/api/rule/{identifier}")

    def clean_up(self) -> list[str]:
        """Removes everything, rules first; returns a line for each object that remains, with the reason."""
        self.remember_gateway_devices()
        for kind in ("rule", "plugin"):
            for identifier in self._made[kind]:
                with contextlib.suppress(requests.RequestException):
                    self.api.call("POST", f"/api/{kind}/{identifier}/suspend")
        return self.take_away_all()

    def _take_away(self, kind: str, identifier: str) -> str:
        """Deletes one object; returns "" or why it remains."""
        if kind == "rule" and self._rules_deleted >= MAX_RULE_DELETIONS:
            return f"rule {identifier}: suspended, as {MAX_RULE_DELETIONS} rules were deleted already"
        try:
            return super()._take_away(kind, identifier)
        except requests.RequestException as error:
            return f"{kind} {identifier}: {error}"

    def _delete(self, kind: str, identifier: str) -> requests.Response:
        return self.delete_rule(identifier) if kind == "rule" else super()._delete(kind, identifier)
