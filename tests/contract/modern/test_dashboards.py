"""docs/servers/4.x.md#dashboards: dashboards."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.api import NOBODY, Api, refusal
from tests.contract.facts import Facts
from tests.contract.modern.factories import ModernEntityFactory

SECTION = "modern 6"
CONFIGURATION: dict[str, Any] = {
    "description": "",
    "widgets": {"b1b1b1b1-0000-4000-8000-000000000001": {"typeFullFqn": "system.time_series_chart", "sizeX": 24.0}},
    "entityAliases": {"a": {"alias": "é", "filter": {"type": "assetType", "assetTypes": ["WeatherStation"]}}},
}


def test_a_dashboard_comes_back_as_it_was(api: Api, factory: ModernEntityFactory, fact: Facts) -> None:
    title = factory.name("dashboard")
    saved = factory.create("dashboard", {"title": title, "configuration": CONFIGURATION})
    fact(SECTION, "its version", saved["version"], 1)
    found = api.get(f"/api/dashboard/{saved['id']['id']}")
    fact(SECTION, "its configuration", found["configuration"], CONFIGURATION)
    second = factory.create("dashboard", {"title": title})
    fact.holds(SECTION, "titles are not unique", second["id"] != saved["id"], second["id"])
    page = api.get("/api/tenant/dashboards", pageSize=10, page=0, textSearch=title)
    fact(SECTION, "both are found by title", (page["totalElements"], page["hasNext"]), (2, False))
    factory.create("dashboard", saved | {"configuration": None})
    stale = factory.post("dashboard", saved)
    fact(SECTION, "a stale version", refusal(stale)[:2], (409, 35))
    deleted = api.call("DELETE", f"/api/dashboard/{saved['id']['id']}")
    fact(SECTION, "deleting", (deleted.status_code, deleted.content), (200, b""))
    factory.forget("dashboard", saved["id"]["id"])


@pytest.mark.parametrize("configuration", [None, "a text", {"nonsense": 1}])
def test_only_the_title_is_checked(factory: ModernEntityFactory, fact: Facts, configuration: Any) -> None:
    document = {"title": factory.name("any"), "configuration": configuration}
    fact(SECTION, f"configuration {configuration!r}", factory.post("dashboard", document).status_code, 200)


def test_refused_dashboards(api: Api, factory: ModernEntityFactory, fact: Facts) -> None:
    untitled = factory.post("dashboard", {"configuration": CONFIGURATION})
    fact(SECTION, "without a title", refusal(untitled), (400, 31, "Dashboard title should be specified!"))
    unknown = refusal(api.call("GET", f"/api/dashboard/{NOBODY}"))
    fact(SECTION, "an unknown one", unknown, (404, 32, f"Dashboard with id [{NOBODY}] is not found"))
