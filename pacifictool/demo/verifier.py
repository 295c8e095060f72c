"""The verifier: recomputes every mean from the topic, with one consumer, Python's json and exact sums.

Shares no code with the aggregation job, so that it cannot have the same errors.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pacifictool.kafka.records import Record

RELATIVE_TOLERANCE = 1e-9
"""The job's sums are exact to 1e-9; a double represents the mean with a relative error of about 1e-16."""


@dataclass(frozen=True, slots=True)
class ExpectedMeans:
    """The mean by zone and window end (ms since the epoch), and the number of records in the topic."""

    means: Mapping[str, Mapping[int, float]]
    records: int


def recompute(records: Iterable[Record], *, window_ms: int, zone_key: str, value_key: str) -> ExpectedMeans:
    """Groups records in the tutorial's format by zone and timestamp."""
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
    return ExpectedMeans(means, count)


def differences(expected: Mapping[str, Mapping[int, float]], posted: Mapping[str, Mapping[int, float]]) -> list[str]:
    """One sentence per window whose mean on the platform differs from the expected one."""
    found = []
    for zone in sorted(expected.keys() | posted.keys()):
        wanted, actual = expected.get(zone, {}), posted.get(zone, {})
        for end in sorted(wanted.keys() | actual.keys()):
            if end in wanted and end in actual and math.isclose(wanted[end], actual[end], rel_tol=RELATIVE_TOLERANCE):
                continue
            in_topic, on_platform = wanted.get(end, "nothing"), actual.get(end, "nothing")
            found.append(f"{zone}, window ending {end}: {in_topic} in the topic, {on_platform} on the platform")
    return found
