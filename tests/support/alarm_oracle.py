"""Which alarms must be active, computed from results without any code of the job."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.random_scenarios import Expected

SEVERITIES = ("CRITICAL", "MAJOR", "MINOR", "WARNING", "INDETERMINATE")

Alarms = dict[tuple[str, str, str], str]
"""Severity by kind and name of the entity, and type."""


def holds(spec: Mapping[str, Any], results: Mapping[int, Mapping[str, float]], slide_ms: int) -> bool:
    """Whether `[[alarms]]` holds of the results of a group by window end. Conditions are of the form `key > number`."""
    if not results:
        return False
    newest, (key, sign, limit) = max(results), spec["when"].split()
    assert sign == ">"
    windows, share = spec.get("holds", {}).get("windows", 1), spec.get("holds", {}).get("share", 1.0)
    met = sum(
        values[key] > float(limit)
        for end, values in results.items()
        if end > newest - windows * slide_ms and key in values
    )
    return bool(met >= math.ceil(windows * share - 1e-9))


def most_urgent(found: Mapping[tuple[str, str, str], list[str]]) -> Alarms:
    """One alarm for each entity and type."""
    return {place: min(severities, key=SEVERITIES.index) for place, severities in found.items()}


def wanted_alarms(document: Mapping[str, Any], expected: Expected) -> Alarms:
    """The alarms of a scenario's document, when all of its records have been counted. Results bear the end of windows."""
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for each in document["analytics"]:
        kind = each["entity_kind"]
        series: dict[str, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
        for (entity_kind, entity, key, at), value in expected.values.items():
            if entity_kind == kind and key in expected.keys_of[each["name"]]:
                series[entity][at][key] = value
        for spec in document.get("alarms", ()):
            if spec["analytics"] == each["name"]:
                for entity, results in series.items():
                    if holds(spec, results, round(each["slide"] * 1000)):
                        found[kind, entity, spec["type"]].append(spec["severity"])
        raised = {place: alarms for place, alarms in expected.raised.items() if place[0] == each["name"]}
        for _, entity in {place[:2] for place in raised}:
            newest = max(end for _, name, end in raised if name == entity)
            for kind_of_alarm, severity in raised[each["name"], entity, newest]:
                found[kind, entity, kind_of_alarm].append(severity)
    return most_urgent(found)


def alarm_differences(wanted: Alarms, active: Sequence[tuple[tuple[str, str, str], str]]) -> list[str]:
    """What is missing, too much, there twice, or of another severity."""
    found = [
        f"{place} is active {count} times"
        for place, count in Counter(place for place, _ in active).items()
        if count > 1
    ]
    return found + [f"alarm {place}: {severity}" for place, severity in sorted(wanted.items() ^ set(active))]
