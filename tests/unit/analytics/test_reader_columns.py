"""How the tasks of a batch are made, and the columns in which its groups come from the JVM."""

from __future__ import annotations

import struct

from pacifictool.analytics.engine.aggregates import StateLayout
from pacifictool.analytics.engine.reader import RANGES_PER_TASK, _slides, _windows, tasks
from pacifictool.analytics.state.queries import OffsetRange
from pacifictool.analytics.windows import UNITS
from tests.support.scenarios import mean_state, rules_of

ROWS = (("Ä\x1fB", 10_000, 2, mean_state(2, 5 * UNITS)), ("", 20_000, 1, b""), ("Z", 20_000, 7, b"longer than others"))


def columns(*rows: tuple[str, int, int, bytes]) -> bytes:
    """What GroupAggregate.java writes of groups of one analytics."""
    names = b"".join(group.encode() + b"\0" for group, *_ in rows)
    numbers = [len(rows), *(row[1] for row in rows), *(row[2] for row in rows), *(len(row[3]) for row in rows)]
    count = len(rows)
    return b"".join(
        (struct.pack(f">i{count}q{count}q{count}ii", *numbers, len(names)), names, *(row[3] for row in rows))
    )


def test_groups_come_as_columns_one_analytics_after_the_other() -> None:
    data = b"before" + columns(*ROWS) + columns() + columns(ROWS[0]) + b"behind"
    first, at = _slides(data, 6)
    assert list(zip(*first, strict=True)) == list(ROWS)

    none, at = _slides(data, at)
    assert list(zip(*none, strict=True)) == []

    third, at = _slides(data, at)
    assert list(zip(*third, strict=True)) == [ROWS[0]]
    assert data[at:] == b"behind"


def test_the_records_of_a_slide_count_in_all_windows_that_are_open() -> None:
    telemetry = {"v": "mean(v)"}
    (analytics,) = rules_of(
        {"group_by": ["site"], "telemetry": telemetry, "window": "30s", "slide": "10s"}, telemetry=["v"]
    ).analytics
    slides, _ = _slides(columns(("A", 20_000, 1, mean_state(1, UNITS)), ("A", 30_000, 2, mean_state(2, 5 * UNITS))), 0)

    found = {
        (each.group, each.window_end_ms): (each.count, each.state)
        for each in _windows(analytics, StateLayout(analytics), slides, 20_000)
    }
    both = (3, mean_state(3, 6 * UNITS))
    assert found == {
        ("A", 30_000): both,
        ("A", 40_000): both,
        ("A", 50_000): (2, mean_state(2, 5 * UNITS)),
    }


def test_a_task_has_whole_partitions_where_there_are_more_of_them_than_threads() -> None:
    parts = [
        *(OffsetRange(0, start, start + 500) for start in (0, 500)),
        *(OffsetRange(partition, 0, 400) for partition in range(1, 5)),
    ]
    assert tasks(parts, 2) == [[0, 1, 5], [2, 3, 4]]
    assert tasks(parts, 5) == [[0], [1], [2], [3], [4], [5]]
    assert tasks([], 2) == []


def test_a_task_has_no_more_partitions_than_its_memory_is_for() -> None:
    parts = [OffsetRange(partition, 0, 10) for partition in range(10 * RANGES_PER_TASK + 1)]
    found = tasks(parts, 2)
    assert sorted(number for task in found for number in task) == list(range(len(parts)))
    assert max(map(len, found)) <= RANGES_PER_TASK
    assert len(found) == 11
