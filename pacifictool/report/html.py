"""A report as one self-contained HTML page: it includes Plotly's script and loads nothing from the network."""

from __future__ import annotations

from typing import Any

from pacifictool.display import for_html, for_plotly
from pacifictool.report.facts import RunFacts, Zone
from pacifictool.report.wording import (
    INVALID_COLOURS,
    band_label,
    colour,
    extent,
    figures,
    notes,
    subtitle,
    title,
    with_gaps,
)
from pacifictool.tools.times import utc_clock, utc_time

_PANEL_PIXELS = 230
_TABLE_ROWS = 500
"""Maximum number of windows per zone in the tables below the charts; the charts show all."""

_LONG_MS = 12 * 3_600_000
"""With a longer time than this, the time axis shows days as well."""

_TICKS = 8
_FEWER_TICKS_WHEN_NARROW = """
const chart = document.getElementById("{plot_id}");
const narrow = matchMedia("(max-width: 640px)");
function setTicks() {
  const axes = Object.keys(chart.layout).filter((name) => name.startsWith("xaxis"));
  Plotly.relayout(chart, Object.fromEntries(axes.map((axis) => [`${axis}.nticks`, narrow.matches ? 3 : TICKS])));
}
narrow.addEventListener("change", setTicks);
if (narrow.matches) setTicks();
""".replace("TICKS", str(_TICKS))
"""On a phone, eight labels would be turned and cover the title of the panel below."""

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
.js-plotly-plot .main-svg text {{ fill: var(--ink) !important; }}
.js-plotly-plot .hoverlayer text {{ fill: #fff !important; }}
</style>
</head>
<body>
<header><h1>{title}</h1><p>{subtitle}</p></header>
<main>
<dl>{cards}</dl>
{notes}
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
        post_script=_FEWER_TICKS_WHEN_NARROW,
    )
    cards = "".join(f"<div><dt>{for_html(what)}</dt><dd>{for_html(much)}</dd></div>" for what, much in figures(facts))
    return _PAGE.format(
        title=for_html(title(facts)),
        subtitle=for_html(subtitle(facts)),
        cards=cards,
        notes="".join(f'<p class="notes">{for_html(note)}</p>' for note in notes(facts)),
        chart=chart,
        tables="".join(_table(zone, facts) for zone in facts.zones),
    )


def figure(facts: RunFacts) -> Any:
    """The charts as one Plotly figure: a panel for each zone, then rates, waits and invalid records."""
    from plotly.subplots import make_subplots

    panels = [
        f'<span style="color:{colour(number)}">■</span> <b>{for_plotly(zone.name)}</b>'
        for number, zone in enumerate(facts.zones)
    ]
    panels.append("<b>Readings per second</b>")
    job = facts.job
    if job is not None and job.batches:
        panels.append('<b>Seconds from topic to count</b> <span style="font-size:10px">(dotted: max)</span>')
    if job is not None and job.rejects:
        panels.append("<b>Invalid records</b>")
    height = _PANEL_PIXELS * len(panels) + 80
    chart = make_subplots(
        rows=len(panels),
        cols=1,
        shared_xaxes=True,
        subplot_titles=panels,
        vertical_spacing=min(56 / height, 0.9 / max(1, len(panels) - 1)),
    )
    for row, zone in enumerate(facts.zones, start=1):
        _draw_zone(chart, zone, facts, row)
    row = len(facts.zones) + 1
    _draw_rates(chart, facts, row)
    if job is not None and job.batches:
        row += 1
        _draw_waits(chart, facts, row)
    if job is not None and job.rejects:
        row += 1
        _draw_invalid_records(chart, facts, row)
    chart.update_layout(
        height=height,
        margin={"l": 48, "r": 16, "t": 40, "b": 40},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 13, "family": "system-ui, DejaVu Sans, sans-serif"},
        hovermode="x",
        barmode="stack",
        showlegend=False,
    )
    chart.update_annotations(x=0, xanchor="left", font={"size": 13}, selector={"xref": "paper"})
    ends = facts.window_ends_ms
    chart.update_xaxes(
        gridcolor=_GRID,
        showticklabels=True,
        zeroline=False,
        nticks=_TICKS,
        tickangle=0,
        tickformat="%H:%M:%S" if ends[-1] - ends[0] < _LONG_MS else "%d. %H:%M",
        hoverformat="%Y-%m-%d %H:%M:%S",
        range=[utc_time(ends[0] - facts.window_ms), utc_time(ends[-1])],
    )
    chart.update_yaxes(gridcolor=_GRID, zeroline=False)
    chart.update_xaxes(title_text="UTC", title_standoff=4, row=row)
    return chart


def _draw_zone(chart: Any, zone: Zone, facts: RunFacts, row: int) -> None:
    shade = colour(row - 1)
    measured = [window for window in zone.windows if window.lowest is not None and window.highest is not None]
    chart.add_bar(
        x=[utc_time(window.end_ms - facts.window_ms // 2) for window in measured],
        y=[(window.highest or 0) - (window.lowest or 0) for window in measured],
        base=[window.lowest for window in measured],
        width=facts.window_ms * 0.18,
        marker={"color": shade, "opacity": 0.35, "line": {"width": 0}},
        name="lowest to highest reading",
        hoverinfo="skip",
        row=row,
        col=1,
    )
    points = list(with_gaps(zone.windows, facts.window_ms))
    chart.add_scatter(
        x=[utc_time(end) for end, _ in points],
        y=[mean for _, mean in points],
        mode="lines+markers",
        line={"color": shade, "width": 2.5, "shape": "vh"},
        marker={"size": 7},
        name=for_plotly(f"{zone.name}: mean"),
        hovertemplate="%{y:.4f}<extra>" + for_plotly(zone.name) + "</extra>",
        row=row,
        col=1,
    )
    for band in zone.bands:  # after the traces: Plotly draws none in an empty panel
        chart.add_hrect(
            y0=band.low,
            y1=band.high,
            row=row,
            col=1,
            fillcolor=shade,
            opacity=0.13,
            line_width=0,
            layer="below",
            annotation={"text": for_plotly(band_label(band)), "font": {"size": 11}, "yanchor": "bottom"},
            annotation_position="top right",
        )
    low, high = extent(zone)
    chart.update_yaxes(range=[low, high], row=row)


def _draw_rates(chart: Any, facts: RunFacts, row: int) -> None:
    for number, zone in enumerate(facts.zones):
        chart.add_bar(
            x=[utc_time(window.end_ms - facts.window_ms // 2) for window in zone.windows],
            y=[facts.rate(window) for window in zone.windows],
            width=facts.window_ms * 0.9,
            marker={"color": colour(number), "line": {"width": 0}},
            name=for_plotly(f"{zone.name}: readings per second"),
            hovertemplate="%{y:.1f}/s<extra>" + for_plotly(zone.name) + "</extra>",
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
            line={"color": "#7a5195", "width": 2, "dash": dash},
            marker={"size": 5},
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
            x=[utc_time(entry.end_ms - facts.window_ms // 2) for entry in some],
            y=[entry.count for entry in some],
            width=facts.window_ms * 0.9,
            marker={"color": INVALID_COLOURS[number % len(INVALID_COLOURS)]},
            name=for_plotly(f"invalid: {reason}"),
            hovertemplate="%{y}<extra>" + for_plotly(reason) + "</extra>",
            row=row,
            col=1,
        )
    chart.update_yaxes(rangemode="tozero", row=row)


def _table(zone: Zone, facts: RunFacts) -> str:
    rows = []
    for window in zone.windows[-_TABLE_ROWS:]:
        cells = [
            f"{window.readings}",
            *(_number(value) for value in (window.mean, window.topic_mean)),
            *("–" if value is None else f"{value:g}" for value in (window.lowest, window.highest)),
            f"{facts.rate(window):.1f}",
        ]
        row = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{utc_clock(window.end_ms)}</th>{row}</tr>')
    headings = ("Window until", "Readings", "Mean posted", "Mean of the topic", "Lowest", "Highest", "Per second")
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    shown = len(rows)
    count = f"{shown} windows" if shown == len(zone.windows) else f"the last {shown} of {len(zone.windows)} windows"
    return (
        f'<details><summary>{for_html(zone.name)}: {count}</summary><div class="wide"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>\n"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
