"""`telemetry show`: what a device or asset has sent or got."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.attributes import AssetOption, NameArgument
from pacifictool.cli.entities import ASSET, DEVICE, require
from pacifictool.cli.framework import group_app, session_of, subcommand
from pacifictool.cli.options import seconds_option
from pacifictool.cli.render import table
from pacifictool.errors import UsageError
from pacifictool.tools.times import utc_text

if TYPE_CHECKING:
    from pacifictool.console import Console
    from pacifictool.rest import AnyEntity, Platform, Point

app = group_app("Show telemetry of a device or asset.")


@subcommand(
    app,
    'pacifictool telemetry show "Zone A" --asset',
    'pacifictool telemetry show "Wind Turbine 1" --key windSpeed --last 10m -o json',
)
def show(
    ctx: typer.Context,
    name: NameArgument,
    key: Annotated[
        list[str] | None, typer.Option("--key", metavar="KEY", help="Only this key; repeatable. (default: all)")
    ] = None,
    last: Annotated[
        str | None, typer.Option(metavar="TIME", help="Every point of this time, for example 10m, not just the latest.")
    ] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, max=10_000, help="With --last: at most N points of a key, the newest.")
    ] = 100,
    asset: AssetOption = False,
) -> None:
    """Show the latest value of each key, or with --last the points of a time, the oldest first."""
    session = session_of(ctx)
    seconds = None if last is None else seconds_option("--last", last)
    if seconds is not None and seconds <= 0:
        raise UsageError("--last must be more than 0.", hint="For example 10m or 6h.")
    with session.connect() as platform, session.slow_task(f"Reading telemetry of {name}"):
        entity = require(platform, ASSET if asset else DEVICE, name)
        found = _latest(platform, entity, key) if seconds is None else _last(platform, entity, key, seconds, limit + 1)
    cut = [one for one, points in found.items() if len(points) > limit]
    shown = {one: points[-limit:] for one, points in found.items()}

    def render(console: Console) -> None:
        rows = [
            [one, utc_text(point.ts_ms), json.dumps(point.value, ensure_ascii=False)]
            for one, points in shown.items()
            for point in points
        ]
        console.print(table(f"Telemetry of {name}", {"Key": "left", "Time": "left", "Value": "right"}, rows))
        if cut:
            console.print(f"There are more points of {', '.join(cut)}: these are the newest {limit}. See --limit.")

    document: dict[str, Any] = {
        one: [{"ts": point.ts_ms, "value": point.value} for point in points] for one, points in shown.items()
    }
    session.output.emit({"ok": True, "name": name, "telemetry": document, "cut": cut}, render)


def _latest(platform: Platform, entity: AnyEntity, keys: list[str] | None) -> dict[str, list[Point]]:
    latest = platform.telemetry.latest(entity, keys)
    return {key: [] if point is None else [point] for key, point in sorted(latest.items())}


def _last(
    platform: Platform, entity: AnyEntity, keys: list[str] | None, seconds: float, limit: int
) -> dict[str, list[Point]]:
    """The newest points of that time. Clocks of devices may be ahead, so the time ends a day from now."""
    now_ms = round(time.time() * 1000)
    wanted = keys or sorted(platform.telemetry.keys(entity))
    return platform.telemetry.newest(entity, wanted, now_ms - round(seconds * 1000), now_ms + _A_DAY_MS, limit)


_A_DAY_MS = 86_400_000
