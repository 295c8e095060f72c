from __future__ import annotations

import pytest

from pacifictool.tools.rates import RateMeter


def test_a_rate_needs_two_samples() -> None:
    meter = RateMeter()
    assert meter.add(0.0, 100) is None
    assert meter.add(1.0, 130) == 30


def test_the_rate_is_that_of_the_last_seconds() -> None:
    meter = RateMeter(seconds=10)
    rates = [meter.add(float(second), min(second, 20) * 30) for second in range(41)]
    assert rates[20] == 30
    assert rates[25] == 15
    assert rates[30] == 0


def test_a_counter_that_falls_is_measured_from_there() -> None:
    meter = RateMeter()
    meter.add(0.0, 1000)
    assert meter.add(1.0, 5) is None
    assert meter.add(2.0, 15) == 10


def test_a_reset_forgets_what_was_before() -> None:
    meter = RateMeter()
    meter.add(0.0, 0)
    meter.reset()
    assert meter.add(100.0, 50) is None
    assert meter.add(101.0, 60) == 10


def test_memory_is_bounded_however_often_the_counter_is_read() -> None:
    meter = RateMeter(seconds=10)
    for number in range(100_000):
        rate = meter.add(number / 1000, number)
    assert rate == pytest.approx(1000)
    assert len(meter._samples) < 50
