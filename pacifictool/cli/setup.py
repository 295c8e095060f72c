"""`setup`: makes the server what the scenario says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.framework import command_app, session_of
from pacifictool.mqtt import ANALYTICS_GATEWAY

if TYPE_CHECKING:
    from pacifictool.plan import Plan

app, command = command_app()

_NAMED_STEPS = 30
"""Up to so many steps are listed one by one; of fleets, the counts say more."""


@command
def setup(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done and touch nothing.")] = False,
    fleet: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Make the first N turbines of the scenario's fleet instead of its turbines."
        ),
    ] = None,
    add_partitions: Annotated[
        bool, typer.Option("--add-partitions", help="Give an existing topic as many partitions as the scenario asks.")
    ] = False,
    gateway: Annotated[
        bool, typer.Option("--gateway", help="Also make the gateway that `aggregate --sink gateway` publishes through.")
    ] = False,
    gateway_device: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"Name of the gateway; implies --gateway. (default: {ANALYTICS_GATEWAY})"),
    ] = None,
    dashboard: Annotated[
        bool,
        typer.Option(
            "--dashboard", help="Also make a dashboard in the platform's web UI: zones over time, turbines now."
        ),
    ] = False,
    plugin: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your own plugin instead of the tutorial's.")
    ] = None,
    rule: Annotated[Path | None, typer.Option(metavar="FILE", help="Your own rule instead of the tutorial's.")] = None,
    rule_chain: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Your own rule chain instead of the tutorial's (platform 2.0 and later)."),
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=1, max=256, help="Requests under way at once.")] = 16,
) -> None:
    """Compare the scenario with the server and make it so: topic, forwarding, devices, attributes, assets.

    A second run changes nothing and says so; a run after one that failed half-way finishes its work.
    """
    from pacifictool.provisioning.apply import apply_plan
    from pacifictool.provisioning.forwarding import forwarding_spec
    from pacifictool.provisioning.setup import Provisioner

    session = session_of(ctx)
    settings = session.settings
    scenario = session.scenario if fleet is None else session.scenario.with_fleet(fleet)
    spec = forwarding_spec(settings, scenario, plugin_file=plugin, rule_file=rule, rule_chain_file=rule_chain)
    with session.connect() as platform:
        plan = Provisioner(
            platform,
            settings,
            scenario,
            spec,
            add_partitions=add_partitions,
            gateway=gateway_device or (ANALYTICS_GATEWAY if gateway else None),
            dashboard=dashboard,
            reporter=session.reporter,
            stop=session.stop,
        ).plan()
        if not dry_run:
            apply_plan(plan, workers=workers, reporter=session.reporter, stop=session.stop)
        server = {"generation": platform.generation(), "version": platform.version}
        title = f"Setup of {settings.url} ({platform.kind})" + (", a dry run: nothing was touched" if dry_run else "")
    session.output.emit(
        {"ok": True, "dry_run": dry_run, "server": server, **plan.as_document()},
        lambda console: render_plan(console, plan, title),
    )


def render_plan(console: Any, plan: Plan, title: str) -> None:
    """The steps, or for fleets their counts by kind, and the sum."""
    from pacifictool.cli.render import table
    from pacifictool.plan import ChangeAction, Kind

    if not plan.changes:
        console.print(f"{title}: there is nothing of the scenario.")
        return
    if len(plan.changes) <= _NAMED_STEPS:
        rows = [[change.kind, change.name, change.action, "; ".join(change.differences)] for change in plan.changes]
        console.print(table(title, {"Kind": "left", "Name": "left", "Result": "left", "": "left"}, rows))
    else:
        used = [action for action in ChangeAction if plan.count(action)]
        rows = [[kind, *(str(plan.count(action, kind)) for action in used)] for kind in Kind if plan.of_kind(kind)]
        columns = {"Kind": "left"} | {str(action).capitalize(): "right" for action in used}
        console.print(table(title, columns, rows))
    counts = [
        f"{plan.count(action)} {action}" for action in (ChangeAction.CREATE, ChangeAction.CHANGE, ChangeAction.KEEP)
    ]
    if plan.count(ChangeAction.DELETE):
        used = [action for action in (ChangeAction.DELETE, ChangeAction.CHANGE) if plan.count(action)]
        counts = [f"{plan.count(action)} {action}" for action in used]
    console.print(", ".join(counts))
