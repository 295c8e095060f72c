"""The verifier: recomputes every mean from the topic, with one consumer, Python's json and exact sums.

Shares no code with the aggregation job, so that it cannot have the same errors.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Protocol

from pacifictool.kafka.records import Record

RELATIVE_TOLERANCE = 1e-9
"""The job's sums are exact to 1e-9; a double represents the mean with a relative error of about 1e-16."""


class TopicReader(Protocol):
    """Reads the topic from the offsets `start`, by partition, to its present end."""

    def __call__(self, *, start: Mapping[int, int]) -> Iterable[Record]: ...


class TopicView:
    """What came into the topic since `start`: records in the tutorial's format, grouped by zone and timestamp.

    A server may repeat readings and forward them late (docs/servers/index.md#runs-against-four-servers, row 3), so the
    view is complete only as of its last `update`.
    """

    def __init__(
        self, read: TopicReader, start: Mapping[int, int], *, window_ms: int, zone_key: str, value_key: str
    ) -> None:
        self._read = read
        self._next = dict(start)
        self._window_ms = window_ms
        self._zone_key = zone_key
        self._value_key = value_key
        self.records = 0
        """Records so far, also those without a timestamp."""
        self.values: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        """The values by zone and window end (ms since the epoch)."""

    def update(self) -> int:
        """Reads what came since the last update; returns the number of records. Raises KafkaError."""
        before = self.records
        for record in self._read(start=self._next):
            self._next[record.partition] = record.offset + 1
            self.records += 1
            document = json.loads(record.value or b"")
            if record.timestamp_ms is None:
                continue
            window_end = (record.timestamp_ms // self._window_ms + 1) * self._window_ms
            self.values[document[self._zone_key]][window_end].append(float(document[self._value_key]))
        return self.records - before

    def means(self) -> dict[str, dict[int, float]]:
        """The mean by zone and window end."""
        return {
            zone: {end: math.fsum(values) / len(values) for end, values in windows.items()}
            for zone, windows in self.values.items()
        }


def compare(
    topic: TopicView,
    read_posted: Callable[[], Mapping[str, Mapping[int, float]]],
    *,
    at_least: int,
    timeout_seconds: float,
    pause: Callable[[], None],
) -> tuple[int, list[str]]:
    """The number of windows in the topic, and one sentence for each whose mean on the platform differs.

    Reads both again until they are equal, the topic has `at_least` records, and it has not grown meanwhile: a server
    may forward readings after it has acknowledged them, and those that were sent again still later. Gives up when the
    topic has not grown for `timeout_seconds`. `read_posted` gives the means on the platform by zone and window end;
    `pause` waits between two attempts.
    """
    deadline = monotonic() + timeout_seconds
    while True:
        # The topic after the platform: it has all records of what is posted.
        posted = read_posted()
        if topic.update():
            deadline = monotonic() + timeout_seconds
        means = topic.means()
        found = differences(means, posted)
        is_settled = not found and topic.records >= at_least and not topic.update()
        if is_settled or monotonic() > deadline:
            return sum(len(of_zone) for of_zone in means.values()), found
        pause()


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
