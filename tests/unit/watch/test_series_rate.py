from __future__ import annotations

import pytest

from pacifictool.watch.platform import series_rate


@pytest.mark.parametrize("per_second", [1, 10, 100])
def test_a_regular_series_has_its_rate(per_second: int) -> None:
    timestamps = [round(number * 1000 / per_second) for number in range(2, 12 * per_second)][-200:]
    assert series_rate(timestamps, 0.3) == pytest.approx(per_second, rel=0.01)


def test_a_series_that_falls_silent_slows_down_and_stops() -> None:
    timestamps = list(range(0, 10_000, 100))
    rates = [series_rate(timestamps, silent) for silent in (0.5, 1.9, 4.0, 8.0, 10.0)]
    assert rates[0] == rates[1] == pytest.approx(10, rel=0.02)
    assert rates[1] > rates[2] > rates[3] > rates[4] == 0


def test_an_empty_series_has_rate_zero() -> None:
    assert series_rate([], 0) == 0
    assert series_rate([5], 1) == 0.1
    assert series_rate([5, 5], 1) == 0
