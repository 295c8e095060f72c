from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.analytics.engine.reader import LIMITS, task_limits
from pacifictool.analytics.windows import join_group, split_group, trigger_interval_ms, window_ends
from pacifictool.scenario import Analytics
from tests.support.scenarios import rules_of

SECOND = 1000


def analytics_of(window: float, slide: float | None = None, group_by: tuple[str, ...] = ("site",)) -> Analytics:
    (analytics,) = rules_of(
        {
            "window": window,
            "slide": slide,
            "group_by": group_by,
            "entity": None if group_by else "All",
            "telemetry": {"readings": "count()"},
        },
        attributes=["site", "room"],
    ).analytics
    return analytics


def test_windows_that_do_not_overlap_take_the_records_of_one_slide() -> None:
    tumbling = analytics_of(10)
    assert [*window_ends(tumbling, 20_000)] == [20_000]
    assert [*window_ends(tumbling, 20_000, after_ms=19_999)] == [20_000]
    assert [*window_ends(tumbling, 20_000, after_ms=20_000)] == []


@given(
    slide=st.integers(1, 20),
    per_window=st.integers(1, 12),
    number=st.integers(1, 1000),
    fraction=st.floats(0, 1, exclude_max=True),
    closed=st.integers(-50_000, 250_000),
)
def test_a_record_counts_in_every_open_window_that_it_lies_in(
    slide: int, per_window: int, number: int, fraction: float, closed: int
) -> None:
    analytics = analytics_of(slide * per_window, slide)
    slide_end = number * slide * SECOND
    record_ms = slide_end - slide * SECOND + int(fraction * slide * SECOND)
    after_ms = slide_end + closed
    window = analytics.window_ms
    ends = range(slide_end - 3 * slide * SECOND, slide_end + window + 3 * slide * SECOND, slide * SECOND)
    wanted = [end for end in ends if end - window <= record_ms < end and end > after_ms]
    assert [*window_ends(analytics, slide_end, after_ms=after_ms)] == wanted


def test_a_task_holds_fewer_groups_where_each_is_in_many_windows() -> None:
    pairs, *more = LIMITS
    assert task_limits([analytics_of(10), analytics_of(60)]) == LIMITS
    assert task_limits([analytics_of(10), analytics_of(3600, 10)]) == (pairs // 360, *more)


@pytest.mark.parametrize("values", [(), ("North",), ("North", "1"), ("North / 1", "ü")])
def test_a_group_is_one_text_and_back(values: tuple[str, ...]) -> None:
    analytics = analytics_of(10, group_by=("site", "room")[: len(values)])
    assert split_group(analytics, join_group(values)) == values


@pytest.mark.parametrize(
    ("slide_ms", "trigger_ms"),
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
def test_the_trigger_interval_is_two_seconds_and_shorter_for_short_slides(slide_ms: int, trigger_ms: int) -> None:
    assert trigger_interval_ms(slide_ms) == trigger_ms
