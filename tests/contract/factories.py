"""Creates what the suite needs on the server, under unique names, and removes it."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import requests

from pacifictool.rest import EntityId
from tests.contract.api import Api

MAX_RULE_DELETIONS: Final = 3
"""A fourth within a minute kills the tenant (docs/servers/1.x.md#deleting-rules, row 1), so a run makes no more than these …"""
RULE_DELETIONS_AFTER_SECONDS: Final = 65.0
"""… and none before this time after its start, when those of the previous run are older than a minute."""
PREFIX: Final = "contract"
EVENTUALLY_SECONDS: Final = 20.0

Found = TypeVar("Found")


def eventually(
    read: Callable[[], Found], wanted: Callable[[Found], bool], seconds: float = EVENTUALLY_SECONDS
) -> Found:
    """Reads until the result is the wanted one or the time is up, and returns the last result."""
    deadline = time.monotonic() + seconds
    while True:
        found = read()
        if wanted(found) or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


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


class EntityFactory:
    """Creates entities with names that are unique to this run, and records them."""

    def __init__(self, api: Api, *, spare_the_server: bool) -> None:
        """`spare_the_server`: delays deletions of rules until those of earlier runs are old enough."""
        self.api = api
        self._rule_deletions_from = time.monotonic() + (RULE_DELETIONS_AFTER_SECONDS if spare_the_server else 0)
        self.run = secrets.token_hex(5)
        self._numbers = itertools.count(1)
        self._made: dict[str, list[str]] = {"rule": [], "plugin": [], "device": [], "asset": []}
        self._gateway_devices: list[str] = []
        self._rules_deleted = 0

    def name(self, label: str) -> str:
        """A new name, in lower case to keep searches simple."""
        return f"{PREFIX}-{self.run}-{next(self._numbers)}-{label}"

    def post(self, kind: str, document: dict[str, Any]) -> requests.Response:
        """Saves a plugin, rule, device or asset; what it creates is removed at the end."""
        response = self.api.call("POST", f"/api/{kind}", json=document)
        if response.status_code == 200 and (identifier := response.json()["id"]["id"]) not in self._made[kind]:
            self._made[kind].append(identifier)
        return response

    def create(self, kind: str, document: dict[str, Any]) -> dict[str, Any]:
        """Saves, which must succeed; returns the saved object."""
        response = self.post(kind, document)
        assert response.status_code == 200, f"POST /api/{kind}: {response.status_code} {response.text}"
        saved: dict[str, Any] = response.json()
        return saved

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

    def made(self, kind: str, document: dict[str, Any]) -> Made:
        identifier = document["id"]["id"]
        token = ""
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

    def delete_rule(self, identifier: str) -> requests.Response:
        """Deletes a rule; refuses more than MAX_RULE_DELETIONS."""
        assert self._rules_deleted < MAX_RULE_DELETIONS, "Another rule deletion could kill the tenant on a real server."
        time.sleep(max(0.0, self._rule_deletions_from - time.monotonic()))
        self._rules_deleted += 1
        self._made["rule"].remove(identifier)
        return self.api.call("DELETE", f"/api/rule/{identifier}")

    def forget(self, kind: str, identifier: str) -> None:
        """Forgets what a test has deleted itself."""
        self._made[kind].remove(identifier)

    def clean_up(self) -> list[str]:
        """Removes everything, rules first; returns a line for each object that remains, with the reason."""
        for name in self._gateway_devices:
            if (found := self.find_device(name)) is not None:
                self._made["device"].append(found["id"]["id"])
        for kind in ("rule", "plugin"):
            for identifier in self._made[kind]:
                with contextlib.suppress(requests.RequestException):
                    self.api.call("POST", f"/api/{kind}/{identifier}/suspend")
        things = [(kind, identifier) for kind, made in self._made.items() for identifier in made]
        return [reason for kind, identifier in things if (reason := self._take_away(kind, identifier))]

    def _take_away(self, kind: str, identifier: str) -> str:
        """Deletes one object; returns "" or why it remains."""
        if kind == "rule" and self._rules_deleted >= MAX_RULE_DELETIONS:
            return f"rule {identifier}: suspended, as {MAX_RULE_DELETIONS} rules were deleted already"
        try:
            response = (
                self.delete_rule(identifier) if kind == "rule" else self.api.call("DELETE", f"/api/{kind}/{identifier}")
            )
        except requests.RequestException as error:
            return f"{kind} {identifier}: {error}"
        if response.status_code in (200, 404):
            return ""
        return f"{kind} {identifier}: {response.status_code} {response.text}"
