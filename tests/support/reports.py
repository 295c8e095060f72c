"""Facts of reports on the tutorial's zones."""

from __future__ import annotations

from collections.abc import Sequence

from pacifictool.report.facts import AnalyticsFacts, Band, GroupFacts, Job, RunFacts, Series, WindowFacts

WINDOW_MS = 10_000


def zone(name: str, bands: Sequence[Band], windows: Sequence[WindowFacts]) -> GroupFacts:
    """A zone with its mean wind speed."""
    return GroupFacts(name, (Series("windSpeed", "wind speed", tuple(bands), tuple(windows)),))


def zones(groups: Sequence[GroupFacts], *, left_out: int = 0) -> AnalyticsFacts:
    """The tutorial's analytics."""
    return AnalyticsFacts("zones", "zone", "zones", "mean", "means", WINDOW_MS, WINDOW_MS, tuple(groups), left_out)


def report(analytics: AnalyticsFacts, begin_ms: int, *, job: Job | None = None) -> RunFacts:
    """A report that holds nothing else."""
    readings = sum(window.readings for series in analytics.all_series() for window in series.windows)
    return RunFacts(
        server="http://127.0.0.1:8080",
        topic="weather-stations-data",
        begin_ms=begin_ms,
        end_ms=begin_ms + 60_000,
        readings=readings,
        analytics=(analytics,),
        job=job,
    )
