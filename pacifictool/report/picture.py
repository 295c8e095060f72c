"""A report as a picture (PNG or SVG), for slides, e-mails and readme files."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pacifictool.display import for_matplotlib
from pacifictool.report.alarms import alarm_lines
from pacifictool.report.facts import RunFacts
from pacifictool.report.wording import (
    INVALID_COLOURS,
    WAIT_COLOUR,
    Panel,
    band_label,
    colour,
    extent,
    figures,
    notes,
    panels,
    subtitle,
    title,
    with_gaps,
)
from pacifictool.tools.times import utc_time

_INK, _SOFT, _GRID = "#1d2733", "#5b6875", "#e3e8ed"
_INCHES = 11.0
_STYLE: Any = {
    # Text stays text in an SVG: small, searchable, and the same file for the same run.
    "svg.fonttype": "none",
    "svg.hashsalt": "pacifictool",
    "font.family": "DejaVu Sans",
    # A dollar sign in a name does not start a formula.
    "text.parse_math": False,
    "text.usetex": False,
}
_HEAD_INCHES, _PANEL_INCHES, _FOOT_INCHES = 1.75, 1.75, 0.55
_LINE_INCHES = 0.2


_METADATA: dict[str, dict[str, str | None]] = {
    "svg": {"Creator": "pacifictool", "Date": None},
    "png": {"Software": "pacifictool"},
}
"""No date, so that the same run gives the same file. `write` replaces only files that name their generator."""


def save(facts: RunFacts, path: Path, kind: str) -> None:
    """Draws into a file of `kind` "png" or "svg". Raises OSError when it cannot be written."""
    # It would log to stderr about missing fonts and folders that are not writable.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib import rc_context

    with rc_context(_STYLE), warnings.catch_warnings():
        # A character that the font lacks is drawn as a box; a warning for each is of no use.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure(facts).savefig(path, format=kind, dpi=150, metadata=_METADATA[kind])


def figure(facts: RunFacts) -> Any:
    """The charts as one Matplotlib figure: results, then rates, waits and invalid records."""
    from matplotlib import rc_context

    with rc_context(_STYLE):
        return _drawn(facts)


def _drawn(facts: RunFacts) -> Any:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    job = facts.job
    draw: list[Callable[[Any, RunFacts], None]] = [
        *(partial(_draw_panel, panel) for panel in panels(facts)),
        _draw_rates,
    ]
    if job is not None and job.batches:
        draw.append(_draw_waits)
    if job is not None and job.rejects:
        draw.append(_draw_invalid_records)
    head = _HEAD_INCHES + _LINE_INCHES * len(list(alarm_lines(facts)))
    height = head + _PANEL_INCHES * len(draw) + _FOOT_INCHES
    result = Figure(figsize=(_INCHES, height), facecolor="white")
    grid = result.add_gridspec(
        len(draw),
        1,
        left=0.06,
        right=0.86,
        top=1 - head / height,
        bottom=_FOOT_INCHES / height,
        hspace=0.42,
    )
    first: Any = None
    for row, panel in enumerate(draw):
        axes = result.add_subplot(grid[row], sharex=first)
        first = first or axes
        panel(axes, facts)
        _dress(axes)
        axes.tick_params(labelbottom=row == len(draw) - 1)
    locator = AutoDateLocator(minticks=4, maxticks=10)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]
    first.set_xlim(utc_time(facts.first_ms), utc_time(facts.last_ms))
    _head(result, facts, height)
    return result


def _head(result: Any, facts: RunFacts, height: float) -> None:
    """Title, key figures, alarms and notes."""

    def y(inches: float) -> float:
        return 1 - inches / height

    result.text(0.025, y(0.42), for_matplotlib(title(facts)), fontsize=17, fontweight="bold", color=_INK)
    result.text(0.025, y(0.68), for_matplotlib(subtitle(facts)), fontsize=9, color=_SOFT)
    numbers = figures(facts)
    for index, (what, much) in enumerate(numbers):
        x = 0.025 + index * 0.96 / len(numbers)
        result.text(x, y(0.98), for_matplotlib(what), fontsize=8.5, color=_SOFT)
        result.text(x, y(1.23), for_matplotlib(much), fontsize=12, fontweight="bold", color=_INK)
    for number, line in enumerate(alarm_lines(facts)):
        result.text(0.025, y(1.5 + number * _LINE_INCHES), for_matplotlib(line), fontsize=9, color=_INK)
    remarks = for_matplotlib("  ".join([*notes(facts), "Times are UTC."]))
    result.text(0.025, 0.12 / height, remarks, fontsize=8, color=_SOFT)


def _dress(axes: Any) -> None:
    axes.grid(axis="both", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_SOFT, labelsize=8.5, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)


def _title(axes: Any, text: str) -> None:
    axes.set_title(for_matplotlib(text), loc="left", fontsize=10.5, fontweight="bold", color=_INK, pad=5)


def _draw_panel(panel: Panel, axes: Any, _facts: RunFacts) -> None:
    each = panel.analytics
    for line in panel.lines:
        shade = colour(line.number)
        for band in line.series.bands if panel.shows_readings else ():
            axes.axhspan(band.low, band.high, color=shade, alpha=0.12, linewidth=0)
            axes.annotate(
                for_matplotlib(band_label(band)),
                (1, (band.low + band.high) / 2),
                xycoords=axes.get_yaxis_transform(),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=_SOFT,
            )
        measured = [window for window in line.series.windows if panel.shows_readings and window.lowest is not None]
        axes.vlines(
            [utc_time(window.end_ms - each.window_ms // 2) for window in measured],
            [window.lowest for window in measured],
            [window.highest for window in measured],
            color=shade,
            alpha=0.4,
            linewidth=3,
            label="lowest to highest reading",
        )
        points = list(with_gaps(line.series.windows, each.slide_ms))
        axes.plot(
            [utc_time(end) for end, _ in points],
            [float("nan") if value is None else value for _, value in points],
            color=shade,
            linewidth=2,
            marker="o",
            markersize=4.5 if panel.shows_readings else 3,
            drawstyle="steps-pre" if each.slide_ms == each.window_ms else "default",
            label=for_matplotlib(line.name if len(panel.lines) > 1 else f"{line.name}: {each.result}"),
            clip_on=False,
        )
    axes.set_ylim(*extent(panel))
    axes.set_ylabel(for_matplotlib(panel.axis), fontsize=8.5, color=_SOFT)
    _title(axes, panel.title)
    if len(panel.lines) > 1:
        _legend(axes)


def _draw_rates(axes: Any, facts: RunFacts) -> None:
    each = facts.analytics[0]
    floor: dict[int, float] = {}
    width = timedelta(milliseconds=each.slide_ms * 0.9)
    for number, group in enumerate(each.groups):
        windows = group.series[0].windows
        middles = [utc_time(window.end_ms - each.window_ms // 2) for window in windows]
        rates = [each.rate(window) for window in windows]
        bottoms = [floor.get(window.end_ms, 0.0) for window in windows]
        axes.bar(middles, rates, width=width, bottom=bottoms, color=colour(number), label=for_matplotlib(group.name))
        for window, rate in zip(windows, rates, strict=True):
            floor[window.end_ms] = floor.get(window.end_ms, 0.0) + rate
    _title(axes, "Readings per second")
    axes.margins(y=0.15)
    _legend(axes)


def _draw_waits(axes: Any, facts: RunFacts) -> None:
    batches = facts.job.batches if facts.job is not None else ()
    times = [utc_time(batch.done_ms) for batch in batches]
    for name, values, style in (
        ("longest", [batch.longest_wait_seconds for batch in batches], ":"),
        ("median", [batch.median_wait_seconds for batch in batches], "-"),
    ):
        axes.plot(times, values, style, color=WAIT_COLOUR, linewidth=1.8, marker="o", markersize=3, label=name)
    axes.set_ylim(bottom=0)
    axes.margins(y=0.15)
    _title(axes, "Seconds from topic to count")
    _legend(axes)


def _draw_invalid_records(axes: Any, facts: RunFacts) -> None:
    rejects = facts.job.rejects if facts.job is not None else ()
    floor: dict[int, int] = {}
    for number, reason in enumerate(facts.invalid_by_reason):
        some = [entry for entry in rejects if entry.reason == reason]
        axes.bar(
            [utc_time(entry.end_ms - facts.step_ms // 2) for entry in some],
            [entry.count for entry in some],
            width=timedelta(milliseconds=facts.step_ms * 0.9),
            bottom=[floor.get(entry.end_ms, 0) for entry in some],
            color=INVALID_COLOURS[number % len(INVALID_COLOURS)],
            label=for_matplotlib(reason),
        )
        for entry in some:
            floor[entry.end_ms] = floor.get(entry.end_ms, 0) + entry.count
    _title(axes, "Invalid records")
    axes.margins(y=0.15)
    _legend(axes)


def _legend(axes: Any) -> None:
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 0.98),
        ncols=8,
        fontsize=8,
        frameon=False,
        labelcolor=_SOFT,
        borderaxespad=0.2,
        handlelength=1.2,
        columnspacing=1.2,
    )
