"""Texts and colours that page and picture share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pacifictool.report.facts import AnalyticsFacts, Band, RunFacts, Series, WindowFacts
from pacifictool.scenario.names import capitalised
from pacifictool.tools.times import format_duration, utc_clock, utc_time

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7a5195", "#8a8d91")
"""After Okabe and Ito (2008): distinguishable with colour blindness."""
DARK_COLOURS = ("#5ab4f0", "#ff9a5c", "#3dd6a5", "#eba6cb", "#e5bd4a", "#8fd0f5", "#c49be0", "#b4b8bd")
"""The same in order, lighter, for a dark background."""

INVALID_COLOURS = ("#c0392b", "#e67e22", "#8e44ad", "#7f8c8d")
DARK_INVALID_COLOURS = ("#ff8577", "#ffb366", "#cf9be8", "#b6bfc0")
WAIT_COLOUR, DARK_WAIT_COLOUR = "#7a5195", "#c49be0"

_LABEL_LETTERS = 24
"""Maximum length of a device's name next to its band."""

_DIFFERENCES_NAMED = 3
"""Results that differ from the topic's and are named, at most."""

MAX_LINES = 8
"""Groups that one panel of several shows."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series in a panel, with its group's name and colour."""

    name: str
    number: int
    series: Series


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: a group of an analytics with one key, or a key with the first groups."""

    title: str
    axis: str
    """Key and unit of its values."""
    analytics: AnalyticsFacts
    lines: tuple[Line, ...]
    shows_readings: bool
    """Whether lowest and highest readings and the devices' ranges are drawn: they would cover each other."""


def panels(facts: RunFacts) -> list[Panel]:
    """The charts of results: small multiples by group where there is one key, by key where there are several."""
    found = []
    several = len(facts.analytics) > 1
    for each in facts.analytics:
        owner = f"{each.name}: " if several else ""
        if not each.has_several_keys:
            for number, group in enumerate(each.groups):
                for series in group.series:
                    only = (Line(group.name, number, series),)
                    found.append(Panel(f"{owner}{group.name}", series.title, each, only, shows_readings=True))
            continue
        for index, first in enumerate(each.groups[0].series):
            lines = tuple(
                Line(group.name, number, group.series[index]) for number, group in enumerate(each.groups[:MAX_LINES])
            )
            found.append(Panel(f"{owner}{first.title}", first.title, each, lines, shows_readings=len(lines) == 1))
    return found


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def title(facts: RunFacts) -> str:
    """What the report shows: "wind speed by zone, every 10s"."""
    if len(facts.analytics) == 1:
        each = facts.analytics[0]
        keys = each.groups[0].series
        what = keys[0].title if len(keys) == 1 else f"{len(keys)} {each.results_word}"
        return f"{what} by {each.group}, every {format_duration(each.slide_ms / 1000)}"
    return ", ".join(f"{each.name} every {format_duration(each.slide_ms / 1000)}" for each in facts.analytics)


def subtitle(facts: RunFacts) -> str:
    """Time, topic and server of the report."""
    first, last = utc_time(facts.first_ms), utc_time(facts.last_ms)
    until = f"{last:%H:%M:%S}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M:%S}"
    return f"{first:%Y-%m-%d %H:%M:%S} to {until} UTC · topic {facts.topic} · {facts.server}"


def figures(facts: RunFacts) -> list[tuple[str, str]]:
    """The key figures above the charts: label and value."""
    wait = facts.median_wait_seconds
    found = [
        ("Readings", f"{facts.readings:,}"),
        (f"{capitalised(facts.results_word)} posted", f"{facts.posted:,}"),
        ("Equal to the topic", f"{facts.agreeing:,} of {facts.compared:,}"),
    ]
    if facts.alarms:
        found.append(("Active alarms", f"{len(facts.alarms):,}"))
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
    name = band.device if len(band.device) <= _LABEL_LETTERS else f"{band.device[: _LABEL_LETTERS - 1]}…"
    return f"{name}: {extent}"


def notes(facts: RunFacts) -> Iterator[str]:
    """What a reader has to know to interpret the charts."""
    for each in facts.analytics:
        owner = f" of {each.name}" if len(facts.analytics) > 1 else ""
        if each.groups_left_out:
            yield f"{each.groups_left_out:,} more {each.groups_word}{owner} are not shown; choose them with --entity."
        if each.has_several_keys and len(each.groups) > MAX_LINES:
            shown = f"the first {MAX_LINES} of {len(each.groups)} {each.groups_word}"
            yield f"The charts{owner} show {shown}; the tables show all."
    if facts.job is None:
        yield "No job with these settings was found on this machine: waits and invalid records are not known."
    missing = sum(window.value is None and window.topic_value is not None for _, window in facts.windows())
    if missing:
        word = facts.results_word.removesuffix("s")
        yield f"{missing} windows of the topic have no {word} on the platform (including those that are still open)."
    functions = [each.name for each in facts.analytics if not all(one.is_recomputed for one in each.all_series())]
    if functions:
        yield (
            f"The results of {', '.join(functions)} come from functions, which are not called again here: they are"
            " shown, and not compared with the topic."
        )
    different = facts.compared - facts.agreeing
    if different:
        yield f"{different} {facts.results_word} differ from those of the topic now: {_differing(facts)}."


def _differing(facts: RunFacts) -> str:
    """The first results that differ, with both values, and why as far as that is known."""
    found = [(each, *differing) for each in facts.analytics for differing in each.differing()]
    skipped_until_ms = facts.job.skipped_until_ms if facts.job is not None else None
    lines = []
    for each, group, series, window in found[:_DIFFERENCES_NAMED]:
        of_topic = "nothing" if window.topic_value is None else f"{window.topic_value:g}"
        key = f" {series.key}" if each.has_several_keys else ""
        place = f"{group.name}{key} to {utc_clock(window.end_ms)}"
        line = f"{place}: {window.value:g} on the platform, {of_topic} in the topic"
        if skipped_until_ms is not None and window.end_ms - each.window_ms <= skipped_until_ms:
            line += " (the job began to read within this window)"
        lines.append(line)
    more = len(found) - len(lines)
    return "; ".join(lines) + (f"; and {more:,} more" if more else "")


def with_gaps(windows: Iterable[WindowFacts], step_ms: int) -> Iterator[tuple[int, float | None]]:
    """End and value of each window; None where windows are missing, so that the line has a gap."""
    before: int | None = None
    for window in windows:
        if before is not None and window.end_ms - before > step_ms:
            yield before + step_ms, None
        yield window.end_ms, window.value
        before = window.end_ms


def extent(panel: Panel) -> tuple[float, float]:
    """Lowest and highest value on the axis of a panel, with a margin."""
    values: list[float] = []
    for line in panel.lines:
        values += [value for band in line.series.bands if panel.shows_readings for value in (band.low, band.high)]
        for window in line.series.windows:
            readings = (window.lowest, window.highest) if panel.shows_readings else ()
            values += [value for value in (window.value, *readings) if value is not None]
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    margin = (high - low) * 0.12 or max(abs(high) * 0.02, 0.5)
    return low - margin, high + margin
