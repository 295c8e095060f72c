"""Scenarios of version 1: recognised, and refused with the lines that replace them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pacifictool.errors import ScenarioError

_TABLES = ("turbines", "kafka", "aggregation", "winds")
_FLEET_KEYS = ("zones", "zone", "wind_speed")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def refuse_version_1(document: Mapping[str, Any], source: str) -> None:
    """Raises ScenarioError when `document`, read from `source`, has tables or keys of version 1; its detail
    `replacement`, and its notes, line by line, are the scenario that replaces it."""
    fleet, platform = document.get("fleet", {}), document.get("platform", {})
    old = [f"[{name}]" if name != "turbines" else "[[turbines]]" for name in _TABLES if name in document]
    old += [f"fleet.{key}" for key in _FLEET_KEYS if isinstance(fleet, dict) and key in fleet]
    if isinstance(platform, dict) and "entity_type" in platform:
        old.append("platform.entity_type")
    if not old:
        return
    message = f"{source} is a scenario of version 1: {', '.join(old)}."
    try:
        lines = list(_converted(document))
    except (AttributeError, LookupError, TypeError, ValueError):  # not even a right scenario of version 1
        raise ScenarioError(message, hint="docs/scenario.md describes the tables and keys of version 2.") from None
    error = ScenarioError(message, hint="In version 2 it reads:", replacement="\n".join(lines))
    for line in lines:  # a hint is shown on one line
        error.add_note(line)
    raise error


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
    yield f"valid = {_toml({value: aggregation.get('valid', {'min': 0, 'max': 1e9})})}"
    if "max_skew" in aggregation:
        yield f"max_skew = {_toml(aggregation['max_skew'])}"
    # The names that version 1 gave, whatever the topic: with others, what it set up would go on forwarding as well.
    yield 'plugin = "Kafka Plugin for Spark Streaming Sample"'
    yield 'plugin_token = "kafka-spark-streaming-sample"'
    yield 'rule = "WindSpeed Telemetry Rule"'
    yield 'rule_chain = "WindSpeed Telemetry Rule Chain"'
    yield from ("", "[[analytics]]", 'name = "zones"', f"group_by = [{_toml(zone)}]")
    yield from (f"{key} = {_toml(aggregation[key])}" for key in ("window", "lateness") if key in aggregation)
    yield f"telemetry = {_toml({value: f'mean({value})'})}"
    for name, model in document.get("winds", {}).items():
        yield from ("", f"[models.{_key(name)}]")
        yield from (f"{_key(key)} = {_toml(part)}" for key, part in _model(model, value).items())
    for turbine in document.get("turbines", []):
        yield from ("", "[[devices]]", f"name = {_toml(turbine['name'])}")
        yield f"attributes = {_toml({zone: turbine['zone']})}"
        yield f"telemetry = {_toml({value: _model(turbine['wind_speed'], value)})}"
        if "rate" in turbine:
            yield f"rate = {_toml(turbine['rate'])}"
    yield from _fleet(document.get("fleet", {}), zone, value)
    for asset in document.get("assets", []):
        yield from ("", "[[assets]]", f"name = {_toml(asset['name'])}")


def _fleet(fleet: Mapping[str, Any], zone: str, value: str) -> Iterator[str]:
    """A scenario of version 1 always had a fleet."""
    yield from ("", "[fleet]", f"name = {_toml(fleet.get('name', 'Turbine {number:05d}'))}")
    zones = fleet.get("zones", 10)
    names = zones if isinstance(zones, list) else str(fleet.get("zone", "Zone {number}")).replace("{number", "{group")
    yield f"groups = {len(zones) if isinstance(zones, list) else zones}"
    yield f"attributes = {_toml({zone: names})}"
    wind = fleet.get("wind_speed", {"min": 30, "max": 60})
    models = [_model(each, value) for each in wind] if isinstance(wind, list) else _model(wind, value)
    yield f"telemetry = {_toml({value: models})}"
    if "rate" in fleet:
        yield f"rate = {_toml(fleet['rate'])}"


def _model(wind: Any, value: str) -> Any:
    """A model with the defaults that version 1 had: no wind was negative, and files had the column windSpeed."""
    if isinstance(wind, dict) and wind.get("model") in ("normal", "sine"):
        return {**wind, "min": wind.get("min", 0)}
    if isinstance(wind, dict) and wind.get("model") == "replay" and value != "windSpeed":
        return {**wind, "column": wind.get("column", "windSpeed")}
    return wind


def _toml(value: Any) -> str:
    """A value as it stands behind an equals sign. TOML's texts, numbers and lists are those of JSON."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_toml(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)
