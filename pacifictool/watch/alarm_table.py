"""Alarms as text: a table that fits the terminal's width, or one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich import box
from rich.console import RenderableType
from rich.table import Table

from pacifictool.console import styled
from pacifictool.rest import EntityAlarm
from pacifictool.tools.times import age_text
from pacifictool.watch.model import Snapshot

STYLES: Final = {
    "CRITICAL": "bold red",
    "MAJOR": "red",
    "MINOR": "yellow",
    "WARNING": "cyan",
    "INDETERMINATE": "magenta",
}
_SLIM, _VERY_SLIM = 90, 60
"""Below these numbers of columns there are no details, and no times."""


def alarm_lines(snapshot: Snapshot, width: int, rows: int | None) -> list[RenderableType]:
    """The most urgent alarms, up to `rows` of them (None: all; 0: one line about all), or why there are none."""
    state, label = snapshot.alarms, ("Alarms  ", "bold")
    if not state.alarms:
        if state.unknown is None:
            none = "none active" if state.pending is None else "none found so far"
            return [styled(label, (none, "dim"))] if rows != 0 else []
        # The platform's own failure is shown once.
        is_known = state.unknown == snapshot.platform.unknown
        return [styled(label, ("unknown" if is_known else f"unknown. {state.unknown}", "dim"))]
    if rows == 0:
        first = state.alarms[0].info.severity
        return [styled(label, (state.summary, STYLES[first]))]
    return [_table(snapshot, width, state.alarms if rows is None else state.alarms[:rows])]


def _table(snapshot: Snapshot, width: int, shown: Sequence[EntityAlarm]) -> Table:
    total = len(snapshot.alarms.alarms)
    cut = f" (showing {len(shown):,} of {total:,})" if len(shown) < total else ""
    table = Table(
        title=f"{total:,} active alarm{'' if total == 1 else 's'}{cut}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
    )
    table.add_column("Severity", no_wrap=True, min_width=max(len(alarm.info.severity) for alarm in shown))
    for heading in ("Type", "Entity"):
        table.add_column(heading, no_wrap=True)
    has_times, has_details = width >= _VERY_SLIM, width >= _SLIM
    if has_times:
        table.add_column("Since", justify="right", no_wrap=True, min_width=10)
    if has_details:
        table.add_column("Details", no_wrap=True)
    # Rich would drop a column to make room for a long text.
    name = width // 4 if has_times else (width - 18) // 2
    for alarm in shown:
        type_, entity, details = styled(alarm.info.type), styled(alarm.entity), styled(alarm.details_text(width))
        for text, cells in ((type_, name), (entity, name), (details, width - 2 * name - 40)):
            text.truncate(max(8, cells), overflow="ellipsis")
        table.add_row(
            styled(alarm.info.severity, style=STYLES[alarm.info.severity]),
            type_,
            entity,
            *[age_text(_age_seconds(alarm, snapshot))] * has_times,
            *[details] * has_details,
        )
    return table


def _age_seconds(alarm: EntityAlarm, snapshot: Snapshot) -> float:
    return max(0, snapshot.ts_ms - alarm.info.start_ms) / 1000
