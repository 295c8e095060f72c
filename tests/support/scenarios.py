"""Scenarios and rules that tests use."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from importlib import resources
from typing import Any

from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.windows import PartialAggregate, WindowResult
from pacifictool.scenario import Analytics, Scenario

TUTORIAL_TOPIC = 'topic = "weather-stations-data"'


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


def tutorial_file(topic: str) -> str:
    """The tutorial's scenario as the text of a file, with this topic."""
    text = (resources.files("pacifictool") / "resources" / "tutorial.toml").read_text(encoding="utf-8")
    assert TUTORIAL_TOPIC in text
    return text.replace(TUTORIAL_TOPIC, f'topic = "{topic}"')


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


def mean_analytics(*keys: str, **more: Any) -> Analytics:
    """The analytics of `mean_scenario`."""
    (analytics,) = mean_scenario(*keys, **more).analytics
    return analytics


def window_result(
    zone: str, window_end_ms: int = 10_000, mean: float = 2.5, count: int = 4, *, window_ms: int = 10_000
) -> WindowResult:
    """The result of a window of `mean_scenario`."""
    return WindowResult(
        analytics="zones",
        group=(zone,),
        entity_kind="asset",
        entity=zone,
        window_start_ms=window_end_ms - window_ms,
        window_end_ms=window_end_ms,
        ts_ms=window_end_ms,
        count=count,
        values={"windSpeed": mean},
    )


def mean_in(result: WindowResult) -> float:
    """The mean in a result of `mean_scenario`."""
    return result.values["windSpeed"]


def partial(zone: str, window_end_ms: int, count: int, total: int) -> PartialAggregate:
    """What a batch adds to a window of `mean_scenario`; `total` is in units of 1e-9."""
    return PartialAggregate("zones", zone, window_end_ms, count, mean_state(count, total))


def rules_of(*analytics: dict[str, Any], alarms: Sequence[dict[str, Any]] = (), **forwarding: Any) -> RecordRules:
    """The rules of these analytics, in windows of 10 s and named "a1", "a2", … unless they say otherwise."""
    scenario = Scenario.model_validate(
        {
            "forwarding": {"topic": "readings", "attributes": ["site"], "telemetry": ["temperature"], **forwarding},
            "analytics": [
                {"name": f"a{number}", "window": 10, **each} for number, each in enumerate(analytics, start=1)
            ],
            "alarms": list(alarms),
        }
    )
    return RecordRules.of_scenario(scenario)
