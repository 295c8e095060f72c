"""A snapshot as text: in a terminal of any size, and as one plain line without one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from pacifictool.console import Console, styled
from pacifictool.tools.times import age_text, local_clock
from pacifictool.watch.model import DeviceView, Snapshot, VerdictCode, ZoneView

_DOTS = {"flowing": ("●", "green"), "still": ("○", "yellow"), "unknown": ("?", "magenta")}
BARS: Final = "▁▂▃▄▅▆▇█"
_NARROW = 100
"""Below this number of columns, the hops are listed one below the other."""
_SLIM, _VERY_SLIM = 70, 50
"""Below this number of columns, only the most important table columns are shown."""


def fitted(snapshot: Snapshot, console: Console, hint: str) -> RenderableType:
    """The view with as many rows as fit on the console's screen; without the hops when they do not fit."""
    width, height = console.size
    everything = len(snapshot.platform.zones) + len(snapshot.platform.devices)
    for brief in (False, True):
        rows = everything
        while True:
            shown = view(snapshot, width=width, rows=rows, hint=hint, brief=brief)
            excess = len(console.render_lines(shown, pad=False)) - height
            if excess <= 0 or (brief and rows <= 1):
                return shown
            if rows <= 2:
                break
            rows = max(1, min(rows - 1, rows - excess))
    return shown


def view(
    snapshot: Snapshot, *, width: int, rows: int | None = None, hint: str = "", brief: bool = False
) -> RenderableType:
    """The whole view, with `rows` rows for zones and devices together (None: all); `brief` leaves out the hops and the
    job. `hint` is in the first line."""
    platform = snapshot.platform
    zones, devices = len(platform.zones), len(platform.devices)
    if rows is not None:
        # Zones go first, but devices keep at least a third.
        zones = min(zones, max(1, rows - min(devices, rows // 3)))
        devices = min(devices, max(0, rows - zones))
    slim = width < _SLIM
    parts: list[RenderableType] = [_title(snapshot, hint)]
    if not brief:
        parts += ["", *_hops(snapshot, width), *_reasons(snapshot)]
    parts += ["", _zones(snapshot, zones, width)]
    if devices or not brief:
        parts.append(_devices(snapshot, devices, slim=slim))
    if not brief:
        parts += [_job(snapshot), *(styled(note, style="dim") for note in platform.notes)]
    return Group(*parts)


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
    return [
        styled((f"{title}: unknown, because ", "magenta"), reason) for reason, title in reversed(list(first.items()))
    ]


def _zones(snapshot: Snapshot, rows: int, width: int) -> Table:
    zones = snapshot.platform.zones
    table = _table("Zones", len(zones), rows)
    table.add_column("Zone", overflow="ellipsis", no_wrap=True, min_width=8)
    table.add_column("Mean", justify="right", no_wrap=True, min_width=7)
    table.add_column("Ended", justify="right", no_wrap=True, min_width=10)
    # Columns that do not fit on a narrow screen.
    has_readings, has_bars = width >= _SLIM, width >= _VERY_SLIM
    if has_readings:
        table.add_column("Readings", justify="right", no_wrap=True)
    if has_bars:
        table.add_column("Last means", overflow="ellipsis", no_wrap=True)
    bars = max(5, min(60, width - (58 if has_readings else 46)))
    for zone in zones[:rows]:
        name, mean, age, readings, bar = _zone_row(zone, snapshot, bars)
        table.add_row(name, mean, age, *[readings] * has_readings, *[bar] * has_bars)
    return table


def _zone_row(zone: ZoneView, snapshot: Snapshot, bars: int) -> tuple[RenderableType, ...]:
    latest = zone.latest
    if latest is None:
        reason = styled(zone.unknown or "", style="dim")
        # Rich would drop a column to make room for the whole text.
        reason.truncate(max(bars, 12), overflow="ellipsis")
        return zone.name, "–", "–", "–", reason
    style = "bold" if zone.is_fresh(snapshot.ts_ms, snapshot.window_ms) else "yellow"
    return (
        zone.name,
        styled(value_text(latest.value), style=style),
        age_text(zone.age_seconds(snapshot.ts_ms)),
        "?" if latest.readings is None else f"{latest.readings:,}",
        styled(sparkline([mean.value for mean in zone.means], bars), style="cyan"),
    )


def _devices(snapshot: Snapshot, rows: int, *, slim: bool) -> Table:
    devices = snapshot.platform.devices
    table = _table("Devices", snapshot.platform.devices_total, rows)
    table.add_column("Device", overflow="ellipsis", no_wrap=True, min_width=8)
    table.add_column("Last", justify="right", no_wrap=True)
    table.add_column("Measured", justify="right", no_wrap=True)
    table.add_column("Rate", justify="right", no_wrap=True)
    if not slim:
        table.add_column("Zone", overflow="ellipsis", no_wrap=True)
    for device in devices[:rows]:
        table.add_row(*_device_row(device, snapshot.ts_ms)[: len(table.columns)])
    return table


def _device_row(device: DeviceView, now_ms: int) -> tuple[RenderableType, ...]:
    zone = device.zone or "–"
    if device.ts_ms is None:
        return device.name, "–", "–", "–", styled(f"{zone} ", (device.unknown or "", "dim"))
    style = "bold" if device.is_reporting else "yellow"
    return (
        device.name,
        styled(value_text(device.value), style=style),
        age_text(max(0, now_ms - device.ts_ms) / 1000),
        rate_text(device.rate),
        zone,
    )


def _table(title: str, total: int, rows: int) -> Table:
    cut = f" ({rows} of {total:,})" if rows < total else ""
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
    parts = [
        f"{job.state}, lag {lag}, {rejects:,} invalid records, {job.posted:,} means posted",
        f"{job.corrections:,} corrections, {job.open_windows or 0} windows open",
    ]
    if job.refused:
        parts.append(f"{job.refused:,} refused by the platform")
    text = styled(("Job  ", "bold"), ", ".join(parts))
    if rejects:
        reason, count = next(iter(job.rejects.items()))
        text.append("\n     ").append_text(styled(f"most invalid: {count:,} x {reason}", style="yellow"))
    return text


def line(snapshot: Snapshot) -> str:
    """One line for a pipe or a log: time, means, rate, lag, invalid records; and the verdict unless all data flows."""
    parts = [local_clock(snapshot.ts_ms)]
    for zone in snapshot.platform.zones:
        latest = zone.latest
        readings = "" if latest is None or latest.readings is None else f", {latest.readings} readings"
        age = age_text(zone.age_seconds(snapshot.ts_ms))
        parts.append(f"{zone.name} {'–' if latest is None else f'{latest.value:.2f} ({age}{readings})'}")
    if snapshot.platform.rate is not None:
        parts.append(snapshot.flows[0].text)
    if snapshot.job.unknown is None:
        lag = "not known" if snapshot.lag is None else f"{snapshot.lag}"
        parts.append(f"job {snapshot.job.state}, lag {lag}, {sum(snapshot.job.rejects.values())} invalid records")
    if snapshot.verdict.code is not VerdictCode.FLOWING:
        parts.append(snapshot.verdict.text)
    return " | ".join(parts)


# Numbers as text; the page's script (resources/page/words.js) writes them in the same way.


def value_text(value: float | str | None, digits: int = 2) -> str:
    """A float with `digits` decimals; everything else unchanged."""
    if value is None:
        return "–"
    return f"{value:,.{digits}f}" if isinstance(value, float) else str(value)


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
