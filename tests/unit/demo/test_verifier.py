"""The demo's comparison of the platform with the topic, on servers that take their time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest

from pacifictool.demo.verifier import TopicView, compare
from pacifictool.kafka.records import Record

WINDOW_MS = 1000


def record(offset: int, ms: int, value: float, zone: str = "A") -> Record:
    text = json.dumps({"geoZone": zone, "windSpeed": value})
    return Record(partition=0, offset=offset, timestamp_ms=ms, broker_time=True, key=None, value=text.encode())


class GrowingTopic:
    """A topic that holds, at each reading, one more of the `parts`."""

    def __init__(self, *parts: list[Record]) -> None:
        self._parts = list(parts)
        self.held: list[Record] = []

    def __call__(self, *, start: Mapping[int, int]) -> Iterator[Record]:
        if self._parts:
            self.held += self._parts.pop(0)
        yield from (each for each in self.held if each.offset >= start[0])

    def view(self) -> TopicView:
        return TopicView(self, {0: 0}, window_ms=WINDOW_MS, zone_key="geoZone", value_key="windSpeed")


def posted_by(topic: GrowingTopic, *, closed_by_ms: int = 10_000) -> Mapping[str, Mapping[int, float]]:
    """What a job that is never wrong has posted of the records that are there."""
    values: dict[int, list[float]] = {}
    for each in topic.held:
        assert each.timestamp_ms is not None
        end = (each.timestamp_ms // WINDOW_MS + 1) * WINDOW_MS
        if end <= closed_by_ms:
            values.setdefault(end, []).append(json.loads(each.value or b"")["windSpeed"])
    return {"A": {end: sum(some) / len(some) for end, some in values.items()}}


def test_readings_that_come_after_as_many_as_were_acknowledged_do_not_make_right_means_wrong() -> None:
    """docs/servers/index.md#runs-against-four-servers, row 3."""
    repeated = record(2, 2100, 35.0)
    topic = GrowingTopic([record(0, 100, 30.0), record(1, 1100, 32.0)], [repeated])
    shown = iter([{"A": {1000: 30.0, 2000: 32.0, 3000: 35.0}}])
    found = compare(
        topic.view(),
        # The job has seen the repeated reading before the topic is read here.
        lambda: next(shown, posted_by(topic)),
        at_least=2,
        timeout_seconds=60,
        pause=lambda: None,
    )
    assert found == (3, [])


def test_a_topic_that_grows_while_it_is_compared_is_compared_again() -> None:
    topic = GrowingTopic([record(0, 100, 30.0)], [record(1, 1100, 32.0)], [record(2, 2100, 34.0)])
    assert compare(topic.view(), lambda: posted_by(topic), at_least=1, timeout_seconds=60, pause=lambda: None) == (
        3,
        [],
    )


def test_a_window_that_stays_wrong_is_named() -> None:
    topic = GrowingTopic([record(0, 100, 30.0), record(1, 200, 40.0)])
    windows, found = compare(
        topic.view(), lambda: {"A": {1000: 30.0}}, at_least=2, timeout_seconds=0.01, pause=lambda: None
    )
    assert windows == 1
    assert found == ["A, window ending 1000: 35.0 in the topic, 30.0 on the platform"]


def test_readings_that_never_arrive_end_the_wait() -> None:
    topic = GrowingTopic([record(0, 100, 30.0)])
    view = topic.view()
    assert compare(view, lambda: posted_by(topic), at_least=2, timeout_seconds=0.01, pause=lambda: None) == (1, [])
    assert view.records == 1


@pytest.mark.parametrize("zone", ["A", "B"])
def test_each_record_is_counted_once(zone: str) -> None:
    topic = GrowingTopic([record(0, 100, 30.0, zone)], [record(1, 999, 50.0, zone)], [])
    view = topic.view()
    assert [view.update() for _ in range(3)] == [1, 1, 0]
    assert view.means() == {zone: {1000: 40.0}}
