from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.analytics.windows import LOW_BITS, UNITS, exact_mean, join_sum, trigger_interval_ms

UNITS_OF_VALID_VALUES = st.integers(min_value=-(10**18), max_value=10**18)


@given(st.lists(UNITS_OF_VALID_VALUES, min_size=1, max_size=50))
def test_sums_of_partial_aggregates_make_the_exact_sum(values: list[int]) -> None:
    high = sum(value >> LOW_BITS for value in values)
    low = sum(value & ((1 << LOW_BITS) - 1) for value in values)

    assert join_sum(high, low) == sum(values)
    assert -(2**63) <= high < 2**63
    assert 0 <= low < 2**63


@given(st.integers(min_value=-(10**27), max_value=10**27), st.integers(min_value=1, max_value=10**9))
def test_a_mean_is_the_double_nearest_to_the_true_quotient(total: int, count: int) -> None:
    mean = exact_mean(total, count)

    assert mean == float(Fraction(total, count * UNITS))


@pytest.mark.parametrize(
    ("window_ms", "trigger_ms"),
    [
        (10_000, 2_000),
        (2_000, 1_000),
        (1_000, 500),
        (60_000, 2_000),
        (86_400_000, 2_000),
        (2_500, 1_250),
        (100, 100),
        (150, 100),
    ],
)
def test_the_trigger_interval_is_two_seconds_and_shorter_for_short_windows(window_ms: int, trigger_ms: int) -> None:
    assert trigger_interval_ms(window_ms) == trigger_ms
