from __future__ import annotations

import pytest

from pacifictool.report.facts import Band, Batch, InvalidRecords, Job, RunFacts, WindowFacts
from tests.support.reports import WINDOW_MS, report, zone, zones

T0 = 1_795_477_550_000


def window(number: int, value: float | None, readings: int = 100, topic_value: float | None = None) -> WindowFacts:
    spread = None if readings == 0 else 2.0
    low, high = (None, None) if spread is None or value is None else (value - spread, value + spread)
    return WindowFacts(
        T0 + number * WINDOW_MS, value, readings, low, high, value if topic_value is None else topic_value
    )


@pytest.fixture
def facts() -> RunFacts:
    """Two zones: A misses its third window, B has one that is under way and one that differs from the topic."""
    groups = [
        zone(
            "Zone A",
            [Band("Wind Turbine 1", 30, 35), Band("Wind Turbine 2", 45, 50)],
            [window(1, 32.5), window(2, 40.25, 200), window(4, 39.75, 200)],
        ),
        zone(
            "</script><b>Zone & B",
            [Band("Wind Turbine 3", 30, 60)],
            [
                window(1, 44.5),
                window(2, 45.5, topic_value=45.6),
                WindowFacts(T0 + 3 * WINDOW_MS, None, 7, 31, 59, 44.0),
            ],
        ),
    ]
    job = Job(
        folder="/jobs/a",
        target="rest http://127.0.0.1:8080",
        running=False,
        lag=7,
        batches=(Batch(T0 + 12_000, 200, 0.9, 2.0), Batch(T0 + 22_000, 500, 1.1, 2.2)),
        rejects=(
            InvalidRecords(T0 + WINDOW_MS, "the value is not a number", 2),
            InvalidRecords(T0 + WINDOW_MS, "there is no zone", 1),
            InvalidRecords(T0 + 2 * WINDOW_MS, "the value is not a number", 3),
        ),
    )
    return report(zones(groups, left_out=3), T0, job=job)
