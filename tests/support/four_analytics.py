"""A scenario with four analytics in one job: what the fault tests, the soak and the crash simulation run.

Together they have windows that tumble and slide, groups by attribute, by device and none, results on assets and devices,
and functions of every kind of state. All keys are written out, because the oracle reads the document and not the model.
"""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pacifictool.analytics.engine.records import RecordRules
from pacifictool.functions import Alarm
from pacifictool.scenario import Scenario

MEAN_KEY = "windSpeed"
"""The tutorial's result: of each zone, in windows of `MEAN_WINDOW` seconds."""
MEAN_WINDOW = 2
LONGEST_WINDOW = 5
"""Seconds."""

_ANALYTICS = f"""
[[analytics]]
name = "zones"
group_by = ["geoZone"]
window = {MEAN_WINDOW}
slide = {MEAN_WINDOW}
lateness = LATENESS
telemetry = {{ {MEAN_KEY} = "mean(windSpeed)" }}
entity_kind = "asset"
ts = "end"

[[analytics]]
name = "sliding"
group_by = ["geoZone"]
window = 4
slide = 2
lateness = 3LATENESS
telemetry = {{ speed_min = "min(windSpeed)", speed_max = "max(windSpeed)", speed_p95 = "p95(windSpeed)", readings = "count()" }}
entity_kind = "asset"
ts = "end"

[[analytics]]
name = "each"
group_by = ["deviceName"]
window = 3
slide = 3
lateness = 2LATENESS
telemetry = {{ speed_delta = "delta(windSpeed)", speed_rate = "rate(windSpeed)", speed_first = "first(windSpeed)", speed_last = "last(windSpeed)", speed_variance = "variance(windSpeed)" }}
entity = "{{deviceName}} analytics"
entity_kind = "device"
ts = "end"

[[analytics]]
name = "everything"
group_by = []
window = {LONGEST_WINDOW}
slide = {LONGEST_WINDOW}
lateness = 2LATENESS
telemetry = {{ devices = "count_distinct(deviceName)", speed_sum = "sum(windSpeed)" }}
entity = "All zones"
entity_kind = "asset"
ts = "start"
"""

_FUNCTION = """
[[analytics]]
name = "swings"
group_by = ["geoZone"]
window = 4
slide = 2
lateness = LATENESS
function = "swings:swing"
entity_kind = "asset"
ts = "end"

[[alarms]]
type = "Windy"
analytics = "zones"
when = "windSpeed > WINDY"
holds = { windows = 3, share = 0.6 }
severity = "MINOR"

[[alarms]]
type = "Windy"
analytics = "swings"
when = "speed_swing > WINDIER"
severity = "MAJOR"
"""

FUNCTION_FILE = """
from pacifictool.functions import Alarm, Result


def swing(readings, window):
    speeds = readings["windSpeed"].dropna()
    found = Result(window.entity, {"speed_swing": speeds.max() - speeds.min(), "speed_count": len(speeds)})
    return [found, Alarm("Odd", "WARNING")] if len(speeds) % 2 else [found]
"""
"""swings.py."""
FUNCTION_KEYS = dict.fromkeys(("speed_swing", "speed_count"))


def swing(speeds: Sequence[float]) -> tuple[dict[str, float], list[Alarm]]:
    """The same without pandas."""
    found = {"speed_swing": max(speeds) - min(speeds), "speed_count": float(len(speeds))}
    return found, [Alarm("Odd", "WARNING")] if len(speeds) % 2 else []


def expected_swing(speeds: Sequence[float]) -> tuple[dict[str, float], list[tuple[str, str]]]:
    """The same as the oracle wants it."""
    found, alarms = swing(speeds)
    return found, [(each.type, each.severity) for each in alarms]


def four_analytics(
    topic: str,
    *,
    partitions: int = 2,
    event_time: Literal["kafka", "reading"] = "kafka",
    lateness: float = 10.0,
    devices: Iterable[tuple[str, str, float]] = (),
    function: bool = False,
    windy: float = 5e8,
) -> str:
    """The scenario as the text of a file. `lateness`: the shortest one, in seconds. `devices`: name, zone and rate.
    `function`: with a fifth analytics whose function stands in swings.py, and with alarms; `windy` is the speed beyond
    which there is one, and one half more a difference beyond which there is another.

    Each reading is one of a billion numbers, so that it can be recognised in the topic.
    """
    analytics = _ANALYTICS + (_FUNCTION if function else "")
    analytics = analytics.replace("WINDIER", repr(1.5 * windy)).replace("WINDY", repr(windy))
    for times in (3, 2):
        analytics = analytics.replace(f"{times}LATENESS", str(times * lateness))
    lines = [
        '[platform]\ndevice_type = "WeatherStation"',
        f'[forwarding]\ntopic = {json.dumps(topic)}\npartitions = {partitions}\nattributes = ["geoZone"]',
        f'telemetry = ["windSpeed"]\ndevice = true\nevent_time = "{event_time}"\nnumbers_in_text = true',
        "valid = { windSpeed = { min = 0, max = 1e9 } }",
        analytics.replace("LATENESS", str(lateness)),
    ]
    for name, zone, rate in devices:
        lines += [
            f"[[devices]]\nname = {json.dumps(name)}\nrate = {rate}\nattributes = {{ geoZone = {json.dumps(zone)} }}",
            "telemetry = { windSpeed = { min = 0, max = 1000000000 } }",
        ]
    return "\n".join(lines)


def four_rules(topic: str, *, lateness: float, **more: Any) -> RecordRules:
    """The rules of this scenario, for a job without a file."""
    text = four_analytics(topic, lateness=lateness, **more)
    return RecordRules.of_scenario(Scenario.model_validate(document_of(text)))


def document_of(text: str) -> dict[str, Any]:
    """What a scenario's text says."""
    return tomllib.loads(text)


def record(zone: str, speed: float, *, device: str = "By hand", ts_ms: int | None = None) -> bytes:
    """A valid record, as the platform's rule writes it; by default its reading is of now."""
    at = round(time.time() * 1000) if ts_ms is None else ts_ms
    return json.dumps({"geoZone": zone, "windSpeed": speed, "deviceName": device, "ts": at}).encode()
