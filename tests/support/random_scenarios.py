"""Scenarios at random, topics full of records for them, and every result computed once more.

The computation shares no code with the analytics: it reads the scenario's document (not its model), keeps all values of
a window in a list, and computes with fractions.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

UNITS = 10**9
START = 1_795_477_560_000
"""Of the first window: a whole minute, in milliseconds since the epoch."""
SPAN_MS = 120_000
"""Records are of this many milliseconds."""
DISORDER_MS = 3_000
"""How far a record may be out of order."""
PERCENTILE_ERROR = 0.002
"""Of percentiles of more than 1000 different values, as docs/scenario.md states it."""

_FUNCTIONS = ["count", "count_distinct", "sum", "mean", "min", "max", "range", "variance", "stddev", "first", "last",
              "delta", "rate", "median", "p1", "p10", "p95", "p99"]  # fmt: skip
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")

Place = tuple[str, str, str, int]
"""Kind and name of the entity, key of the result, and time."""


@dataclass
class RandomScenario:
    """A scenario as a document, and the records of its topic: value and timestamp, in the order of production."""

    document: dict[str, Any]
    records: list[tuple[bytes, int]] = field(repr=False)


def random_scenario(seed: int, records: int) -> RandomScenario:
    """The scenario of a seed, with this many records."""
    random_ = random.Random(seed)
    attributes = random_.sample(["site", "room", "flo or", "tier-1"], random_.randint(1, 3))
    keys = random_.sample(["temperature", "humidity", "temp-celsius", "u", "v", "co2 ppm"], random_.randint(1, 4))
    has_device = random_.random() < 0.6
    by_reading = has_device and random_.random() < 0.5
    forwarding: dict[str, Any] = {
        "topic": "any",
        "attributes": attributes,
        "telemetry": keys,
        "device": has_device,
        "event_time": "reading" if by_reading else "kafka",
        "numbers_in_text": random_.random() < 0.7,
        "valid": {key: {"min": -500, "max": 1e9} for key in keys if random_.random() < 0.5},
    }
    names = attributes + ["deviceName"] * has_device
    analytics = [_analytics(random_, number, names, keys) for number in range(random_.randint(1, 4))]
    document = {"forwarding": forwarding, "analytics": analytics}
    return RandomScenario(document, list(_records(random_, forwarding, records)))


def _analytics(random_: random.Random, number: int, names: list[str], keys: list[str]) -> dict[str, Any]:
    window = random_.choice([1, 5, 10, 30, 60])
    slides = [slide for slide in (0.5, 1, 5, 10, 30, 60) if window % slide == 0 and window / slide <= 12]
    group_by = random_.sample(names, random_.randint(0, min(3, len(names))))
    results = {}
    for _ in range(random_.randint(1, 6)):
        function = random_.choice(_FUNCTIONS)
        key = random_.choice(names + keys if function == "count_distinct" else keys)
        text = "count()" if function == "count" and random_.random() < 0.5 else f"{function}({key})"
        results[f"{text.translate({40: '_', 41: '_'})} {number}"] = text
    found: dict[str, Any] = {
        "name": f"a{number}",
        "group_by": group_by,
        "window": window,
        "slide": random_.choice(slides),
        "lateness": random_.choice([5, 20, 600]),
        "telemetry": results,
        "ts": random_.choice(["end", "start"]),
        "entity_kind": random_.choice(["asset", "device"]),
    }
    if not group_by or random_.random() < 0.3:
        found["entity"] = " ".join([f"E{number}", *(f"{{{name}}}" for name in group_by)])
    return found


def _records(random_: random.Random, forwarding: dict[str, Any], count: int) -> Any:
    garbage = [b"", b"hello", b"[]", b"null", b'{"x":1}', b"\xff", b'{"site":"A"}']
    choices = {name: [f"{name} {n}" for n in range(random_.randint(1, 5))] for name in forwarding["attributes"]}
    next(iter(choices.values())).append("Österreich")
    wide = random_.random() < 0.4
    for number in range(count):
        event_ms = START + number * SPAN_MS // count
        arrival_ms = max(START, event_ms - random_.randrange(DISORDER_MS))
        if random_.random() < 0.01:
            yield random_.choice(garbage), arrival_ms
            continue
        record: dict[str, Any] = {}
        for name, values in choices.items():
            if random_.random() < 0.98:
                record[name] = random_.choice(values)
        if random_.random() < 0.005:
            record[random_.choice(forwarding["attributes"])] = random_.choice([None, 7, "", "  ", "a\nb", "x" * 300])
        for key in forwarding["telemetry"]:
            if random_.random() < 0.8:
                record[key] = _value(random_, wide=wide)
        if forwarding["device"]:
            record["deviceName"] = f"Sensor {random_.randrange(20)}"
            record["ts"] = max(START, event_ms - random_.randrange(DISORDER_MS))
            if random_.random() < 0.005:
                record["ts"] = random_.choice([None, "soon", -1, 1.5, True])
        items = list(record.items())
        if random_.random() < 0.05:
            random_.shuffle(items)
        separators = (",", ":") if random_.random() < 0.9 else (", ", ": ")
        yield json.dumps(dict(items), ensure_ascii=random_.random() < 0.5, separators=separators).encode(), arrival_ms


def _value(random_: random.Random, *, wide: bool) -> Any:
    kind = random_.random()
    if kind < 0.01:
        return random_.choice([None, True, "gale", "NaN", [1], 1e300, -1e9 - 1])
    if kind < 0.1:
        return str(random_.randint(-20, 40))
    if kind < 0.5 and wide:
        return random_.uniform(-1e6, 1e6)
    return round(random_.gauss(20, 5), random_.choice([0, 1, 2])) if kind < 0.9 else random_.randint(-600, 600)


# --- every result once more --------------------------------------------------------------------------------------------


@dataclass
class _Window:
    records: int = 0
    values: dict[str, list[tuple[int, int, int, int]]] = field(default_factory=lambda: defaultdict(list))
    """By key: event time, partition, offset, value in units."""
    texts: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    places: set[tuple[int, int]] = field(default_factory=set)


@dataclass
class Expected:
    """What the job must have said of the topic."""

    values: dict[Place, float]
    bounds: dict[Place, float]
    """The relative error that a value may have, where it may have one."""
    invalid: set[tuple[int, int]]
    """Partition and offset of each record with a fault."""
    windows: int = 0
    """Windows of a group that have a value."""
    places: dict[tuple[str, int], set[tuple[int, int]]] = field(default_factory=lambda: defaultdict(set))
    """By the name of an analytics and the end of a window: partition and offset of its records."""
    keys_of: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By the name of an analytics: the keys of its results."""
    raised: dict[tuple[str, str, int], list[tuple[str, str]]] = field(default_factory=dict)
    """By the name of an analytics with a function, entity and end of a window: type and severity of the alarms."""


KnownFunction = Callable[[Sequence[float]], tuple[Mapping[str, float], Sequence[tuple[str, str]]]]
"""A function as the scenario's document names it, once more: from the values of the first key of telemetry to results, and
to type and severity of alarms."""


def expected(
    document: dict[str, Any],
    topic: list[tuple[int, int, int, bytes]],
    functions: Mapping[str, KnownFunction] | None = None,
) -> Expected:
    """The results of a topic's records: partition, offset, timestamp, value. None of them may be late.

    `functions`: those of the document, by name.
    """
    windows: dict[tuple[int, tuple[str, ...], int], _Window] = defaultdict(_Window)
    invalid = set()
    for partition, offset, timestamp, value in topic:
        if not _count(document, windows, (partition, offset), timestamp, value):
            invalid.add((partition, offset))
    found = Expected({}, {}, invalid)
    for (index, group, end_ms), window in windows.items():
        _results(document["analytics"][index], group, end_ms, window, found)
        if (name := document["analytics"][index].get("function")) is not None:
            values = [reading[-1] / UNITS for reading in sorted(window.values[document["forwarding"]["telemetry"][0]])]
            _call(document["analytics"][index], group, end_ms, (functions or {})[name](values), found)
        found.places[document["analytics"][index]["name"], end_ms] |= window.places
    return found


def _count(document: dict[str, Any], windows: Any, place: tuple[int, int], timestamp: int, value: bytes) -> bool:
    """Whether the record has no fault."""
    forwarding = document["forwarding"]
    try:
        record = json.loads(value.decode())
    except ValueError:
        return False
    if not isinstance(record, dict):
        return False
    numbers, texts, fault = {}, {}, False
    for key in forwarding["telemetry"]:
        if key in record:
            number = _number(record[key], forwarding, key)
            fault |= number is None
            if number is not None:
                numbers[key] = number
    for key in [*forwarding["attributes"], *(["deviceName"] if forwarding["device"] else [])]:
        text = record.get(key)
        is_group = any(key in each["group_by"] for each in document["analytics"])
        if _names_a_group(text):
            texts[key] = text
        else:
            fault |= is_group
    event_ms = timestamp
    if forwarding["event_time"] == "reading":
        at = record.get("ts")
        if isinstance(at, bool) or not isinstance(at, int | float) or at < 0 or at != int(at):
            return False
        event_ms = int(at)
    if not numbers:
        return False
    for index, each in enumerate(document["analytics"]):
        if all(key in texts for key in each["group_by"]) and _takes(each, numbers):
            group = tuple(texts[key] for key in each["group_by"])
            for end_ms in _window_ends(each, event_ms):
                window = windows[index, group, end_ms]
                window.records += 1
                window.places.add(place)
                for key, number in numbers.items():
                    window.values[key].append((event_ms, *place, number))
                for key, text in texts.items():
                    window.texts[key].add(text)
    return not fault


def _number(value: Any, forwarding: dict[str, Any], key: str) -> int | None:
    if isinstance(value, str) and forwarding["numbers_in_text"] and _JSON_NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    bounds = forwarding["valid"].get(key, {"min": -1e9, "max": 1e9})
    return round(float(value) * 1e9) if bounds["min"] <= value <= bounds["max"] else None


def _names_a_group(text: Any) -> bool:
    return isinstance(text, str) and text.strip() != "" and len(text) <= 255 and "\n" not in text


def _takes(analytics: dict[str, Any], numbers: dict[str, int]) -> bool:
    if "function" in analytics:
        return True
    calls = [text.rstrip(")").split("(") for text in analytics["telemetry"].values()]
    return any(function == "count_distinct" or not key or key in numbers for function, key in calls)


def _window_ends(analytics: dict[str, Any], event_ms: int) -> list[int]:
    window, slide = round(analytics["window"] * 1000), round(analytics["slide"] * 1000)
    last_start = event_ms // slide * slide
    return [start + window for start in range(last_start, last_start - window, -slide)]


def _results(analytics: dict[str, Any], group: tuple[str, ...], end_ms: int, window: _Window, found: Expected) -> None:
    before = len(found.values)
    entity, at = _entity(analytics, group), _at(analytics, end_ms)
    for result, call in analytics.get("telemetry", {}).items():
        function, key = call.rstrip(")").split("(")
        place = (analytics["entity_kind"], entity, result, at)
        found.keys_of[analytics["name"]].add(result)
        readings = sorted(window.values[key])
        value, bound = _result(function, key, readings, window)
        if value is not None:
            found.values[place] = value
            found.bounds[place] = bound
    found.windows += len(found.values) > before


def _call(analytics: dict[str, Any], group: tuple[str, ...], end_ms: int, returned: Any, found: Expected) -> None:
    """What a function returned for a window."""
    values, alarms = returned
    entity = _entity(analytics, group)
    for key, value in values.items():
        place = (analytics["entity_kind"], entity, key, _at(analytics, end_ms))
        found.values[place], found.bounds[place] = value, 1e-12
        found.keys_of[analytics["name"]].add(key)
    found.raised[analytics["name"], entity, end_ms] = list(alarms)
    found.windows += bool(values)


def _entity(analytics: dict[str, Any], group: tuple[str, ...]) -> str:
    entity = analytics.get("entity") or " / ".join(group)
    for key, text in zip(analytics["group_by"], group, strict=True):
        entity = entity.replace(f"{{{key}}}", text) if "entity" in analytics else entity
    return str(entity)


def _at(analytics: dict[str, Any], end_ms: int) -> int:
    """The time of a window's results."""
    return end_ms if analytics["ts"] == "end" else end_ms - round(analytics["window"] * 1000)


def _result(
    function: str, key: str, readings: list[tuple[int, int, int, int]], window: _Window
) -> tuple[float | None, float]:
    units = [reading[-1] for reading in readings]
    if not key:
        return window.records, 0
    if function == "count":
        return len(units), 0
    if function == "count_distinct":
        distinct = len(set(units)) if key not in window.texts or units else len(window.texts[key])
        return distinct, 0 if distinct <= 4096 else 0.05
    if not units:
        return None, 0
    count, seconds = len(units), Fraction(readings[-1][0] - readings[0][0], 1000)
    exact: dict[str, Any] = {
        "sum": lambda: sum(units),
        "mean": lambda: Fraction(sum(units), count),
        "min": lambda: min(units),
        "max": lambda: max(units),
        "range": lambda: max(units) - min(units),
        "first": lambda: units[0],
        "last": lambda: units[-1],
        "delta": lambda: units[-1] - units[0],
        "rate": lambda: (units[-1] - units[0]) / seconds if seconds else None,
    }
    if function in exact:
        value = exact[function]()
        return None if value is None else float(Fraction(value) / UNITS), 0
    if function in ("variance", "stddev"):
        if count == 1:
            return None, 0
        total = sum(units)
        deviations = sum((count * value - total) ** 2 for value in units)  # each `count` times as large
        variance = float(Fraction(deviations, count**2 * (count - 1) * UNITS**2))
        return variance if function == "variance" else math.sqrt(variance), 0
    percent = 50 if function == "median" else int(function[1:])
    ordered = sorted(units)
    rank = Fraction(count - 1) * percent / 100
    low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
    value = (low + (high - low) * (rank - math.floor(rank))) / UNITS
    return float(value), 0 if len(set(units)) <= 1000 else PERCENTILE_ERROR
