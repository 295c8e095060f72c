"""How a snapshot looks in a terminal, whatever its size; and as one plain line where there is none."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pacifictool.watch.model import DeviceView, Snapshot, ZoneView
from pacifictool.watch.wording import age_text, clock_text, rate_text, sparkline, value_text

_DOTS = {"flowing": ("●", "green"), "still": ("○", "yellow"), "unknown": ("?", "magenta")}
_HEADROOM = 13
"""Lines that are not rows of zones or devices."""
_NARROW = 100
"""Below so many columns the hops stand one under another."""


def view(snapshot: Snapshot, *, width: int, height: int | None, footer: str = "") -> RenderableType:
    """Everything there is to see; with a `height`, as many rows as fit into it, and how many do not."""
    narrow = width < _NARROW
    room = 10_000 if height is None else max(2, height - _HEADROOM - (5 if narrow else 0))
    zones, devices = _share(room, len(snapshot.platform.zones), len(snapshot.platform.devices))
    parts: list[RenderableType] = [
        _title(snapshot),
        Text(),
        *_way(snapshot, narrow=narrow),
        *_reasons(snapshot),
        Text(),
    ]
    parts += [_zones(snapshot, zones, width), _devices(snapshot, devices), _job(snapshot)]
    parts += [Text(note, style="dim") for note in snapshot.platform.notes]
    if footer:
        parts.append(Text(footer, style="dim"))
    return Group(*parts)


def _share(room: int, zones: int, devices: int) -> tuple[int, int]:
    """Rows for zones and devices: zones go first, but devices keep at least a third."""
    shown_zones = min(zones, max(1, room - min(devices, room // 3)))
    return shown_zones, min(devices, max(1, room - shown_zones))


def _title(snapshot: Snapshot) -> Text:
    moves = snapshot.verdict.startswith("Data moves from end to end.")
    style = "bold green" if moves else "bold yellow" if snapshot.ok else "bold red"
    return Text.assemble((clock_text(snapshot.ts_ms), "dim"), "  ", (snapshot.verdict, style))


def _way(snapshot: Snapshot, *, narrow: bool) -> list[RenderableType]:
    """The hops and what flows between them, in a row or one under another."""
    names = [f"[bold]{escape(hop.title)}[/bold]" for hop in snapshot.hops]
    figures = []
    for hop in snapshot.hops:
        dot, style = _DOTS[hop.state]
        figures.append(f"[{style}]{dot}[/{style}] {escape(hop.figure)}")
    flows = [f"[cyan]{escape(flow.text)}[/cyan]" for flow in snapshot.flows]
    if narrow:
        table = Table.grid(padding=(0, 2))
        for number, hop in enumerate(snapshot.hops):
            arriving = f"[dim]↓[/dim] {flows[number - 1]}" if number else ""
            table.add_row(names[number], figures[number], arriving, f"[dim]{escape(hop.detail)}[/dim]")
        return [table]
    table = Table.grid(padding=(0, 1), expand=True)
    cells: list[list[str]] = [[], [], []]
    for number, hop in enumerate(snapshot.hops):
        table.add_column(overflow="fold")
        for line, text in zip(cells, (names[number], figures[number], f"[dim]{escape(hop.detail)}[/dim]"), strict=True):
            line.append(text)
        if number < len(flows):
            table.add_column(justify="center", no_wrap=True)
            for line, text in zip(cells, (flows[number], "[dim]───────→[/dim]", ""), strict=True):
                line.append(text)
    for line in cells:
        table.add_row(*line)
    return [table]


def _reasons(snapshot: Snapshot) -> list[RenderableType]:
    """Why something is unknown; each reason once, at the first hop that has it."""
    first = {hop.unknown: hop.title for hop in reversed(snapshot.hops) if hop.unknown is not None}
    return [
        Text.assemble((f"{title}: unknown, because ", "magenta"), reason)
        for reason, title in reversed(list(first.items()))
    ]


def _zones(snapshot: Snapshot, rows: int, width: int) -> Table:
    zones = snapshot.platform.zones
    table = _table("Zones", len(zones), rows)
    table.add_column("Zone", overflow="ellipsis", no_wrap=True, min_width=8)
    table.add_column("Mean", justify="right", no_wrap=True)
    table.add_column("Window ended", justify="right", no_wrap=True)
    table.add_column("Readings", justify="right", no_wrap=True)
    table.add_column("Last means", overflow="ellipsis", no_wrap=True)
    bars = max(8, min(60, width - 56))
    for zone in zones[:rows]:
        table.add_row(*_zone_row(zone, snapshot, bars))
    return table


def _zone_row(zone: ZoneView, snapshot: Snapshot, bars: int) -> tuple[str, ...]:
    latest = zone.latest
    if latest is None:
        return escape(zone.name), "–", "–", "–", f"[dim]{escape(zone.unknown or '')}[/dim]"
    style = "bold" if zone.is_fresh(snapshot.ts_ms, snapshot.window_ms) else "yellow"
    return (
        escape(zone.name),
        f"[{style}]{value_text(latest.value)}[/{style}]",
        age_text(zone.age_seconds(snapshot.ts_ms)),
        "?" if latest.readings is None else f"{latest.readings:,}",
        f"[cyan]{sparkline([mean.value for mean in zone.means], bars)}[/cyan]",
    )


def _devices(snapshot: Snapshot, rows: int) -> Table:
    devices = snapshot.platform.devices
    table = _table("Devices", snapshot.platform.devices_total, rows)
    table.add_column("Device", overflow="ellipsis", no_wrap=True, min_width=8)
    table.add_column("Last", justify="right", no_wrap=True)
    table.add_column("Measured", justify="right", no_wrap=True)
    table.add_column("Rate", justify="right", no_wrap=True)
    table.add_column("Zone", overflow="ellipsis", no_wrap=True)
    for device in devices[:rows]:
        table.add_row(*_device_row(device, snapshot.ts_ms))
    return table


def _device_row(device: DeviceView, now_ms: int) -> tuple[str, ...]:
    zone = escape(device.zone or "–")
    if device.ts_ms is None:
        return escape(device.name), "–", "–", "–", f"{zone} [dim]{escape(device.unknown or '')}[/dim]"
    style = "bold" if device.is_reporting else "yellow"
    return (
        escape(device.name),
        f"[{style}]{escape(value_text(device.value))}[/{style}]",
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


def _job(snapshot: Snapshot) -> Text:
    job = snapshot.job
    if job.unknown is not None:
        return Text.assemble(("Job  ", "bold"), ("unknown", "dim"))
    rejects = sum(job.rejects.values())
    lag = "not known" if snapshot.lag is None else f"{snapshot.lag:,}"
    parts = [
        f"{job.state}, lag {lag}, {rejects:,} rejects, {job.posted:,} means posted",
        f"{job.corrections:,} corrections, {job.open_windows or 0} windows open",
    ]
    if job.refused:
        parts.append(f"{job.refused:,} refused by the platform")
    text = Text.assemble(("Job  ", "bold"), ", ".join(parts))
    if rejects:
        reason, count = next(iter(job.rejects.items()))
        text.append(f"\n     most rejects: {count:,} x {reason}", style="yellow")
    return text


def line(snapshot: Snapshot) -> str:
    """One line for a pipe or a log: time, means, rate, lag, rejects; and the verdict unless all is well."""
    parts = [clock_text(snapshot.ts_ms)]
    for zone in snapshot.platform.zones:
        latest = zone.latest
        readings = "" if latest is None or latest.readings is None else f", {latest.readings} readings"
        age = age_text(zone.age_seconds(snapshot.ts_ms))
        parts.append(f"{zone.name} {'–' if latest is None else f'{latest.value:.2f} ({age}{readings})'}")
    if snapshot.platform.rate is not None:
        parts.append(snapshot.flows[0].text)
    if snapshot.job.unknown is None:
        lag = "not known" if snapshot.lag is None else f"{snapshot.lag}"
        parts.append(f"job {snapshot.job.state}, lag {lag}, {sum(snapshot.job.rejects.values())} rejects")
    if not snapshot.verdict.startswith("Data moves from end to end."):
        parts.append(snapshot.verdict)
    return " | ".join(parts)
