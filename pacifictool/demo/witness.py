"""Recomputes every mean from the topic, by other means than the job: one consumer, Python's json, exact sums.

Shares no code with the aggregation, so that an error there cannot hide here.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pacifictool.kafka.records import Record

RELATIVE_TOLERANCE = 1e-9
"""The job keeps sums exact to 1e-9; a double holds the mean to about 1e-16 of its size."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What the topic says: mean by zone and window end (ms), and how many records there were."""

    means: Mapping[str, Mapping[int, float]]
    records: int


def recompute(records: Iterable[Record], *, window_ms: int, zone_key: str, value_key: str) -> Truth:
    """Groups records of the tutorial's shape by their time stamps."""
    values: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    count = 0
    for record in records:
        count += 1
        document = json.loads(record.value or b"")
        if record.timestamp_ms is None:
            continue
        window_end = (record.timestamp_ms // window_ms + 1) * window_ms
        values[document[zone_key]][window_end].append(float(document[value_key]))
    means = {
        zone: {end: math.fsum(readings) / len(readings) for end, readings in windows.items()}
        for zone, windows in values.items()
    }
    return Truth(means, count)


def differences(truth: Mapping[str, Mapping[int, float]], posted: Mapping[str, Mapping[int, float]]) -> list[str]:
    """Every window in which the platform and the topic disagree, in words."""
    found = []
    for zone in sorted(truth.keys() | posted.keys()):
        expected, actual = truth.get(zone, {}), posted.get(zone, {})
        for end in sorted(expected.keys() | actual.keys()):
            if end not in actual:
                found.append(f"{zone}, window ending {end}: {expected[end]} in the topic, nothing on the platform")
            elif end not in expected:
                found.append(f"{zone}, window ending {end}: {actual[end]} on the platform, nothing in the topic")
            elif not math.isclose(expected[end], actual[end], rel_tol=RELATIVE_TOLERANCE):
                found.append(
                    f"{zone}, window ending {end}: {expected[end]} in the topic, {actual[end]} on the platform"
                )
    return found
