"""Scenarios and rules that tests use."""

from __future__ import annotations

import struct
from typing import Any

from pacifictool.analytics.engine.records import RecordRules
from pacifictool.scenario import Scenario


def mean_scenario(
    group_key: str = "geoZone",
    value_key: str = "windSpeed",
    *,
    name: str = "zones",
    window: float | str = 10,
    lateness: float | str = 10,
    minimum: float = 0,
    maximum: float = 1e9,
    topic: str = "weather-stations-data",
    **forwarding: Any,
) -> Scenario:
    """One mean of one key by one attribute, as the tutorial's."""
    return Scenario.model_validate(
        {
            "forwarding": {
                "topic": topic,
                "attributes": [group_key],
                "telemetry": [value_key],
                "valid": {value_key: {"min": minimum, "max": maximum}},
                **forwarding,
            },
            "analytics": [
                {
                    "name": name,
                    "group_by": [group_key],
                    "window": window,
                    "lateness": lateness,
                    "telemetry": {value_key: f"mean({value_key})"},
                }
            ],
        }
    )


def mean_rules(*keys: str, **more: Any) -> RecordRules:
    """The rules of `mean_scenario`."""
    return RecordRules.of_scenario(mean_scenario(*keys, **more))


def mean_state(count: int, total: int) -> bytes:
    """The state of a window of `mean_scenario`: its count and its sum in units of 1e-9."""
    return struct.pack(">qqq", count, total >> 32, total & 0xFFFFFFFF)


def sum_of(state: bytes) -> int:
    """The sum in such a state."""
    _count, high, low = struct.unpack(">qqq", state)
    return (int(high) << 32) + int(low)
