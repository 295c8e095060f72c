from __future__ import annotations

import json

from pacifictool.analytics.state.queries import CountedBatch, OffsetRange
from pacifictool.kafka.records import Record
from pacifictool.report.collect import _Topic

WINDOW_MS = 10_000
T0 = 1_795_477_550_000


def record(offset: int, timestamp_ms: int | None, value: bytes | None) -> Record:
    return Record(0, offset, timestamp_ms, broker_time=True, key=None, value=value)


def reading(offset: int, timestamp_ms: int, speed: object, zone: object = "Zone A") -> Record:
    return record(offset, timestamp_ms, json.dumps({"geoZone": zone, "windSpeed": speed}).encode())


def test_records_fall_into_windows_and_batches() -> None:
    batches = [
        CountedBatch(5, T0, done_ms=T0 + 5_000, records=2, ranges=(OffsetRange(0, 2, 4),)),
    ]
    topic = _Topic("geoZone", "windSpeed", WINDOW_MS, T0, batches)
    topic.add(reading(0, T0 - 1, "99"))  # before the time that is reported
    topic.add(reading(1, T0, "30"))  # of a batch whose beginning is unknown
    topic.add(reading(2, T0 + 1_000, "33"))
    topic.add(reading(3, T0 + 4_000, 36))
    topic.add(reading(4, T0 + WINDOW_MS, "41", "Zone B"))  # not counted yet
    for useless in (None, b"{", b"[]", b'{"geoZone": 1, "windSpeed": 2}', b'{"geoZone": "Zone A", "windSpeed": "NaN"}'):
        topic.add(record(5, T0 + 5_000, useless))
    topic.add(record(6, None, b"{}"))

    assert list(topic.zones) == ["Zone A", "Zone B"]
    (window,) = topic.windows("Zone A", {T0 + WINDOW_MS: 33.0})
    assert (window.end_ms, window.readings, window.lowest, window.highest) == (T0 + WINDOW_MS, 3, 30, 36)
    assert window.agrees
    (batch,) = topic.batches()
    assert (batch.records, batch.median_wait_seconds, batch.longest_wait_seconds) == (2, 2.5, 4.0)


def test_a_mean_without_records_is_shown() -> None:
    topic = _Topic("geoZone", "windSpeed", WINDOW_MS, T0, [])
    (window,) = topic.windows("Zone A", {T0 + WINDOW_MS: 33.0})
    assert (window.mean, window.readings) == (33.0, 0)
    assert not window.agrees
