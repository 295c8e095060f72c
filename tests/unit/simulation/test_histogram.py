from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.simulation.histogram import QUANTILES, RELATIVE_ERROR, DurationHistogram

DURATIONS = st.lists(st.floats(min_value=1e-5, max_value=600_000), max_size=300)


def histogram_of(durations: list[float]) -> DurationHistogram:
    histogram = DurationHistogram()
    for duration in durations:
        histogram.record(duration)
    return histogram


def exact(durations: list[float], percent: float) -> float:
    return sorted(durations)[max(1, math.ceil(round(len(durations) * percent / 100, 6))) - 1]


def test_without_durations_there_is_no_quantile() -> None:
    assert DurationHistogram().percentile(50) is None
    document = DurationHistogram().as_document()
    assert {document[key] for key in (*QUANTILES, "max")} == {None}


@given(DURATIONS.filter(bool), st.sampled_from([1, *QUANTILES.values(), 100]))
def test_quantiles_are_within_the_stated_error(durations: list[float], percent: float) -> None:
    assert histogram_of(durations).percentile(percent) == pytest.approx(exact(durations, percent), rel=RELATIVE_ERROR)


@given(DURATIONS.filter(bool))
def test_no_quantile_is_above_the_maximum(durations: list[float]) -> None:
    histogram = histogram_of(durations)
    assert histogram.longest == max(durations)
    assert all((histogram.percentile(percent) or 0.0) <= histogram.longest for percent in QUANTILES.values())


@given(DURATIONS, DURATIONS)
def test_a_merged_histogram_is_that_of_all_durations(first: list[float], second: list[float]) -> None:
    merged = histogram_of(first)
    merged.merge(histogram_of(second))
    assert merged.as_document() == histogram_of(second + first).as_document()


@given(DURATIONS, DURATIONS.filter(bool))
def test_the_difference_of_two_states_is_what_came_between(first: list[float], second: list[float]) -> None:
    histogram = histogram_of(first)
    before = histogram.copy()
    for duration in second:
        histogram.record(duration)
    between = histogram.since(before)
    expected = histogram_of(second)
    for percent in QUANTILES.values():
        assert between.percentile(percent) == pytest.approx(expected.percentile(percent), rel=RELATIVE_ERROR)
    assert between.longest == pytest.approx(max(second), rel=RELATIVE_ERROR)
    assert before.as_document() == histogram_of(first).as_document()


@given(DURATIONS)
def test_a_document_is_read_back_exactly(durations: list[float]) -> None:
    document = json.loads(json.dumps(histogram_of(durations).as_document()))
    assert DurationHistogram.of_document(document).as_document() == document


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"histogram": None},
        {"histogram": {"smallest_seconds": 1, "buckets_per_doubling": 16, "buckets": {}, "longest_seconds": 1}},
        {
            "histogram": {
                "smallest_seconds": 1e-5,
                "buckets_per_doubling": 16,
                "buckets": {"9999": 1},
                "longest_seconds": 1,
            }
        },
        {
            "histogram": {
                "smallest_seconds": 1e-5,
                "buckets_per_doubling": 16,
                "buckets": {"1": -1},
                "longest_seconds": 1,
            }
        },
    ],
)
def test_what_is_not_a_histogram(wrong: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        DurationHistogram.of_document(wrong)


def test_memory_does_not_grow_with_the_number_of_durations_or_their_size() -> None:
    histogram = histogram_of([-5.0, 0.0, 1e-9, 1e9, 1e15])
    assert histogram.count == 5
    assert histogram.percentile(1) == 1e-5
    largest = histogram.percentile(100)
    assert largest is not None
    assert largest > 600_000
    assert histogram.longest == 1e15
