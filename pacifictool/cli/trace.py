"""`trace`: follows one marked reading hop by hop, and reports where and why it stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.framework import command_app, session_of
from pacifictool.cli.options import CheckpointOption, PluginOption, RuleChainOption, RuleOption, seconds_option
from pacifictool.errors import ChecksFailed, help_on, unknown_choice

if TYPE_CHECKING:
    from pacifictool.trace.hops import TraceResult

app, command = command_app("pacifictool trace", 'pacifictool trace --device "Wind Turbine 2" --until kafka')

UNTIL = ("stored", "kafka", "result")
_MARKS = {"ok": "✓", "failed": "✗", "skipped": "–"}
_STYLES = {"ok": "green", "failed": "bold red", "skipped": "dim"}


@command
def trace(
    ctx: typer.Context,
    device: Annotated[
        str | None,
        typer.Option("--device", "-d", metavar="NAME", help="A device of the scenario. (default: its first)"),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="KEY", help="The key of telemetry to send. (default: the device's first)"),
    ] = None,
    analytics: Annotated[
        list[str] | None,
        typer.Option("--analytics", metavar="NAME", help="Follow only this analytics; repeatable. (default: all)"),
    ] = None,
    until: Annotated[
        str,
        typer.Option(
            metavar="|".join(UNTIL),
            help="How far to follow it: stored on the device, in Kafka, or included in the results.",
        ),
    ] = "result",
    timeout: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Timeout for the whole trace. (default: one minute after the end of the first window)"
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    plugin: PluginOption = None,
    rule: RuleOption = None,
    rule_chain: RuleChainOption = None,
) -> None:
    """Follow one reading from device to result (MQTT, rule, Kafka, window), and show where and why it stops.

    Publishes a real reading, the probe: it is stored in the device's telemetry and counts in the results of its groups.
    Its value is close to the device's, with a unique fraction such as 32.483217. The job must run on this machine. Exit
    code 0 only if the reading arrived.
    """
    from pacifictool.provisioning.forwarding import forwarding_spec
    from pacifictool.simulation.plan import choose_devices
    from pacifictool.trace.trace import Trace

    session = session_of(ctx)
    if until not in UNTIL:
        raise unknown_choice("--until", until, UNTIL)
    seconds = None if timeout is None else seconds_option("--timeout", timeout)
    settings, scenario = session.settings, session.scenario
    chosen = choose_devices(scenario, [device] if device is not None else [])[0]
    wanted = next(iter(chosen.telemetry)) if key is None else key
    if wanted not in chosen.telemetry:
        raise unknown_choice("--key", wanted, chosen.telemetry)
    spec = forwarding_spec(settings, scenario, plugin_file=plugin, rule_file=rule, rule_chain_file=rule_chain)
    with session.reporter.task(f"Following a reading of {chosen.name}") as task:
        result = Trace(
            settings=settings,
            scenario=scenario if analytics is None else scenario.only(analytics),
            spec=spec,
            device=chosen,
            key=wanted,
            job_folders=[checkpoint] if checkpoint is not None else session.job_folders.of_topic(),
            until=until,
            timeout_seconds=seconds,
            stop=session.stop,
            on_hop=lambda title: task.update(note=title),
        ).run()
    session.output.emit(
        result.as_document(), lambda console: _render(console, result, names_key=len(chosen.telemetry) > 1)
    )
    if not result.ok:
        if session.output.as_json:
            raise typer.Exit(1)
        raise _stopped(result)


def _stopped(result: TraceResult) -> ChecksFailed:
    hop, code = result.failed_hop, result.code
    assert hop is not None
    assert code is not None
    return ChecksFailed(f"The reading did not get past “{hop.title}”: {code}.", hint=f"More: {help_on(code)}")


def _render(console: Any, result: TraceResult, *, names_key: bool) -> None:
    from rich import box
    from rich.table import Table

    from pacifictool.cli.render import titled
    from pacifictool.console import styled

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    key = f"{result.key} " if names_key else ""
    value = "" if result.value is None else f": {key}{result.value:.6f}"
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
