"""The dashboard in the platform's own web UI: the results over time, the devices' latest values.

Created if it does not exist. What a person arranges in it afterwards stays; only its entity types and keys follow
the scenario. The keys of a function's results are those that its groups have: before there are any, it has no chart.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from pacifictool.plan import Change, ChangeAction, Kind
from pacifictool.rest import (
    Asset,
    Dashboard,
    DashboardChart,
    DashboardKey,
    DashboardSpec,
    Device,
    Platform,
    dashboard_configuration,
    dashboard_differences,
    refitted_dashboard,
)
from pacifictool.scenario import Analytics, Scenario

DESCRIPTION = "Made by pacifictool setup --dashboard; pacifictool teardown removes it."
"""Shown in the platform's UI; setup and teardown identify their dashboard by it."""
_GROUPS: Final = 5
"""Groups whose keys are read."""


def dashboard_change(platform: Platform, scenario: Scenario) -> Change:
    """Ensures that the dashboard exists and shows the scenario's types and keys."""
    title, spec = scenario.dashboard_title, _spec(platform, scenario)
    found = platform.dashboards.find(title, DESCRIPTION)
    style = platform.dashboards.style
    if found is None:
        configuration = dashboard_configuration(spec, title, style)
        create = partial(platform.dashboards.create, title, configuration)
        return Change(Kind.DASHBOARD, title, ChangeAction.CREATE, apply=create)
    differences = tuple(dashboard_differences(found.configuration, spec, style))
    if not differences:
        return Change(Kind.DASHBOARD, title, ChangeAction.KEEP)
    change = partial(platform.dashboards.change, found, partial(refitted_dashboard, spec=spec, style=style))
    return Change(Kind.DASHBOARD, title, ChangeAction.CHANGE, differences, change)


def scenario_dashboards(platform: Platform, scenario: Scenario) -> list[Dashboard]:
    """The dashboards that setup created for the scenario, not those of the same title that somebody else created."""
    titled = platform.dashboards.titled(scenario.dashboard_title)
    return [dashboard for dashboard in titled if dashboard.description == DESCRIPTION]


def _spec(platform: Platform, scenario: Scenario) -> DashboardSpec:
    keys = {each.name: _keys(platform, scenario, each) for each in scenario.analytics}
    return DashboardSpec(
        DESCRIPTION,
        tuple(_chart(scenario, each, keys[each.name]) for each in scenario.analytics if keys[each.name]),
        scenario.entity_type("device"),
        tuple(DashboardKey(key, scenario.title(key)) for key in scenario.forwarding.telemetry),
    )


def _keys(platform: Platform, scenario: Scenario, analytics: Analytics) -> tuple[str, ...]:
    found: dict[str, None] = {}
    if analytics.function is not None:
        resources = platform.assets if analytics.entity_kind == "asset" else platform.devices
        for group in list(scenario.groups(analytics))[:_GROUPS]:
            entity: Asset | Device | None = resources.find(analytics.entity_name(group))
            found |= dict.fromkeys(sorted(platform.telemetry.keys(entity)) if entity is not None else ())
    return scenario.keys_of(analytics, found)


def _chart(scenario: Scenario, analytics: Analytics, keys: tuple[str, ...]) -> DashboardChart:
    groups = scenario.group_word(analytics, 2)
    title = f"{groups[:1].upper()}{groups[1:]}" if len(scenario.analytics) == 1 else analytics.name
    return DashboardChart(
        # The table of devices has that role.
        "devices by analytics" if analytics.name == "devices" else analytics.name,
        title,
        analytics.entity_kind,
        scenario.entity_type(analytics.entity_kind),
        tuple(DashboardKey(key, scenario.result_title(analytics, key)) for key in keys),
    )
