"""A report as one self-contained HTML page: it includes Plotly's script and loads nothing from the network."""

from __future__ import annotations

import json
from typing import Any

from pacifictool.display import for_html, for_plotly
from pacifictool.report.alarms import alarm_section
from pacifictool.report.facts import AnalyticsFacts, GroupFacts, RunFacts, Series
from pacifictool.report.wording import (
    COLOURS,
    DARK_COLOURS,
    DARK_INVALID_COLOURS,
    DARK_WAIT_COLOUR,
    INVALID_COLOURS,
    WAIT_COLOUR,
    Line,
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
from pacifictool.scenario.names import capitalised
from pacifictool.tools.times import utc_clock, utc_time

_PANEL_PIXELS = 230
_TABLE_ROWS = 500
"""Maximum number of windows per group in the tables below the charts; the charts show all."""

_LONG_MS = 12 * 3_600_000
"""With a longer time than this, the time axis shows days as well."""

_TICKS = 8
_ADAPT = """
const chart = document.getElementById("{plot_id}");
const dark = DARK;
const light = new Map(chart.data.map((trace) => [trace, [trace.marker?.color, trace.line?.color]]));
const bands = (chart.layout.shapes ?? []).map((shape) => shape.fillcolor);
const squares = (chart.layout.annotations ?? []).map((note) => note.text);
const narrow = matchMedia("(max-width: 640px)");
const scheme = matchMedia("(prefers-color-scheme: dark)");
function shade(colour) {
  return scheme.matches && colour in dark ? dark[colour] : colour;
}
function adapt() {
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const ink = style("--ink");
  const axes = Object.keys(chart.layout).filter((name) => /^[xy]axis/.test(name));
  const changes = {
    "font.color": ink,
    "hoverlabel.bgcolor": style("--card"),
    "hoverlabel.bordercolor": style("--edge"),
    "hoverlabel.font.color": ink,
    "modebar.bgcolor": "rgba(0,0,0,0)",
    "modebar.color": style("--soft"),
    "modebar.activecolor": ink,
    "margin.l": narrow.matches ? 46 : 62,
  };
  for (const axis of axes) {
    changes[`${axis}.gridcolor`] = style("--edge");
    // On a phone, eight labels would be turned and cover the title of the panel below.
    if (axis.startsWith("x")) changes[`${axis}.nticks`] = narrow.matches ? 3 : TICKS;
  }
  bands.forEach((fill, index) => { changes[`shapes[${index}].fillcolor`] = shade(fill); });
  squares.forEach((text, index) => { changes[`annotations[${index}].text`] = text.replace(/#[0-9a-f]{6}/g, shade); });
  Plotly.relayout(chart, changes);
  chart.data.forEach((trace, index) => {
    const [marker, line] = light.get(trace) ?? [];
    const change = {};
    if (typeof marker === "string") change["marker.color"] = shade(marker);
    if (typeof line === "string") change["line.color"] = shade(line);
    if (Object.keys(change).length) Plotly.restyle(chart, change, [index]);
  });
  chart.dataset.scheme = scheme.matches ? "dark" : "light";
}
narrow.addEventListener("change", adapt);
scheme.addEventListener("change", adapt);
adapt();
"""
"""Follows the width and the colours of the page."""

_AXIS_LETTERS = 26
_GRID = "rgba(128,128,128,0.25)"

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="pacifictool">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark;
  --ink: #1d2733; --soft: #5b6875; --ground: #ffffff; --card: #f3f6f9; --edge: #dfe5ea; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6edf3; --soft: #9aa7b4; --ground: #11161c; --card: #1a212a; --edge: #2b3540; }}
}}
body {{ margin: 0 auto; max-width: 72rem; padding: 1.5rem clamp(0.75rem, 3vw, 2rem); background: var(--ground);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }}
h1 {{ font-size: 1.5rem; margin: 0; }}
h2 {{ font-size: 1.1rem; margin: 2rem 0 0.5rem; }}
header p, .notes {{ color: var(--soft); margin: 0.25rem 0; overflow-wrap: anywhere; }}
dl {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 0.75rem; margin: 1.25rem 0; }}
dl div {{ background: var(--card); border: 1px solid var(--edge); border-radius: 0.5rem; padding: 0.6rem 0.8rem; }}
dt {{ color: var(--soft); font-size: 0.8rem; }}
dd {{ margin: 0; font-size: 1.15rem; font-weight: 600; }}
details {{ border-top: 1px solid var(--edge); padding: 0.5rem 0; }}
summary {{ cursor: pointer; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 0.5rem 0; }}
th, td {{ padding: 0.15rem 0.9rem 0.15rem 0; text-align: right; white-space: nowrap; }}
thead th {{ color: var(--soft); font-weight: 500; }}
.alarms th, .alarms td {{ text-align: left; vertical-align: top; }}
.alarms td:last-child {{ white-space: normal; overflow-wrap: anywhere; min-width: 12rem; }}
.js-plotly-plot .main-svg text {{ fill: var(--ink) !important; }}
</style>
</head>
<body>
<header><h1>{title}</h1><p>{subtitle}</p></header>
<main>
<dl>{cards}</dl>
{notes}
{alarms}
<section aria-label="Charts; the tables below hold the same numbers">{chart}</section>
<h2>The numbers</h2>
{tables}
</main>
</body>
</html>
"""


def page(facts: RunFacts) -> str:
    """The HTML text of the page."""
    from plotly.io import to_html

    chart = to_html(
        figure(facts),
        include_plotlyjs=True,
        full_html=False,
        div_id="charts",
        config={"displaylogo": False, "responsive": True},
        post_script=_ADAPT.replace("TICKS", str(_TICKS)).replace("DARK", json.dumps(_dark_colours())),
    )
    cards = "".join(f"<div><dt>{for_html(what)}</dt><dd>{for_html(much)}</dd></div>" for what, much in figures(facts))
    return _PAGE.format(
        title=for_html(title(facts)),
        subtitle=for_html(subtitle(facts)),
        cards=cards,
        notes="".join(f'<p class="notes">{for_html(note)}</p>' for note in notes(facts)),
        alarms=alarm_section(facts),
        chart=chart,
        tables="".join(
            _table(group, each, several=len(facts.analytics) > 1) for each in facts.analytics for group in each.groups
        ),
    )


def _dark_colours() -> dict[str, str]:
    """What each colour of a chart is on a dark background."""
    pairs = [
        *zip(COLOURS, DARK_COLOURS, strict=True),
        *zip(INVALID_COLOURS, DARK_INVALID_COLOURS, strict=True),
        (WAIT_COLOUR, DARK_WAIT_COLOUR),
    ]
    return dict(pairs)


def _heading(panel: Panel) -> str:
    if len(panel.lines) == 1:
        [line] = panel.lines
        return f'<span style="color:{colour(line.number)}">■</span> <b>{for_plotly(panel.title)}</b>'
    return f"<b>{for_plotly(panel.title)}</b>"


def figure(facts: RunFacts) -> Any:
    """The charts as one Plotly figure: results, then rates, waits and invalid records."""
    from plotly.subplots import make_subplots

    results = panels(facts)
    titles = [*map(_heading, results), "<b>Readings per second</b>"]
    job = facts.job
    if job is not None and job.batches:
        titles.append('<b>Seconds from topic to count</b> <span style="font-size:10px">(dotted: max)</span>')
    if job is not None and job.rejects:
        titles.append("<b>Invalid records</b>")
    height = _PANEL_PIXELS * len(titles) + 80
    chart = make_subplots(
        rows=len(titles),
        cols=1,
        shared_xaxes=True,
        subplot_titles=titles,
        vertical_spacing=min(56 / height, 0.9 / max(1, len(titles) - 1)),
    )
    for row, panel in enumerate(results, start=1):
        _draw_panel(chart, panel, row)
    row = len(results) + 1
    _draw_rates(chart, facts, row)
    if job is not None and job.batches:
        row += 1
        _draw_waits(chart, facts, row)
    if job is not None and job.rejects:
        row += 1
        _draw_invalid_records(chart, facts, row)
    chart.update_layout(
        height=height,
        margin={"l": 62, "r": 16, "t": 40, "b": 40},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 13, "family": "system-ui, DejaVu Sans, sans-serif"},
        hovermode="x",
        barmode="stack",
        showlegend=False,
    )
    chart.update_annotations(x=0, xanchor="left", font={"size": 13}, selector={"xref": "paper"})
    first_ms, last_ms = facts.first_ms, facts.last_ms
    chart.update_xaxes(
        gridcolor=_GRID,
        showticklabels=True,
        zeroline=False,
        nticks=_TICKS,
        tickangle=0,
        tickformat="%H:%M:%S" if last_ms - first_ms < _LONG_MS else "%d. %H:%M",
        hoverformat="%Y-%m-%d %H:%M:%S",
        range=[utc_time(first_ms), utc_time(last_ms)],
    )
    chart.update_yaxes(gridcolor=_GRID, zeroline=False)
    chart.update_xaxes(title_text="UTC", title_standoff=4, row=row)
    return chart


def _draw_panel(chart: Any, panel: Panel, row: int) -> None:
    for line in panel.lines:
        if panel.shows_readings:
            _draw_readings(chart, panel, line, row)
        _draw_line(chart, panel, line, row)
    for line in panel.lines if panel.shows_readings else ():
        for band in line.series.bands:  # after the traces: Plotly draws none in an empty panel
            chart.add_hrect(
                y0=band.low,
                y1=band.high,
                row=row,
                col=1,
                fillcolor=colour(line.number),
                opacity=0.13,
                line_width=0,
                layer="below",
                annotation={"text": for_plotly(band_label(band)), "font": {"size": 11}, "yanchor": "bottom"},
                annotation_position="top right",
            )
    low, high = extent(panel)
    axis = panel.axis if len(panel.axis) <= _AXIS_LETTERS else f"{panel.axis[: _AXIS_LETTERS - 1]}…"
    chart.update_yaxes(
        range=[low, high],
        title={"text": for_plotly(axis), "font": {"size": 12}, "standoff": 4},
        row=row,
    )


def _draw_readings(chart: Any, panel: Panel, line: Line, row: int) -> None:
    measured = [window for window in line.series.windows if window.lowest is not None and window.highest is not None]
    window_ms = panel.analytics.window_ms
    chart.add_bar(
        x=[utc_time(window.end_ms - window_ms // 2) for window in measured],
        y=[(window.highest or 0) - (window.lowest or 0) for window in measured],
        base=[window.lowest for window in measured],
        width=panel.analytics.slide_ms * 0.18,
        marker={"color": colour(line.number), "opacity": 0.35, "line": {"width": 0}},
        name="lowest to highest reading",
        hoverinfo="skip",
        row=row,
        col=1,
    )


def _draw_line(chart: Any, panel: Panel, line: Line, row: int) -> None:
    each, shade = panel.analytics, colour(line.number)
    points = list(with_gaps(line.series.windows, each.slide_ms))
    chart.add_scatter(
        x=[utc_time(end) for end, _ in points],
        y=[value for _, value in points],
        mode="lines+markers",
        # A step holds for its window; windows that overlap have none.
        line={"color": shade, "width": 2.5, "shape": "vh" if each.slide_ms == each.window_ms else "linear"},
        marker={"size": 7 if panel.shows_readings else 5, "color": shade},
        name=for_plotly(f"{line.name}: {each.result}"),
        hovertemplate="%{y:.4f}<extra>" + for_plotly(line.name) + "</extra>",
        row=row,
        col=1,
    )


def _draw_rates(chart: Any, facts: RunFacts, row: int) -> None:
    each = facts.analytics[0]
    for number, group in enumerate(each.groups):
        windows = group.series[0].windows
        chart.add_bar(
            x=[utc_time(window.end_ms - each.window_ms // 2) for window in windows],
            y=[each.rate(window) for window in windows],
            width=each.slide_ms * 0.9,
            marker={"color": colour(number), "line": {"width": 0}},
            name=for_plotly(f"{group.name}: readings per second"),
            hovertemplate="%{y:.1f}/s<extra>" + for_plotly(group.name) + "</extra>",
            row=row,
            col=1,
        )
    chart.update_yaxes(rangemode="tozero", row=row)


def _draw_waits(chart: Any, facts: RunFacts, row: int) -> None:
    batches = facts.job.batches if facts.job is not None else ()
    for name, values, dash in (
        ("longest", [batch.longest_wait_seconds for batch in batches], "dot"),
        ("median", [batch.median_wait_seconds for batch in batches], "solid"),
    ):
        chart.add_scatter(
            x=[utc_time(batch.done_ms) for batch in batches],
            y=values,
            mode="lines+markers",
            line={"color": WAIT_COLOUR, "width": 2, "dash": dash},
            marker={"size": 5, "color": WAIT_COLOUR},
            name=f"{name} wait",
            hovertemplate="%{y:.2f} s<extra>" + name + "</extra>",
            row=row,
            col=1,
        )
    chart.update_yaxes(rangemode="tozero", row=row)


def _draw_invalid_records(chart: Any, facts: RunFacts, row: int) -> None:
    rejects = facts.job.rejects if facts.job is not None else ()
    for number, reason in enumerate(facts.invalid_by_reason):
        some = [entry for entry in rejects if entry.reason == reason]
        chart.add_bar(
            x=[utc_time(entry.end_ms - facts.step_ms // 2) for entry in some],
            y=[entry.count for entry in some],
            width=facts.step_ms * 0.9,
            marker={"color": INVALID_COLOURS[number % len(INVALID_COLOURS)]},
            name=for_plotly(f"invalid: {reason}"),
            hovertemplate="%{y}<extra>" + for_plotly(reason) + "</extra>",
            row=row,
            col=1,
        )
    chart.update_yaxes(rangemode="tozero", row=row)


def _table(group: GroupFacts, each: AnalyticsFacts, *, several: bool) -> str:
    owner = f"{each.name}: " if several else ""
    return "".join(
        _series_table(series, each, f"{owner}{group.name}" + (f", {series.title}" if each.has_several_keys else ""))
        for series in group.series
    )


def _series_table(series: Series, each: AnalyticsFacts, name: str) -> str:
    rows = []
    for window in series.windows[-_TABLE_ROWS:]:
        cells = [
            f"{window.readings}",
            *(_number(value) for value in (window.value, window.topic_value)),
            *("–" if value is None else f"{value:g}" for value in (window.lowest, window.highest)),
            f"{each.rate(window):.1f}",
        ]
        row = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{utc_clock(window.end_ms)}</th>{row}</tr>')
    result = capitalised(each.result)
    headings = (
        *("Window until", "Readings", f"{result} posted", f"{result} of the topic"),
        *("Lowest", "Highest", "Per second"),
    )
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    shown = len(rows)
    count = f"{shown} windows" if shown == len(series.windows) else f"the last {shown} of {len(series.windows)} windows"
    return (
        f'<details><summary>{for_html(name)}: {count}</summary><div class="wide"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>\n"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
