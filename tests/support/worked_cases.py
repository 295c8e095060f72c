"""What the worked cases of docs/your-analytics.md must give, computed without pandas, NumPy or any code of the package.

Readings are records as they are in the topic: dictionaries with `ts` in milliseconds, `deviceName`, attributes and
numbers.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

Reading = Mapping[str, Any]
TEXTS = ("deviceName", "parcel", "panel", "station")
"""Members of records that are texts."""


def readings_of(file: Path) -> list[Reading]:
    """The readings of a file that `simulate --csv` wrote."""
    found: list[Reading] = []
    with file.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            ts = datetime.fromisoformat(row.pop("ts"))
            found.append(
                {"ts": round(ts.timestamp() * 1000)} | {key: _value(text) for key, text in row.items() if text}
            )
    return found


def reading_of_record(value: bytes, arrived_ms: int | None) -> Reading:
    """The reading that a record of the topic holds; with `arrived_ms` that is its time."""
    record = json.loads(value)
    return {key: each if key in TEXTS else float(each) for key, each in record.items() if key != "ts"} | {
        "ts": int(record["ts"]) if arrived_ms is None else arrived_ms
    }


def _value(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def windows(
    readings: Iterable[Reading], key: str, window_ms: int, slide_ms: int | None = None
) -> dict[tuple[str, int], list[Reading]]:
    """By value of `key` and end of the window: the readings in the order of their times."""
    slide = slide_ms or window_ms
    found: dict[tuple[str, int], list[Reading]] = defaultdict(list)
    for reading in sorted(readings, key=lambda each: int(each["ts"])):
        first = (reading["ts"] // slide + 1) * slide
        for end in range(first, first + window_ms, slide):
            assert end - window_ms <= reading["ts"] < end
            found[reading[key], end].append(reading)
    return dict(found)


def turbulence(readings: Sequence[Reading]) -> dict[str, float]:
    """Of one window of one anemometer: sums of products of deviations, exactly rounded."""
    keys = ("u", "v", "w", "T")
    columns = {key: [reading[key] for reading in readings] for key in keys}
    count = len(readings)
    means = {key: math.fsum(values) / count for key, values in columns.items()}
    deviations = {key: [value - means[key] for value in values] for key, values in columns.items()}

    def covariance(a: str, b: str) -> float:
        return math.fsum(x * y for x, y in zip(deviations[a], deviations[b], strict=True)) / count

    speeds = zip(deviations["u"], deviations["v"], deviations["w"], strict=True)
    return {
        "count": count,
        **{f"mean_{key}": value for key, value in means.items()},
        **{f"cov_{a}{b}": covariance(a, b) for a, b in itertools.combinations_with_replacement(keys, 2)},
        "tke": math.fsum(math.hypot(*speed) ** 2 for speed in speeds) / count / 2,
        "u_star": math.sqrt(math.hypot(covariance("u", "w"), covariance("v", "w"))),
        "direction": (270 - math.degrees(math.atan2(means["v"], means["u"]))) % 360,
    }


def solar(readings: Sequence[Reading], panel: str) -> tuple[dict[tuple[str, str], dict[str, float]], set[str]]:
    """Of one window of one panel: results by kind and name of the entity, and the modules that are weak."""
    by_module: dict[str, list[float]] = defaultdict(list)
    for reading in readings:
        by_module[reading["deviceName"]].append(reading["power"])
    powers = {module: statistics.fmean(values) for module, values in by_module.items()}
    mean, spread = statistics.fmean(powers.values()), statistics.pstdev(powers.values())
    if spread == 0:
        return {}, set()
    results = {
        ("device", module): {"power_mean": power, "deviation": (power - mean) / spread}
        for module, power in powers.items()
    }
    weak = {module for (_kind, module), values in results.items() if values["deviation"] < -2}
    return results | {("asset", panel): {"power_mean": mean, "power_spread": spread}}, weak


def blight_means(readings: Iterable[Reading], window_ms: int = 5_000) -> dict[tuple[str, int], dict[str, float]]:
    """By parcel and end of the window: the means of the keys that it has."""
    return {
        place: {
            key: math.fsum(values) / len(values)
            for key in ("temperature", "humidity")
            if (values := [reading[key] for reading in part if key in reading])
        }
        for place, part in windows(readings, "parcel", window_ms).items()
    }


def blight_alarm(
    means: Mapping[tuple[str, int], Mapping[str, float]], parcel: str, window_ms: int = 5_000
) -> list[int]:
    """The ends of the windows after which the parcel has the alarm: at least 80 % of twelve are warm and wet."""
    ends = sorted(end for name, end in means if name == parcel)
    wet = {
        end
        for end in ends
        if means[parcel, end].get("temperature", -math.inf) > 10 and means[parcel, end].get("humidity", -math.inf) > 75
    }
    return [end for end in ends if sum(end - back * window_ms in wet for back in range(12)) / 12 >= 0.8]
