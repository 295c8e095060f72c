from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.tools.times import (
    age_text,
    duration_text,
    format_duration,
    local_clock,
    parse_duration,
    utc_clock,
    utc_text,
)

MIDNIGHT_MS = 1_795_478_400_000
"""2026-11-24 00:00:00 UTC."""


@given(st.integers(min_value=0, max_value=10**9))
def test_durations_survive_a_round_trip(milliseconds: int) -> None:
    assert round(parse_duration(format_duration(milliseconds / 1000)) * 1000) == milliseconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")]
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


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


def test_timestamps_in_utc() -> None:
    assert utc_text(MIDNIGHT_MS + 10_500) == "2026-11-24 00:00:10Z"
    assert utc_clock(MIDNIGHT_MS + 10_000) == "00:00:10"
    assert utc_clock(MIDNIGHT_MS + 10_500) == "00:00:10.500"


def test_timestamps_in_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-5:30")  # POSIX: east of Greenwich is negative
    time.tzset()
    try:
        assert local_clock(MIDNIGHT_MS + 10_500) == "05:30:10"
    finally:
        monkeypatch.undo()
        time.tzset()
