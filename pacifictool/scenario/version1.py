"""Scenarios of version 1: recognised, and refused with the lines that replace them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pacifictool.errors import ScenarioError

_TABLES = ("turbines", "kafka", "aggregation", "winds")
_FLEET_KEYS = ("zones", "zone", "wind_speed")


def refuse_version_1(document: Mapping[str, Any], source: str) -> None:
    """Raises ScenarioError when `document`, read from `source`, has tables or keys of version 1."""
    fleet, platform = document.get("fleet", {}), document.get("platform", {})
    old = [f"[{name}]" if name != "turbines" else "[[turbines]]" for name in _TABLES if name in document]
    old += [f"fleet.{key}" for key in _FLEET_KEYS if isinstance(fleet, dict) and key in fleet]
    if isinstance(platform, dict) and "entity_type" in platform:
        old.append("platform.entity_type")
    if not old:
        return
    try:
        lines = "\n".join(_converted(document))
    except (AttributeError, TypeError, ValueError):  # not even a right scenario of version 1
        lines = "See docs/scenario.md."
    raise ScenarioError(
        f"{source} is a scenario of version 1: {', '.join(old)}.", hint=f"In version 2 it reads:\n\n{lines}"
    )


def _converted(document: Mapping[str, Any]) -> Iterator[str]:
    aggregation = {"window": "10s", "zone_key": "geoZone", "value_key": "windSpeed", **document.get("aggregation", {})}
    zone, value = aggregation["zone_key"], aggregation["value_key"]
    yield "[platform]"
    entity_type = document.get("platform", {}).get("entity_type", "WeatherStation")
    yield f"device_type = {_toml(entity_type)}"
    yield f"dashboard = {_toml(f'{entity_type}: zones and turbines')}"
    yield ""
    yield "[forwarding]"
    yield f"topic = {_toml(document.get('kafka', {}).get('topic', 'weather-stations-data'))}"
    for key in ("partitions", "replication"):
        if key in document.get("kafka", {}):
            yield f"{key} = {_toml(document['kafka'][key])}"
    yield f"attributes = [{_toml(zone)}]"
    yield f"telemetry = [{_toml(value)}]"
    yield f"valid = {{ {value} = {_toml(aggregation.get('valid', {'min': 0, 'max': 1e9}))} }}"
    if "max_skew" in aggregation:
        yield f"max_skew = {_toml(aggregation['max_skew'])}"
    # The names that version 1 gave, whatever the topic: with others, what it set up would go on forwarding as well.
    yield 'plugin = "Kafka Plugin for Spark Streaming Sample"'
    yield 'plugin_token = "kafka-spark-streaming-sample"'
    yield 'rule = "WindSpeed Telemetry Rule"'
    yield 'rule_chain = "WindSpeed Telemetry Rule Chain"'
    yield from ("", "[[analytics]]", 'name = "zones"', f"group_by = [{_toml(zone)}]")
    yield from (f"{key} = {_toml(aggregation[key])}" for key in ("window", "lateness") if key in aggregation)
    yield f'telemetry = {{ {value} = "mean({value})" }}'
    for name, model in document.get("winds", {}).items():
        yield from ("", f"[models.{name}]", *(f"{key} = {_toml(part)}" for key, part in model.items()))
    for turbine in document.get("turbines", []):
        yield from ("", "[[devices]]", f"name = {_toml(turbine['name'])}")
        yield f"attributes = {{ {zone} = {_toml(turbine['zone'])} }}"
        yield f"telemetry = {{ {value} = {_toml(turbine['wind_speed'])} }}"
        if "rate" in turbine:
            yield f"rate = {_toml(turbine['rate'])}"
    yield from _fleet(document.get("fleet"), zone, value)
    for asset in document.get("assets", []):
        yield from ("", "[[assets]]", f"name = {_toml(asset['name'])}")


def _fleet(fleet: Mapping[str, Any] | None, zone: str, value: str) -> Iterator[str]:
    if fleet is None:
        return
    yield from ("", "[fleet]")
    if "name" in fleet:
        yield f"name = {_toml(fleet['name'])}"
    zones = fleet.get("zones", 10)
    names = zones if isinstance(zones, list) else str(fleet.get("zone", "Zone {number}")).replace("{number", "{group")
    yield f"groups = {len(zones) if isinstance(zones, list) else zones}"
    yield f"attributes = {{ {zone} = {_toml(names)} }}"
    yield f"telemetry = {{ {value} = {_toml(fleet.get('wind_speed', {'min': 30, 'max': 60}))} }}"
    if "rate" in fleet:
        yield f"rate = {_toml(fleet['rate'])}"


def _toml(value: Any) -> str:
    """A value as it stands behind an equals sign. TOML's texts, numbers and lists are those of JSON."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
