"""A snapshot as text: in a terminal of any size, and as one plain line without one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from pacifictool.console import Console, styled
from pacifictool.scenario.names import capitalised
from pacifictool.tools.times import age_text, local_clock
from pacifictool.watch.alarm_table import alarm_lines
from pacifictool.watch.choice import EVERYTHING, Choice, Shown
from pacifictool.watch.model import AnalyticsView, DeviceView, GroupView, Snapshot, VerdictCode

_DOTS = {"flowing": ("●", "green"), "still": ("○", "yellow"), "unknown": ("?", "magenta")}
BARS: Final = "▁▂▃▄▅▆▇█"
ALARM_ROWS: Final = 5
"""Alarms on a terminal's screen, at most: the results are below."""
_NARROW = 100
"""Below this number of columns, the hops are listed one below the other."""
_SLIM, _VERY_SLIM = 70, 50
"""Below this number of columns, only the most important table columns are shown."""
_FIXED_COLUMNS, _VALUE_COLUMN, _FEWEST_BARS = 32, 12, 8
"""Widths that decide how many keys are shown: name and age, a value, the bars."""
_IN_LINE: Final = 20
"""Groups of an analytics in a plain line, at most."""


def fitted(snapshot: Snapshot, console: Console, hint: str, choice: Choice = EVERYTHING) -> RenderableType:
    """The view with as many rows as fit on the console's screen; without the hops when they do not fit."""
    width, height = console.size
    everything = len(snapshot.platform.devices) + sum(
        len(view.chosen(choice, snapshot.ts_ms).items) for view in _views(snapshot, choice)
    )
    for brief, alarms in ((False, ALARM_ROWS), (False, 0), (True, 0)):
        rows = everything
        while True:
            shown = view(snapshot, width=width, rows=rows, alarms=alarms, hint=hint, brief=brief, choice=choice)
            excess = len(console.render_lines(shown, pad=False)) - height
            if excess <= 0 or (brief and rows <= 1):
                return shown
            if rows <= 2:
                break
            rows = max(1, min(rows - 1, rows - excess))
    return shown


def view(
    snapshot: Snapshot,
    *,
    width: int,
    rows: int | None = None,
    alarms: int | None = None,
    hint: str = "",
    brief: bool = False,
    choice: Choice = EVERYTHING,
) -> RenderableType:
    """The whole view, with `rows` rows for groups and devices together and `alarms` for alarms (None: all); `brief`
    leaves out the hops and the job. `hint` is in the first line; `choice`: the groups to show."""
    platform, views = snapshot.platform, _views(snapshot, choice)
    chosen = [each.chosen(choice, snapshot.ts_ms) for each in views]
    counts, devices = [len(each.items) for each in chosen], len(platform.devices)
    if rows is not None:
        # Groups go first, but devices keep at least a third.
        counts = _shared(counts, max(1, rows - min(devices, rows // 3)))
        devices = min(devices, max(0, rows - sum(counts)))
    parts: list[RenderableType] = [_title(snapshot, hint)]
    if not brief:
        parts += ["", *_hops(snapshot, width), *_reasons(snapshot)]
        parts.append("")
    parts += alarm_lines(snapshot, width, alarms)
    parts.append("")
    for each, groups, count in zip(views, chosen, counts, strict=True):
        if count or not brief:
            parts.append(_groups(each, groups, count, snapshot, width))
    if devices or not brief:
        parts.append(_devices(snapshot, devices, width))
    if not brief:
        parts += [_job(snapshot), *(styled(note, style="dim") for note in snapshot.notes)]
    return Group(*parts)


def _views(snapshot: Snapshot, choice: Choice) -> list[AnalyticsView]:
    return [each for each in snapshot.platform.analytics if choice.includes(each.described.name)]


def _shared(wanted: Sequence[int], rows: int) -> list[int]:
    """The rows of several tables, as even as what each needs allows; the first ones get what is left over."""
    given = [0] * len(wanted)
    while rows > 0 and (open_tables := [index for index, count in enumerate(wanted) if given[index] < count]):
        for index in open_tables[:rows]:
            step = min(wanted[index] - given[index], max(1, rows // len(open_tables)))
            given[index] += step
            rows -= step
            if rows <= 0:
                break
    return given


def _title(snapshot: Snapshot, hint: str) -> RenderableType:
    moves = snapshot.verdict.code is VerdictCode.FLOWING
    style = "bold green" if moves else "bold yellow" if snapshot.ok else "bold red"
    style = "bold" if snapshot.verdict.code is VerdictCode.WAITING else style
    return styled((f"{local_clock(snapshot.ts_ms)}  {hint}".rstrip() + "  ", "dim"), (snapshot.verdict.text, style))


def _hops(snapshot: Snapshot, width: int) -> list[RenderableType]:
    """The hops and the flows between them, in a row or one below the other."""
    names = [styled(hop.title, style="bold") for hop in snapshot.hops]
    figures = [styled(_DOTS[hop.state], f" {hop.figure}") for hop in snapshot.hops]
    details = [styled(hop.detail, style="dim") for hop in snapshot.hops]
    flows = [styled(flow.text, style="cyan") for flow in snapshot.flows]
    if width < _NARROW:
        table = Table.grid(padding=(0, 2))
        for _ in range(3 if width < _SLIM else 4):
            table.add_column(no_wrap=True, overflow="ellipsis")
        for number in range(len(snapshot.hops)):
            arriving = styled(("↓ ", "dim"), flows[number - 1]) if number else ""
            cells_of_hop = (names[number], figures[number], arriving, details[number])
            table.add_row(*cells_of_hop[: len(table.columns)])
        return [table]
    table = Table.grid(padding=(0, 1), expand=True)
    cells: list[list[RenderableType]] = [[], [], []]
    for number in range(len(snapshot.hops)):
        table.add_column(overflow="fold")
        for line, text in zip(cells, (names[number], figures[number], details[number]), strict=True):
            line.append(text)
        if number < len(flows):
            table.add_column(justify="center", no_wrap=True)
            arrow = styled("───────→", style="dim")
            for line, text in zip(cells, (flows[number], arrow, styled()), strict=True):
                line.append(text)
    for line in cells:
        table.add_row(*line)
    return [table]


def _reasons(snapshot: Snapshot) -> list[RenderableType]:
    """Why something is unknown: each reason once, at the first hop that has it."""
    first = {hop.unknown: hop.title for hop in reversed(snapshot.hops) if hop.unknown is not None}
    return [styled((f"{title}: unknown. ", "magenta"), reason) for reason, title in reversed(list(first.items()))]


def _groups(view: AnalyticsView, shown: Shown[GroupView], rows: int, snapshot: Snapshot, width: int) -> Table:
    described = view.described
    several = len(snapshot.platform.analytics) > 1
    # Columns that do not fit on a narrow screen.
    has_readings, has_bars = width >= _SLIM, width >= _VERY_SLIM
    left = width - _FIXED_COLUMNS - (12 if has_readings else 0) - (_FEWEST_BARS if has_bars else 0)
    keys = described.keys[: max(1, left // _VALUE_COLUMN)]
    title = f"{described.name}: {described.every}" if several else capitalised(described.groups)
    if len(keys) < len(described.keys):
        title += f", {len(keys)} of {len(described.keys)} keys"
    table = _table(title, rows, shown.found, view.groups_total)
    table.add_column(capitalised(described.group), overflow="ellipsis", no_wrap=True, min_width=8)
    for key in keys:
        heading = capitalised(described.result) if len(described.keys) == 1 and not several else key.title
        table.add_column(heading, justify="right", overflow="ellipsis", no_wrap=True, min_width=7)
    table.add_column("Ended", justify="right", no_wrap=True, min_width=10)
    if has_readings:
        table.add_column("Readings", justify="right", no_wrap=True)
    if has_bars:
        about = f"Last {described.results}" if len(described.keys) == 1 else f"Last {keys[0].title}"
        table.add_column(about, overflow="ellipsis", no_wrap=True)
    bars = max(5, min(60, width - (58 if has_readings else 46) - _VALUE_COLUMN * (len(keys) - 1)))
    for group in shown.items[:rows]:
        name, values, age, readings, bar = _group_row(group, view, [key.key for key in keys], snapshot.ts_ms, bars)
        table.add_row(name, *values, age, *[readings] * has_readings, *[bar] * has_bars)
    return table


def _group_row(
    group: GroupView, view: AnalyticsView, keys: Sequence[str], now_ms: int, bars: int
) -> tuple[RenderableType, list[RenderableType], RenderableType, RenderableType, RenderableType]:
    latest = group.latest
    if latest is None:
        reason = styled(group.unknown or "", style="dim")
        # Rich would drop a column to make room for the whole text.
        reason.truncate(max(bars, 12), overflow="ellipsis")
        return group.name, ["–" for _ in keys], "–", "–", reason
    style = "bold" if group.is_fresh(now_ms, view.described, view.round_ms) else "yellow"
    series = [result.values[keys[0]] for result in group.results if keys[0] in result.values]
    return (
        group.name,
        [styled(result_text(group, key), style=style) for key in keys],
        age_text(group.age_seconds(now_ms, view.described)),
        "?" if latest.readings is None else f"{latest.readings:,}",
        styled(sparkline(series, bars), style="cyan"),
    )


def _devices(snapshot: Snapshot, rows: int, width: int) -> Table:
    devices, words = snapshot.platform.devices, snapshot.description
    has_attributes = width >= _SLIM and bool(words.attributes)
    left = width - _FIXED_COLUMNS - 10 - (20 if has_attributes else 0)
    keys = words.telemetry[: max(1, left // _VALUE_COLUMN)]
    title = "Devices"
    if len(keys) < len(words.telemetry):
        title += f", {len(keys)} of {len(words.telemetry)} keys"
    total = snapshot.platform.devices_total
    table = _table(title, rows, total, total)
    table.add_column("Device", overflow="ellipsis", no_wrap=True, min_width=8)
    for key in keys:
        heading = "Last" if len(words.telemetry) == 1 else key.title
        table.add_column(heading, justify="right", overflow="ellipsis", no_wrap=True)
    table.add_column("Measured", justify="right", no_wrap=True)
    table.add_column("Rate", justify="right", no_wrap=True)
    if has_attributes:
        titles = " / ".join(attribute.title for attribute in words.attributes)
        table.add_column(capitalised(titles), overflow="ellipsis", no_wrap=True)
    for device in devices[:rows]:
        name, values, age, rate, attributes = _device_row(device, [key.key for key in keys], snapshot)
        table.add_row(name, *values, age, rate, *[attributes] * has_attributes)
    return table


def _device_row(
    device: DeviceView, keys: Sequence[str], snapshot: Snapshot
) -> tuple[RenderableType, list[RenderableType], RenderableType, RenderableType, RenderableType]:
    attributes = " / ".join(device.attributes.get(attribute.key, "–") for attribute in snapshot.description.attributes)
    if device.ts_ms is None:
        about = styled(f"{attributes} ", (device.unknown or "", "dim"))
        return device.name, ["–" for _ in keys], "–", "–", about
    style = "bold" if device.is_reporting else "yellow"
    return (
        device.name,
        [styled(value_text(device.values.get(key)), style=style) for key in keys],
        age_text(max(0, snapshot.ts_ms - device.ts_ms) / 1000),
        rate_text(device.rate),
        attributes,
    )


def _table(title: str, rows: int, found: int, total: int) -> Table:
    """With what is left out in its title."""
    cut = f" (showing {rows:,} of {found:,})" if rows < found else f" ({found:,} of {total:,})" if found < total else ""
    return Table(
        title=f"{title}{cut}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
    )


def _job(snapshot: Snapshot) -> RenderableType:
    job = snapshot.job
    if job.unknown is not None:
        return styled(("Job  ", "bold"), ("unknown", "dim"))
    rejects = sum(job.rejects.values())
    lag = "not known" if snapshot.lag is None else f"{snapshot.lag:,}"
    words = snapshot.description.results
    parts = [
        f"{job.state}, lag {lag}, {rejects:,} invalid records, {job.posted:,} {words} posted",
        f"{job.corrections:,} corrections, {job.open_windows or 0} windows open",
    ]
    if job.refused:
        parts.append(f"{job.refused:,} refused by the platform")
    text = styled(("Job  ", "bold"), ", ".join(parts))
    if rejects:
        reason, count = next(iter(job.rejects.items()))
        text.append("\n     ").append_text(styled(f"most invalid: {count:,} x {reason}", style="yellow"))
    if job.last_function_failure is not None:
        failure = f"{job.function_failures:,} windows without results: {job.last_function_failure}"
        text.append("\n     ").append_text(styled(failure, style="yellow"))
    return text


def line(snapshot: Snapshot, choice: Choice = EVERYTHING) -> str:
    """One line for a pipe or a log: time, results, rate, lag, invalid records; the verdict unless all data flows."""
    parts = [local_clock(snapshot.ts_ms)]
    for each in _views(snapshot, choice):
        shown = each.chosen(choice, snapshot.ts_ms)
        parts += [_group_text(group, each, snapshot) for group in shown.items[:_IN_LINE]]
        if (more := shown.found - min(len(shown.items), _IN_LINE)) > 0:
            parts.append(f"and {more:,} more {each.described.groups}")
    if snapshot.platform.rate is not None:
        parts.append(snapshot.flows[0].text)
    if snapshot.job.unknown is None:
        lag = "not known" if snapshot.lag is None else f"{snapshot.lag}"
        parts.append(f"job {snapshot.job.state}, lag {lag}, {sum(snapshot.job.rejects.values())} invalid records")
    if snapshot.alarms.alarms:
        parts.append(snapshot.alarms.summary)
    if snapshot.verdict.code is not VerdictCode.FLOWING:
        parts.append(snapshot.verdict.text)
    return " | ".join(parts)


def _group_text(group: GroupView, view: AnalyticsView, snapshot: Snapshot) -> str:
    described, latest = view.described, group.latest
    owner = f"{described.name}: " if len(snapshot.platform.analytics) > 1 else ""
    if latest is None:
        return f"{owner}{group.name} –"
    texts = [f"{key.title} {result_text(group, key.key)}" for key in described.keys]
    shown = result_text(group, described.keys[0].key) if len(texts) == 1 else ", ".join(texts)
    readings = "" if latest.readings is None else f", {latest.readings} readings"
    return f"{owner}{group.name} {shown} ({age_text(group.age_seconds(snapshot.ts_ms, described))}{readings})"


# Numbers as text; the page's script (resources/page/words.js) writes them in the same way.


def value_text(value: float | str | None, digits: int = 2) -> str:
    """A float with `digits` decimals; everything else unchanged."""
    if value is None:
        return "–"
    return f"{value:,.{digits}f}" if isinstance(value, float) else str(value)


def result_text(group: GroupView, key: str) -> str:
    """The newest value of a key: without decimals where all its values are whole numbers, as counts are."""
    values = [result.values[key] for result in group.results if key in result.values]
    return value_text(values[-1] if values else None, 0 if all(map(float.is_integer, values)) else 2)


def rate_text(rate: float | None) -> str:
    """ "9.9 /s", or ? when it is not known."""
    if rate is None:
        return "?"
    return f"{rate:,.0f} /s" if rate >= 100 else f"{rate:.1f} /s"


def sparkline(values: Sequence[float], width: int) -> str:
    """The newest `width` values as bars between their least and greatest; bars of one height when all are equal."""
    shown = values[-width:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    if high == low:
        return BARS[3] * len(shown)
    return "".join(BARS[round((value - low) / (high - low) * (len(BARS) - 1))] for value in shown)
