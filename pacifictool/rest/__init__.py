"""The shared REST client of a Pacificsoft server.

    from pacifictool.rest import Platform, Session
    from pacifictool.settings import Secret

    with Platform(Session("http://localhost:8080", "tenant@thingsboard.org", Secret("tenant"))) as platform:
        zone = platform.assets.get_or_create("Zone A", "WeatherStation")
        platform.telemetry.write(zone, [(1795477550000, {"windSpeed": 32.5})])

The guide is docs/rest-client.md.
"""

from __future__ import annotations

from pacifictool.rest.alarms import AlarmInfo, Alarms, EntityAlarm
from pacifictool.rest.attributes import CLIENT_SCOPE, SERVER_SCOPE, SHARED_SCOPE, Attributes
from pacifictool.rest.client import Platform
from pacifictool.rest.dashboard_body import (
    DashboardChart,
    DashboardKey,
    DashboardSpec,
    dashboard_configuration,
    dashboard_differences,
    refitted_dashboard,
)
from pacifictool.rest.dashboards import Dashboard, Dashboards
from pacifictool.rest.descriptors import (
    read_plugin,
    read_rule,
    read_rule_chain,
    tutorial_plugin,
    tutorial_rule,
    tutorial_rule_chain,
)
from pacifictool.rest.entities import (
    AnyEntity,
    Asset,
    Credentials,
    Device,
    EntityId,
    LifecycleEvent,
    Plugin,
    Rule,
    RuleChain,
    User,
)
from pacifictool.rest.events import Events
from pacifictool.rest.forwarding import FIRST_GENERATION, Forwarding, ForwardingSpec, ForwardingState
from pacifictool.rest.forwarding.record import RecordAttribute, RecordSpec
from pacifictool.rest.forwarding.record_chain import rule_chain_descriptor
from pacifictool.rest.forwarding.record_rule import (
    breaks_template,
    plugin_descriptor,
    rule_descriptor,
    template_problem,
)
from pacifictool.rest.http import NO_RETRY, RetryPolicy, Session
from pacifictool.rest.resources import Assets, Devices
from pacifictool.rest.telemetry import Point, Row, Telemetry
from pacifictool.rest.values import Value

__all__ = [
    "CLIENT_SCOPE",
    "FIRST_GENERATION",
    "NO_RETRY",
    "SERVER_SCOPE",
    "SHARED_SCOPE",
    "AlarmInfo",
    "Alarms",
    "AnyEntity",
    "Asset",
    "Assets",
    "Attributes",
    "Credentials",
    "Dashboard",
    "DashboardChart",
    "DashboardKey",
    "DashboardSpec",
    "Dashboards",
    "Device",
    "Devices",
    "EntityAlarm",
    "EntityId",
    "Events",
    "Forwarding",
    "ForwardingSpec",
    "ForwardingState",
    "LifecycleEvent",
    "Platform",
    "Plugin",
    "Point",
    "RecordAttribute",
    "RecordSpec",
    "RetryPolicy",
    "Row",
    "Rule",
    "RuleChain",
    "Session",
    "Telemetry",
    "User",
    "Value",
    "breaks_template",
    "dashboard_configuration",
    "dashboard_differences",
    "plugin_descriptor",
    "read_plugin",
    "read_rule",
    "read_rule_chain",
    "refitted_dashboard",
    "rule_chain_descriptor",
    "rule_descriptor",
    "template_problem",
    "tutorial_plugin",
    "tutorial_rule",
    "tutorial_rule_chain",
]
