from __future__ import annotations

import pytest

from pacifictool.watch.wording import age_text, rate_text, sparkline, value_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.04, "0.0 s ago"),
        (9.94, "9.9 s ago"),
        (9.96, "10 s ago"),
        (89, "89 s ago"),
        (120, "2 min ago"),
        (7200, "2 h ago"),
        (200_000, "2 days ago"),
    ],
)
def test_ages(seconds: float | None, text: str) -> None:
    assert age_text(seconds) == text


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
