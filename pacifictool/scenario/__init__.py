"""The scenario: what exists on the platform, what is forwarded, what is computed, and what is simulated.

A scenario is a TOML file; the tutorial's is the default and a package resource (`pacifictool/resources/tutorial.toml`).
"""

from pacifictool.scenario.aggregates import Aggregate
from pacifictool.scenario.alarms import AlarmSpec
from pacifictool.scenario.analytics import Analytics
from pacifictool.scenario.devices import DeviceSpec, FleetSpec
from pacifictool.scenario.forwarding import Bounds, ForwardingConfig
from pacifictool.scenario.load import (
    describe_validation_error,
    load_scenario,
    parse_scenario,
    scenario_text,
    tutorial_scenario,
)
from pacifictool.scenario.model import MAX_FLEET, AssetSpec, PlatformTypes, Scenario
from pacifictool.scenario.names import (
    DEVICE_NAME,
    DEVICE_TYPE,
    MAX_NAME_LENGTH,
    READING_TIME,
    Attribute,
    check_key,
    check_name,
)

__all__ = [
    "DEVICE_NAME",
    "DEVICE_TYPE",
    "MAX_FLEET",
    "MAX_NAME_LENGTH",
    "READING_TIME",
    "Aggregate",
    "AlarmSpec",
    "Analytics",
    "AssetSpec",
    "Attribute",
    "Bounds",
    "DeviceSpec",
    "FleetSpec",
    "ForwardingConfig",
    "PlatformTypes",
    "Scenario",
    "check_key",
    "check_name",
    "describe_validation_error",
    "load_scenario",
    "parse_scenario",
    "scenario_text",
    "tutorial_scenario",
]
