"""`trace`: follows one marked reading hop by hop, and reports where and why it stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.framework import command_app, session_of
from pacifictool.cli.options import CheckpointOption, PluginOption, RuleChainOption, RuleOption, seconds_option
from pacifictool.errors import ChecksFailed, entry_of, unknown_choice

if TYPE_CHECKING:
    from pacifictool.trace.hops import TraceResult

app, command = command_app("pacifictool trace", 'pacifictool trace --device "Wind Turbine 2" --until kafka')

UNTIL = ("stored", "kafka", "asset")
_MARKS = {"ok": "✓", "failed": "✗", "skipped": "–"}
_STYLES = {"ok": "green", "failed": "bold red", "skipped": "dim"}


@command
def trace(
    ctx: typer.Context,
    device: Annotated[
        str | None,
        typer.Option("--device", "-d", metavar="NAME", help="A turbine of the scenario. (default: its first)"),
    ] = None,
    until: Annotated[
        str,
        typer.Option(
            metavar="|".join(UNTIL),
            help="How far to follow it: stored on the device, in Kafka, or included in a mean on the asset.",
        ),
    ] = "asset",
    timeout: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Timeout for the whole trace. (default: the window's length plus one minute)"
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    plugin: PluginOption = None,
    rule: RuleOption = None,
    rule_chain: RuleChainOption = None,
) -> None:
    """Follow one reading from device to asset (MQTT, rule, Kafka, window), and show where and why it stops.

    Publishes a real reading, the probe: it is stored in the device's telemetry and counts in its zone's mean. Its value
    is close to the turbine's, with a unique fraction such as 32.483217. The job must run on this machine. Exit code 0
    only if the reading arrived.
    """
    from pacifictool.provisioning.forwarding import forwarding_spec
    from pacifictool.simulation.plan import choose_turbines
    from pacifictool.trace.trace import Trace

    session = session_of(ctx)
    if until not in UNTIL:
        raise unknown_choice("--until", until, UNTIL)
    seconds = None if timeout is None else seconds_option("--timeout", timeout)
    settings, scenario = session.settings, session.scenario
    turbine = choose_turbines(scenario, [device] if device is not None else [])[0]
    spec = forwarding_spec(settings, scenario, plugin_file=plugin, rule_file=rule, rule_chain_file=rule_chain)
    with session.reporter.task(f"Following a reading of {turbine.name}") as task:
        result = Trace(
            settings=settings,
            scenario=scenario,
            spec=spec,
            turbine=turbine,
            job_folders=[checkpoint] if checkpoint is not None else session.job_folders.of_topic(),
            until=until,
            timeout_seconds=seconds,
            stop=session.stop,
            on_hop=lambda title: task.update(note=title),
        ).run()
    session.output.emit(result.as_document(), lambda console: _render(console, result))
    if not result.ok:
        if session.output.as_json:
            raise typer.Exit(1)
        raise _stopped(result)


def _stopped(result: TraceResult) -> ChecksFailed:
    hop, code = result.failed_hop, result.code
    assert hop is not None
    assert code is not None
    return ChecksFailed(f"The reading did not get past “{hop.title}”: {code}.", hint=f"More: {entry_of(code)}")


def _render(console: Any, result: TraceResult) -> None:
    from rich import box
    from rich.table import Table

    from pacifictool.cli.render import titled
    from pacifictool.console import styled

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    value = "" if result.value is None else f": {result.value:.6f}"
    table.add_column("")
    table.add_column("Hop", overflow="fold")
    table.add_column("After", justify="right")
    table.add_column("", overflow="fold")
    for hop in result.hops:
        after = "" if hop.seconds is None else f"{hop.seconds:.3f} s"
        # The reason is shown below the table, in full.
        detail = "stopped here" if hop.status == "failed" else hop.detail
        table.add_row(styled((_MARKS[hop.status], _STYLES[hop.status])), hop.title, after, detail)
    console.print(titled(f"A reading of {result.device}{value}", table))
    if result.failed_hop is not None:
        console.print(styled(("✗", "bold red"), f" {result.failed_hop.detail}"))
        if result.fix is not None:
            console.print(styled(("→", "bold"), f" {result.fix}"))
        if result.also:
            console.print(f"  Also found: {', '.join(result.also)}")
    for note in result.notes:
        console.print(f"! {note}")
