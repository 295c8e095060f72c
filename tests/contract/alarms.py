"""Raises, lists and clears alarms of one asset, as docs/servers/alarms.md#creating-and-updating says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import requests

from tests.contract.api import Api
from tests.contract.factories import Made

TYPE: Final = "Too warm"
OLD_MS: Final = 1_700_000_000_000
"""A time long before any test."""


@dataclass(frozen=True, slots=True)
class Originator:
    """The asset of one test. No server lets a test delete alarms everywhere, so they are left behind cleared."""

    api: Api
    asset: Made
    paging: dict[str, int]
    """The parameters of one page, by generation."""

    def post(self, **fields: Any) -> requests.Response:
        """`POST /api/alarm` with the body of the observations and these fields; None leaves one out."""
        body = {
            "originator": {"entityType": self.asset.kind, "id": self.asset.id},
            "type": TYPE,
            "severity": "MAJOR",
            "status": "ACTIVE_UNACK",
            "details": {"x": 1},
        }
        given = {key: value for key, value in (body | fields).items() if value is not None}
        return self.api.call("POST", "/api/alarm", json=given)

    def raised(self, **fields: Any) -> dict[str, Any]:
        """The alarm of a POST that must succeed."""
        response = self.post(**fields)
        assert response.status_code == 200, f"POST /api/alarm: {response.status_code} {response.text}"
        alarm: dict[str, Any] = response.json()
        return alarm

    def call(self, alarm: dict[str, Any], action: str) -> requests.Response:
        """`POST /api/alarm/{id}/clear` or `…/ack`."""
        return self.api.call("POST", f"/api/alarm/{alarm['id']['id']}/{action}")

    def read(self, alarm: dict[str, Any]) -> dict[str, Any]:
        """The alarm by its id."""
        found: dict[str, Any] = self.api.get(f"/api/alarm/{alarm['id']['id']}")
        return found

    def listed(self, **query: Any) -> list[str]:
        """The ids of a page of the asset's alarms."""
        page = self.api.get(f"/api/alarm/{self.asset.kind}/{self.asset.id}", **self.paging, **query)
        return [alarm["id"]["id"] for alarm in page["data"]]

    def clear_all(self) -> None:
        """What a test leaves active would stay active for ever."""
        for identifier in self.listed(searchStatus="ACTIVE"):
            self.api.call("POST", f"/api/alarm/{identifier}/clear")
