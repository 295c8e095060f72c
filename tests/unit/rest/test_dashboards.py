from __future__ import annotations

from typing import Any

import pytest

from pacifictool.rest import (
    DashboardChart,
    DashboardKey,
    DashboardSpec,
    Platform,
    Session,
    dashboard_configuration,
    dashboard_differences,
    refitted_dashboard,
)
from pacifictool.rest.dashboard_body import WidgetStyle
from pacifictool.server_version import parse_server_version
from tests.support.scripted_platform import DROP, EMPTY, Reply, Request, ScriptedPlatform, platform_error

TENANT = {"entityType": "TENANT", "id": "7b2ee740-e799-11f1-9f43-213db154d0ac"}
CONFLICT = platform_error(409, "Dashboard was already changed by someone else", 35)
LEVEL = DashboardKey("level", "level (m)")


def spec(entity_type: str, *charts: DashboardChart) -> DashboardSpec:
    shown = charts or (DashboardChart("zones", "Zones", "asset", entity_type, (LEVEL,)),)
    return DashboardSpec("ours", shown, entity_type, (LEVEL,))


SPEC = spec("Gauge")


class Shelf:
    """Dashboards as a server keeps them: titles are not unique, lists come without configurations."""

    def __init__(self, server: ScriptedPlatform) -> None:
        self.server = server
        self.documents: list[dict[str, Any]] = []
        self.lose_next_response = False
        server.on("GET", "/api/tenant/dashboards", self._list)
        server.on("POST", "/api/dashboard", self._save)

    def add(self, title: str, configuration: Any) -> dict[str, Any]:
        number = len(self.documents)
        identifier = f"eb54ece0-e799-11f1-9f43-{number:012d}"
        # In the future: not older than any attempt of the client.
        document = {
            "id": {"entityType": "DASHBOARD", "id": identifier},
            "createdTime": 4_000_000_000_000 + number,
            "tenantId": TENANT,
            "title": title,
            "configuration": configuration,
            "version": 1,
        }
        self.documents.append(document)
        self.server.on("GET", f"/api/dashboard/{identifier}", lambda _: Reply(json=document))
        self.server.on("DELETE", f"/api/dashboard/{identifier}", EMPTY)
        return document

    def _list(self, request: Request) -> Reply:
        infos = [{key: each[key] for key in each if key != "configuration"} for each in self.documents]
        if "limit" in request.query:
            return Reply(json={"data": infos, "nextPageLink": None, "hasNext": False})
        return Reply(json={"data": infos, "totalPages": 1, "totalElements": len(infos), "hasNext": False})

    def _save(self, request: Request) -> Reply:
        sent = request.json
        if "id" not in sent:
            saved = self.add(sent["title"], sent["configuration"])
        else:
            saved = next(each for each in self.documents if each["id"] == sent["id"])
            if sent["version"] != saved["version"]:
                return CONFLICT
            saved |= {"configuration": sent["configuration"], "version": saved["version"] + 1}
        if self.lose_next_response:
            self.lose_next_response = False
            return DROP
        return Reply(json=saved)


@pytest.fixture
def shelf(server: ScriptedPlatform) -> Shelf:
    return Shelf(server)


@pytest.fixture(params=["1.4", "2.5", "3.9", "4.3.1"])
def platform(request: pytest.FixtureRequest, session: Session) -> Platform:
    return Platform(session, server_version=parse_server_version(request.param))


def test_every_generation_writes_widgets_in_its_own_way(session: Session) -> None:
    styles = {
        text: Platform(session, server_version=parse_server_version(text)).dashboards.style
        for text in ("1.4", "2.5.6", "3.0", "3.9.1", "4.0", "4.3.1")
    }
    assert [text for text, style in styles.items() if style is WidgetStyle.FQN] == ["4.0", "4.3.1"]


def test_a_dashboard_is_known_by_title_and_description(shelf: Shelf, platform: Platform) -> None:
    shelf.add("Gauges", None)
    shelf.add("Gauges", "nonsense")
    shelf.add("Gauges", {"description": "theirs"})
    shelf.add("Gauges and more", {"description": "ours"})
    assert platform.dashboards.find("Gauges", "ours") is None
    first = shelf.add("Gauges", {"description": "ours"})
    shelf.add("Gauges", {"description": "ours"})
    found = platform.dashboards.find("Gauges", "ours")
    assert found is not None
    assert found.id == first["id"]["id"]


def test_a_creation_whose_response_is_lost_makes_one_dashboard(shelf: Shelf, platform: Platform) -> None:
    shelf.lose_next_response = True
    made = platform.dashboards.create("Gauges", {"description": "ours"})
    assert [each["id"]["id"] for each in shelf.documents] == [made.id]


def test_a_dashboard_that_somebody_saves_meanwhile_is_read_again(shelf: Shelf, platform: Platform) -> None:
    shelf.add("Gauges", {"description": "ours"})
    found = platform.dashboards.find("Gauges", "ours")
    assert found is not None
    theirs = shelf.documents[0]
    theirs |= {"configuration": {"description": "ours", "theirs": 1}, "version": 2}
    platform.dashboards.change(found, lambda configuration: {**configuration, "more": 2})
    assert theirs["configuration"] == {"description": "ours", "theirs": 1, "more": 2}


@pytest.mark.parametrize("style", list(WidgetStyle))
def test_a_new_dashboard_is_as_wanted_and_another_type_is_a_difference(style: WidgetStyle) -> None:
    made = dashboard_configuration(SPEC, "Gauges", style)
    assert list(dashboard_differences(made, SPEC, style)) == []
    # An upgraded server: what was created for the older one still shows the same.
    other = next(each for each in WidgetStyle if each is not style)
    assert list(dashboard_differences(made, SPEC, other)) == []
    lines = list(dashboard_differences(made, spec("Meter"), style))
    assert lines == ["zones: entities of the type 'Meter'", "devices: entities of the type 'Meter'"]


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"widgets": None, "entityAliases": 5},
        {"widgets": {"x": None}, "entityAliases": {"x": []}},
        {"widgets": [{"config": {"datasources": None}}]},
    ],
)
def test_a_configuration_that_somebody_has_taken_apart_is_left_alone(configuration: dict[str, Any]) -> None:
    assert list(dashboard_differences(configuration, SPEC, WidgetStyle.FQN)) == []


@pytest.mark.parametrize("style", list(WidgetStyle))
def test_each_analytics_has_a_chart_with_all_its_keys(style: WidgetStyle) -> None:
    rooms = DashboardChart(
        "rooms", "rooms", "asset", "Room", (DashboardKey("mean", "mean (°C)"), DashboardKey("p95", "p95 (°C)"))
    )
    sensors = DashboardChart("sensors", "sensors", "device", "Gauge", (DashboardKey("hourly", "hourly"),))
    wanted = spec("Gauge", rooms, sensors)
    made = dashboard_configuration(wanted, "Rooms", style)
    keys = [
        [key["label"] for key in widget["config"]["datasources"][0]["dataKeys"]] for widget in made["widgets"].values()
    ]
    assert keys == [["mean (°C)", "p95 (°C)"], ["hourly"], ["level (m)"]]
    assert [widget["row"] for widget in made["widgets"].values()] == [0, 10, 20]
    assert len({alias["id"] for alias in made["entityAliases"].values()}) == 3
    more = DashboardChart("rooms", "rooms", "asset", "Room", (*rooms.keys, DashboardKey("n", "n")))
    changed = spec("Gauge", more, sensors)
    assert list(dashboard_differences(made, changed, style)) == ["rooms: 'mean', 'p95', 'n' instead of 'mean', 'p95'"]
    assert list(dashboard_differences(refitted_dashboard(made, changed, style), changed, style)) == []
