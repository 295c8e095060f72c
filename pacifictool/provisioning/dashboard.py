"""The dashboard in the platform's own web UI: the zones' values over time, the turbines' latest ones.

Made once; what a person arranges in it afterwards stays. Only what it shows follows the scenario.
"""

from __future__ import annotations

import contextlib

from pacifictool.errors import NotFound
from pacifictool.provisioning.plan import Action, Kind, Step
from pacifictool.rest import (
    Dashboard,
    DashboardSpec,
    Platform,
    dashboard_configuration,
    dashboard_differences,
    refitted_dashboard,
)
from pacifictool.scenario import Scenario

DESCRIPTION = "Made by pacifictool setup --dashboard; pacifictool teardown removes it."
"""Where the platform's pages show it; setup and teardown know our dashboard by it."""


def dashboard_title(scenario: Scenario) -> str:
    """The same for every run of a scenario, another for scenarios with entities of another type."""
    return f"{scenario.platform.entity_type}: zones and turbines"


def dashboard_step(platform: Platform, scenario: Scenario) -> Step:
    """Makes sure that there is a dashboard of ours and that it shows the scenario's type and key."""
    title, spec = dashboard_title(scenario), _spec(scenario)
    found = platform.dashboards.find(title, DESCRIPTION)
    style = platform.dashboards.style
    if found is None:
        return Step(
            Kind.DASHBOARD,
            title,
            Action.CREATE,
            carry_out=lambda: _create(platform, title, spec),
        )
    differences = tuple(dashboard_differences(found.configuration, spec, style))
    if not differences:
        return Step(Kind.DASHBOARD, title, Action.KEEP)

    def change() -> None:
        platform.dashboards.change(found, lambda configuration: refitted_dashboard(configuration, spec, style))

    return Step(Kind.DASHBOARD, title, Action.CHANGE, differences, change)


def dashboard_removals(platform: Platform, scenario: Scenario) -> list[Step]:
    """A step for each dashboard that setup made for the scenario; one that somebody else made stays."""
    title = dashboard_title(scenario)
    ours = [each for each in platform.dashboards.titled(title) if each.description == DESCRIPTION]
    return [_removal(platform, each) for each in ours]


def _removal(platform: Platform, dashboard: Dashboard) -> Step:
    def carry_out() -> None:
        # Somebody else may have deleted it since it was looked up.
        with contextlib.suppress(NotFound):
            platform.dashboards.delete(dashboard.id)

    return Step(Kind.DASHBOARD, dashboard.title, Action.DELETE, carry_out=carry_out)


def _create(platform: Platform, title: str, spec: DashboardSpec) -> None:
    platform.dashboards.create(title, dashboard_configuration(spec, title, platform.dashboards.style))


def _spec(scenario: Scenario) -> DashboardSpec:
    return DashboardSpec(DESCRIPTION, scenario.platform.entity_type, scenario.aggregation.value_key)
