from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.simulation.summary import DurationHistogram


def test_without_durations_there_is_no_percentile() -> None:
    assert DurationHistogram().percentile(50) is None


@given(
    st.lists(st.floats(min_value=1e-5, max_value=600_000), min_size=1, max_size=300),
    st.sampled_from([1, 50, 90, 99, 100]),
)
def test_percentiles_are_within_a_few_per_cent(durations: list[float], percent: int) -> None:
    histogram = DurationHistogram()
    for duration in durations:
        histogram.record(duration)
    exact = sorted(durations)[max(1, math.ceil(len(durations) * percent / 100)) - 1]
    assert histogram.percentile(percent) == pytest.approx(exact, rel=0.023)


def test_memory_does_not_grow_with_the_number_of_durations_or_their_size() -> None:
    histogram = DurationHistogram()
    for duration in (-5.0, 0.0, 1e-9, 1e9, 1e15):
        histogram.record(duration)
    assert histogram.count == 5
    assert histogram.percentile(1) == 1e-5
    largest = histogram.percentile(100)
    assert largest is not None
    assert largest > 600_000
