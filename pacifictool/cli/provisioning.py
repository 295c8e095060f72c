"""`setup`, `teardown` and `import`: the commands that create and delete what a scenario needs on the server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.framework import command_app, group_app, session_of, subcommand
from pacifictool.cli.options import DryRunOption, PluginOption, RuleChainOption, RuleOption, YesOption
from pacifictool.mqtt import ANALYTICS_GATEWAY

if TYPE_CHECKING:
    from pacifictool.cli.context import CliSession
    from pacifictool.plan import Plan
    from pacifictool.rest import ForwardingSpec, Platform

_LISTED_STEPS = 30
"""Up to this many steps are listed one by one; for fleets, counts say more."""

setup_app, setup_command = command_app("pacifictool setup --dry-run", "pacifictool setup --fleet 1000 --gateway")
teardown_app, teardown_command = command_app("pacifictool teardown --dry-run", "pacifictool teardown --yes --topic")
import_app = group_app("Import a plugin, rule or rule chain from a JSON file, as exported by the web UI.")

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The JSON file.")]
NoActivateOption = Annotated[bool, typer.Option("--no-activate", help="Import it without activating it.")]


@setup_command
def setup(
    ctx: typer.Context,
    dry_run: DryRunOption = False,
    fleet: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Create the first N devices of the scenario's fleet, not its own devices."
        ),
    ] = None,
    add_partitions: Annotated[
        bool,
        typer.Option("--add-partitions", help="Increase the partitions of an existing topic to the scenario's number."),
    ] = False,
    gateway: Annotated[
        bool, typer.Option("--gateway", help="Also create the gateway for `aggregate --sink gateway`.")
    ] = False,
    gateway_device: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"Name of the gateway; implies --gateway. (default: {ANALYTICS_GATEWAY})"),
    ] = None,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Also create a dashboard of results and devices in the web UI.")
    ] = False,
    plugin: PluginOption = None,
    rule: RuleOption = None,
    rule_chain: RuleChainOption = None,
    workers: Annotated[int, typer.Option(metavar="N", min=1, max=256, help="Number of concurrent requests.")] = 16,
) -> None:
    """Create what the scenario describes and the server lacks: topic, forwarding, devices, attributes, assets.

    Compares first, so a second run changes nothing, and a run after a failed one completes it. A plugin, rule or rule
    chain of the scenario's names that serves another topic is an error, and nothing is changed.
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
        _emit(session, platform, plan, "Setup", dry_run=dry_run)


@teardown_command
def teardown(
    ctx: typer.Context,
    dry_run: DryRunOption = False,
    fleet: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Delete the first N devices of the scenario's fleet, not its own devices."
        ),
    ] = None,
    yes: YesOption = False,
    topic: Annotated[bool, typer.Option("--topic", help="Delete the Kafka topic with its records as well.")] = False,
    gateway_device: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the gateway, as given to setup.")
    ] = ANALYTICS_GATEWAY,
    plugin: PluginOption = None,
    rule: RuleOption = None,
    rule_chain: RuleChainOption = None,
) -> None:
    """Delete what the scenario describes, and nothing else: rule and plugin (or rule chain), devices, assets.

    This includes the dashboard, the gateway, and the entities that the job or the gateway created for results. Entities
    of another type, and rules of another topic, stay. On platforms of 1.x, teardown deletes at most three rules a
    minute and waits if necessary.
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
            session.confirm(f"Delete {plan.count(ChangeAction.DELETE)} objects at {settings.url}?", yes=yes)
            apply_plan(plan, reporter=session.reporter, stop=session.stop)
        _emit(session, platform, plan, "Teardown", dry_run=dry_run)


@subcommand(import_app, "pacifictool import plugin kafka_plugin.json")
def plugin(ctx: typer.Context, file: FileArgument, no_activate: NoActivateOption = False) -> None:
    """Import a plugin and activate it. A plugin with the same apiToken is updated."""
    from pacifictool.rest import ForwardingSpec, read_plugin

    _import(session_of(ctx), ForwardingSpec(plugin=read_plugin(file), activate=not no_activate))


@subcommand(import_app, "pacifictool import rule windspeed_rule.json --no-activate")
def rule(ctx: typer.Context, file: FileArgument, no_activate: NoActivateOption = False) -> None:
    """Import a rule and activate it. A rule with the same name, pluginToken and topic is updated."""
    from pacifictool.rest import ForwardingSpec, read_rule

    _import(session_of(ctx), ForwardingSpec(rule=read_rule(file), activate=not no_activate))


@subcommand(import_app, "pacifictool import rule-chain weather_rule_chain.json", name="rule-chain")
def rule_chain(ctx: typer.Context, file: FileArgument, no_activate: NoActivateOption = False) -> None:
    """Import a rule chain (platform 2.0 and later) and make the root chain send telemetry to it.

    A rule chain with the same name and topic is updated.
    """
    from pacifictool.rest import ForwardingSpec, read_rule_chain

    _import(session_of(ctx), ForwardingSpec(rule_chain=read_rule_chain(file), activate=not no_activate))


def _import(session: CliSession, spec: ForwardingSpec) -> None:
    from pacifictool.plan import Plan

    for address in sorted(spec.descriptor_servers() - {session.settings.platform_kafka}):
        session.reporter.warning(
            f"The file names Kafka at {address}, where the platform will send records; other commands with these"
            f" settings use {session.settings.platform_kafka}."
        )
    with session.connect() as platform, session.reporter.task("Importing"):
        plan = Plan.from_changes(platform.forwarding.apply(spec))
    session.output.emit(
        {"ok": True, **plan.as_document()},
        lambda console: _render(console, plan, f"Import into {session.settings.url}"),
    )


def _emit(session: CliSession, platform: Platform, plan: Plan, what: str, *, dry_run: bool) -> None:
    server = {"generation": platform.generation(), "version": platform.version}
    suffix = " (dry run: nothing is changed)" if dry_run else ""
    title = f"{what} of {session.settings.url} ({platform.kind}){suffix}"
    session.output.emit(
        {"ok": True, "dry_run": dry_run, "server": server, **plan.as_document()},
        lambda console: _render(console, plan, title, dry_run=dry_run),
    )


def _render(console: Any, plan: Plan, title: str, *, dry_run: bool = False) -> None:
    """The steps, or for fleets their counts by kind, and the total."""
    from pacifictool.cli.render import table
    from pacifictool.plan import ChangeAction, Kind

    if not plan.changes:
        console.print(f"{title}: nothing of the scenario exists.")
        return

    def word(action: ChangeAction) -> str:
        return action.planned if dry_run else str(action)

    if len(plan.changes) <= _LISTED_STEPS:
        rows = [
            [change.kind, change.name, word(change.action), "; ".join(change.differences)] for change in plan.changes
        ]
        console.print(table(title, {"Kind": "left", "Name": "left", "Result": "left", "": "left"}, rows))
    else:
        used = [action for action in ChangeAction if plan.count(action)]
        rows = [[kind, *(str(plan.count(action, kind)) for action in used)] for kind in Kind if plan.of_kind(kind)]
        columns = {"Kind": "left"} | {word(action).capitalize(): "right" for action in used}
        console.print(table(title, columns, rows))
    shown = [ChangeAction.CREATE, ChangeAction.CHANGE, ChangeAction.KEEP]
    if plan.count(ChangeAction.DELETE):
        shown = [action for action in (ChangeAction.DELETE, ChangeAction.CHANGE) if plan.count(action)]
    console.print(", ".join(f"{plan.count(action)} {word(action)}" for action in shown))
