"""Frames of calls and readings: what is written comes back, and windows get their own readings."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as some

from pacifictool.analytics.engine.function_runner import apart
from pacifictool.analytics.engine.function_wire import (
    SeriesReadings,
    WantedRange,
    WantedSeries,
    by_series,
    call_frame,
    wanted_readings,
    with_lengths,
    without_lengths,
)

Reading = tuple[int, int, str | None, float]
"""Time, offset, site and value."""


def chunk(partition: int, readings: Sequence[Reading]) -> bytes:
    """As ReadingsChunk.java writes it, without the head of a frame: one column of texts, one of numbers."""
    rows = len(readings)
    sites = list(dict.fromkeys(site for _, _, site, _ in readings if site is not None))
    words = [site.encode() for site in sites]
    return b"".join(
        [
            struct.pack(">ii", rows, partition),
            struct.pack(f">{rows}q", *(at for at, *_ in readings)),
            struct.pack(f">{rows}q", *(offset for _, offset, *_ in readings)),
            struct.pack(">i", len(words)),
            *(struct.pack(">i", len(word)) + word for word in words),
            struct.pack(f">{rows}i", *(-1 if site is None else sites.index(site) for _, _, site, _ in readings)),
            struct.pack(f">{rows}d", *(value for *_, value in readings)),
        ]
    )


reading = some.tuples(
    some.integers(0, 100), some.integers(0, 50), some.sampled_from(["A", "Süd", "💧", None]), some.floats(-5, 5)
)
partitions = some.dictionaries(some.integers(0, 3), some.lists(reading, max_size=20), max_size=3)
spans = some.lists(some.tuples(some.integers(0, 3), some.integers(0, 50), some.integers(0, 50)), max_size=4)


@given(partitions, some.integers(0, 100), some.integers(0, 50), spans)
def test_a_window_has_the_readings_of_its_time_and_its_ranges_in_order(
    read: dict[int, list[Reading]], start: int, length: int, spans: list[tuple[int, int, int]]
) -> None:
    readings = SeriesReadings([chunk(each, rows) for each, rows in read.items()], ["site"], ["t"])
    found = readings.window(start, start + length, spans)

    wanted = sorted(
        (at, partition, offset, place, site, value)
        for partition, rows in read.items()
        for place, (at, offset, site, value) in enumerate(rows)
        if start <= at < start + length
        and any(partition == part and first <= offset < end for part, first, end in spans)
    )
    rows = [
        (at.value // 1_000_000, site, value)
        for at, site, value in zip(found["ts"], found["site"], found["t"], strict=True)
    ]
    assert rows == [(at, site, value) for at, _, _, _, site, value in wanted]


def test_a_window_is_a_copy() -> None:
    readings = SeriesReadings([chunk(0, [(1, 1, "A", 1.0)])], ["site"], ["t"])
    first = readings.window(0, 10, [(0, 0, 9)])
    first["t"] += 1
    first.loc[0, "site"] = "B"
    second = readings.window(0, 10, [(0, 0, 9)])
    assert (second["t"].tolist(), second["site"].tolist()) == ([1.0], ["A"])


@given(some.lists(some.binary()))
def test_frames_come_back_as_they_were(frames: list[bytes]) -> None:
    assert list(without_lengths(with_lengths(frames))) == frames


def test_frames_of_a_series_come_together_in_any_order() -> None:
    def readings(series: int, payload: bytes) -> bytes:
        return struct.pack(">iB", series, 1) + payload

    frames = [readings(0, b"x"), call_frame(0, {"n": 0}), readings(0, b"y"), call_frame(2, {"n": 2})]
    first, second = by_series(frames)
    assert (first.series, first.calls, first.readings) == (0, b'{"n": 0}', [b"x", b"y"])
    assert (second.series, second.calls, second.readings) == (2, b'{"n": 2}', [])
    assert list(by_series([])) == []


def test_what_is_wanted_is_written_as_java_reads_it() -> None:
    written = wanted_readings([WantedRange(1, 2, 3, [4, 5])], [WantedSeries("Ü", [(8, 9), (10, 11)])])
    assert written == (
        struct.pack(">i iqq i2q", 1, 1, 2, 3, 2, 4, 5)
        + struct.pack(">ii", 1, 2)
        + "Ü".encode()
        + struct.pack(">i4q", 4, 8, 9, 10, 11)
    )


@given(some.lists(some.tuples(some.integers(0, 20), some.integers(1, 5)).map(lambda each: (each[0], sum(each)))))
def test_spans_that_overlap_or_touch_are_one(spans: list[tuple[int, int]]) -> None:
    found = apart(spans)
    assert {at for start, end in found for at in range(start, end)} == {
        at for start, end in spans for at in range(start, end)
    }
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(found))
