"""`teardown`: removes what the scenario describes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pacifictool.cli.confirm import confirm
from pacifictool.cli.framework import command_app, session_of
from pacifictool.cli.setup import render_plan
from pacifictool.mqtt import ANALYTICS_GATEWAY

app, command = command_app()


@command
def teardown(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted and touch nothing.")] = False,
    fleet: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Remove the first N turbines of the scenario's fleet instead of its turbines."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    topic: Annotated[bool, typer.Option("--topic", help="Delete the Kafka topic, too, with its records.")] = False,
    gateway_device: Annotated[
        str, typer.Option(metavar="NAME", help="The gateway that setup was told to make.")
    ] = ANALYTICS_GATEWAY,
    plugin: Annotated[Path | None, typer.Option(metavar="FILE", help="The plugin file that setup was given.")] = None,
    rule: Annotated[Path | None, typer.Option(metavar="FILE", help="The rule file that setup was given.")] = None,
    rule_chain: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The rule chain file that setup was given.")
    ] = None,
) -> None:
    """Remove the rule and plugin (or rule chain), devices and assets that the scenario describes, and nothing else.

    The gateway goes, too, and with it the devices that it made for the scenario's zones; so does the dashboard.
    A server of the 1.x generation survives only three rule deletions a minute; teardown waits when it must.
    """
    from pacifictool.kafka.topics import KafkaAdmin
    from pacifictool.plan import ChangeAction
    from pacifictool.provisioning.apply import apply_plan
    from pacifictool.provisioning.forwarding import forwarding_spec
    from pacifictool.provisioning.teardown import Teardown

    session = session_of(ctx)
    settings = session.settings
    scenario = session.scenario if fleet is None else session.scenario.with_fleet(fleet)
    spec = forwarding_spec(settings, scenario, plugin_file=plugin, rule_file=rule, rule_chain_file=rule_chain)
    admin = KafkaAdmin(settings.kafka) if topic else None
    with session.connect() as platform:
        plan = Teardown(
            platform,
            scenario,
            spec,
            admin=admin,
            gateway=gateway_device,
            reporter=session.reporter,
        ).plan()
        if not dry_run and plan.pending:
            confirm(session, f"Delete {plan.count(ChangeAction.DELETE)} things at {settings.url}?", yes=yes)
            apply_plan(plan, reporter=session.reporter, stop=session.stop)
        server = {"generation": platform.generation(), "version": platform.version}
        title = f"Teardown of {settings.url} ({platform.kind})" + (
            ", a dry run: nothing was touched" if dry_run else ""
        )
    session.output.emit(
        {"ok": True, "dry_run": dry_run, "server": server, **plan.as_document()},
        lambda console: render_plan(console, plan, title),
    )
