from __future__ import annotations

from pacifictool.watch.terminal import rate_text, sparkline, value_text


def test_values_and_rates() -> None:
    assert [value_text(value) for value in (None, 40.017, 31, "calm", 1234.5)] == [
        "–",
        "40.02",
        "31",
        "calm",
        "1,234.50",
    ]
    assert [rate_text(rate) for rate in (None, 0.0, 9.96, 1234.5)] == ["?", "0.0 /s", "10.0 /s", "1,234 /s"]


def test_a_sparkline_goes_from_the_least_to_the_greatest_of_the_newest() -> None:
    assert sparkline([99, 1, 2, 3], 3) == "▁▅█"
    assert sparkline([5, 5], 10) == "▄▄"
    assert sparkline([], 10) == ""
