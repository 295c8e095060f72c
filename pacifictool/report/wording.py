"""Texts and colours that page and picture share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pacifictool.report.facts import Band, RunFacts, Window, Zone
from pacifictool.tools.times import format_duration, utc_time

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7a5195", "#8a8d91")
"""After Okabe and Ito (2008): distinguishable with colour blindness, on light and dark backgrounds."""

INVALID_COLOURS = ("#c0392b", "#e67e22", "#8e44ad", "#7f8c8d")

_LABEL_LETTERS = 24
"""Maximum length of a turbine's name next to its band."""


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def title(facts: RunFacts) -> str:
    return f"{facts.value_key} by zone, every {format_duration(facts.window_ms / 1000)}"


def subtitle(facts: RunFacts) -> str:
    """Time, topic and server of the report."""
    ends = facts.window_ends_ms
    first, last = utc_time(ends[0] - facts.window_ms), utc_time(ends[-1])
    until = f"{last:%H:%M:%S}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M:%S}"
    return f"{first:%Y-%m-%d %H:%M:%S} to {until} UTC · topic {facts.topic} · {facts.server}"


def figures(facts: RunFacts) -> list[tuple[str, str]]:
    """The key figures above the charts: label and value."""
    wait = facts.median_wait_seconds
    found = [
        ("Readings", f"{facts.readings:,}"),
        ("Means posted", f"{facts.means:,}"),
        ("Equal to the topic", f"{facts.agreeing:,} of {facts.means:,}"),
    ]
    if facts.job is None:
        return [*found, ("Job", "none on this machine")]
    return [
        *found,
        ("Median wait in the topic", "–" if wait is None else f"{wait:.2f} s"),
        ("Behind", f"{facts.job.lag:,} records"),
        ("Invalid records", f"{facts.invalid_by_reason.total():,}"),
    ]


def band_label(band: Band) -> str:
    extent = f"{band.low:g}" if band.low == band.high else f"{band.low:g}–{band.high:g}"
    name = band.turbine if len(band.turbine) <= _LABEL_LETTERS else f"{band.turbine[: _LABEL_LETTERS - 1]}…"
    return f"{name}: {extent}"


def notes(facts: RunFacts) -> Iterator[str]:
    """What a reader has to know to interpret the charts."""
    if facts.zones_left_out:
        yield f"{facts.zones_left_out} more zones are not shown; choose them with --zone."
    if facts.job is None:
        yield "No job with these settings was found on this machine: waits and invalid records are not known."
    missing = sum(window.mean is None for zone in facts.zones for window in zone.windows)
    if missing:
        yield f"{missing} windows of the topic have no mean on the platform (including those that are still open)."
    different = facts.means - facts.agreeing
    if different:
        yield f"{different} means differ from those of the topic now."


def with_gaps(windows: Iterable[Window], window_ms: int) -> Iterator[tuple[int, float | None]]:
    """End and mean of each window; None where windows are missing, so that the line has a gap."""
    before: int | None = None
    for window in windows:
        if before is not None and window.end_ms - before > window_ms:
            yield before + window_ms, None
        yield window.end_ms, window.mean
        before = window.end_ms


def extent(zone: Zone) -> tuple[float, float]:
    """Lowest and highest value on the axis of the zone's panel, with a margin."""
    values = [value for band in zone.bands for value in (band.low, band.high)]
    for window in zone.windows:
        values += [value for value in (window.mean, window.lowest, window.highest) if value is not None]
    low, high = min(values), max(values)
    margin = max((high - low) * 0.12, 0.5)
    return low - margin, high + margin
