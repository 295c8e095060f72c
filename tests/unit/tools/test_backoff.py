from __future__ import annotations

import pytest

from pacifictool.tools.backoff import Backoff


def test_delays_double_up_to_the_longest() -> None:
    backoff = Backoff(0.25, 3)
    assert [backoff.seconds(failures) for failures in (1, 2, 3, 4, 5, 1_000_000)] == [0.25, 0.5, 1, 2, 3, 3]


@pytest.mark.parametrize(("jitter", "shortest"), [(0.0, 8.0), (0.5, 4.0), (1.0, 0.0)])
def test_the_jitter_is_a_share_of_the_delay(jitter: float, shortest: float) -> None:
    backoff = Backoff(1, 60, jitter)
    assert backoff.seconds(4, chance=lambda: 0.0) == 8
    assert backoff.seconds(4, chance=lambda: 1.0) == pytest.approx(shortest)
    assert all(shortest <= backoff.seconds(4) <= 8 for _ in range(100))


def test_a_delay_can_have_a_minimum_which_is_spread_too() -> None:
    backoff = Backoff(1, 15, 0.5)
    assert backoff.seconds(1, at_least=30, chance=lambda: 0.0) == 30
    assert backoff.seconds(1, at_least=30, chance=lambda: 1.0) == 15
