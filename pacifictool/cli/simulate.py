"""`simulate`: devices that publish simulated telemetry over MQTT."""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli import load_results
from pacifictool.cli.framework import command_group_app, session_of, subcommand
from pacifictool.cli.options import DurationOption, MetricsOption, seconds_option
from pacifictool.cli.running import serving_metrics
from pacifictool.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client.core import Metric

    from pacifictool.cli.context import CliSession
    from pacifictool.scenario import DeviceSpec, Scenario
    from pacifictool.settings import Secret
    from pacifictool.simulation.find_limit import LimitFinder, LimitOptions
    from pacifictool.simulation.intervals import FleetObserver
    from pacifictool.simulation.options import FleetOptions
    from pacifictool.simulation.plan import SimulatedDevice
    from pacifictool.simulation.series import SeriesWriter
    from pacifictool.simulation.summary import FleetSummary

SHORTEST_INTERVAL_SECONDS = 0.1
_ALONE = {
    "--csv": "--csv writes readings without a server.",
    "--processes": "Run the parts with --shard instead, or one process.",
}

app, command = command_group_app(
    'pacifictool simulate --device "Wind Turbine 1"',
    "pacifictool simulate --fleet 1000 --rate 1 --duration 5m --results run.csv",
    "pacifictool simulate --fleet 1000 --find-limit",
)
subcommand(app, "pacifictool simulate compare monday.json tuesday.json --fail-above 10%")(load_results.compare)
subcommand(app, "pacifictool simulate join machine-1.json machine-2.json -o json")(load_results.join)


@command
def simulate(
    ctx: typer.Context,
    device: Annotated[
        list[str] | None, typer.Option("--device", "-d", metavar="NAME", help="A device of the scenario; repeatable.")
    ] = None,
    all_devices: Annotated[bool, typer.Option("--all", help="All devices of the scenario; the default.")] = False,
    fleet: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="The first N devices of the scenario's fleet, not its own devices."),
    ] = None,
    rate: Annotated[float | None, typer.Option(metavar="HZ", help="Readings per second and device.")] = None,
    duration: DurationOption = None,
    count: Annotated[int | None, typer.Option(metavar="N", min=1, help="Stop after N readings per device.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed for reproducible values.")] = None,
    qos: Annotated[
        int, typer.Option(metavar="0|1", min=0, max=1, help="MQTT QoS. 1: acknowledged. 0: not acknowledged.")
    ] = 1,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            envvar="PACIFICTOOL_TOKEN",
            help="Access token of the only --device. (default: look it up)",
        ),
    ] = None,
    bare: Annotated[
        bool, typer.Option("--bare", help="Send the tutorial's exact message, without timestamps.")
    ] = False,
    spawn_rate: Annotated[
        float | None, typer.Option("--ramp", metavar="HZ", help="Connections to open per second.")
    ] = None,
    sequence: Annotated[
        bool, typer.Option("--sequence", help="Also send each reading's number, as `sequence`.")
    ] = False,
    metrics: MetricsOption = None,
    ack_timeout: Annotated[
        str, typer.Option(metavar="TIME", help="Resend a reading without acknowledgement after this time.")
    ] = "10s",
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the readings into this file, at once and without any server."),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="K/N", help="Only part K of N of the devices, for example 2/5 on the second of 5 machines."
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(metavar="N", min=1, help="Processes that share the devices; at most one for each core.")
    ] = 1,
    source_address: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="Local IP address to connect from, for more connections than it has ports; repeatable, used in turn.",
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write what happens in every interval: .csv, or .jsonl for JSON Lines."),
    ] = None,
    interval: Annotated[str, typer.Option(metavar="TIME", help="Length of the intervals of --results.")] = "1s",
    find_limit: Annotated[
        bool, typer.Option("--find-limit", help="Raise the rate in steps until the platform falls behind.")
    ] = False,
    hold: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long --find-limit holds each step. (default: 10s)")
    ] = None,
    factor: Annotated[
        float | None, typer.Option(metavar="X", help="By which --find-limit raises the rate. (default: 1.5)")
    ] = None,
    max_latency: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Within which 99 % must be acknowledged for a step to hold. (default: 1s)"),
    ] = None,
) -> None:
    """Publish simulated telemetry over MQTT until Ctrl-C, then report what happened to every reading.

    `--device "Wind Turbine 1"` replaces the tutorial's send-randomized-windspeed-1.py. `--fleet 1000` simulates the
    devices that `setup --fleet 1000` created.
    """
    from pacifictool.settings import Secret
    from pacifictool.simulation.fleet import Fleet
    from pacifictool.simulation.options import FleetOptions
    from pacifictool.simulation.plan import choose_devices, plan_devices
    from pacifictool.simulation.processes import FleetProcesses
    from pacifictool.simulation.shards import Shard

    session = session_of(ctx)
    if device and all_devices:
        raise UsageError("--device and --all cannot be combined.", hint="Use one of them.")
    scenario = session.scenario if fleet is None else session.scenario.with_fleet(fleet)
    devices = choose_devices(scenario, device or ())
    if shard is not None:
        devices = tuple(Shard.parse(shard).part_of(devices))
    for option, value in (("--rate", rate), ("--ramp", spawn_rate)):
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"{option}: {value:g} is not possible.", hint="Use a number greater than 0.")
    if token is not None and len(devices) != 1:
        raise UsageError("--token requires exactly one device.", hint=f'For example --device "{devices[0].name}".')
    options = FleetOptions(
        qos=qos,
        duration_seconds=None if duration is None else seconds_option("--duration", duration),
        count=count,
        seed=seed,
        bare=bare,
        sequence=sequence,
        spawn_rate=spawn_rate,
        ack_timeout_seconds=seconds_option("--ack-timeout", ack_timeout),
        source_addresses=tuple(source_address or ()),
    )
    limit_options = _limit_options(hold, factor, max_latency) if find_limit else None
    _check_combinations(
        options,
        find_limit=find_limit,
        of_find_limit={"--hold": hold, "--factor": factor, "--max-latency": max_latency},
        alone="--csv" if csv is not None else "--processes" if processes > 1 else None,
        others={"--results": results is not None, "--find-limit": find_limit, "--processes": processes > 1},
    )
    if csv is not None:
        _record(session, scenario, devices, options, csv, rate)
        return
    endpoint, word = session.settings.mqtt, scenario.device_word

    def fleet_of(plans: Sequence[SimulatedDevice], observers: Sequence[FleetObserver] = ()) -> Fleet | FleetProcesses:
        if processes > 1:
            return FleetProcesses(processes, endpoint, plans, options, session.reporter, word)
        return Fleet(endpoint, plans, options, session.reporter, device_word=word, observers=observers)

    # Everything but the tokens, which a platform may take minutes for: mistakes are found, and metrics respond, before.
    snapshot = fleet_of(plan_devices(devices, lambda _: Secret(""), rate=rate)).snapshot
    with contextlib.ExitStack() as stack:
        stack.enter_context(serving_metrics(session, metrics, lambda: _metrics(snapshot(), scenario)))
        tokens = _tokens(session, devices, token)
        plans = plan_devices(devices, tokens.__getitem__, rate=rate)
        series = None if results is None else _series(session, stack, results, interval, options)
        finder = None if limit_options is None else _finder(session, plans, limit_options)
        observers = [observer for observer in (series, finder) if observer is not None]
        simulated = fleet_of(plans, observers)
        snapshot = simulated.snapshot
        if finder is not None and isinstance(simulated, Fleet):
            finder.control(simulated.change_rate, simulated.finish)
        stack.enter_context(session.winding_down_on_interrupt())
        summary = simulated.run(session.stop)
    document = summary.as_document() if finder is None else finder.as_document() | {"seed": summary.seed}
    document |= {"shard": shard, "results": None if series is None else series.as_document()}
    if finder is None:
        document = {"ok": summary.complete and (series is None or series.problem is None), **document}
        session.output.emit(document, lambda console: load_results.render_summary(console, document, scenario))
    else:
        document = {"ok": document["limit"] is not None and document["complete"], **document}
        document["sentence"] = load_results.limit_sentence(document)
        session.output.emit(document, lambda console: load_results.render_limit(console, document))
    session.exit_if_interrupted()
    if not document["ok"]:
        raise typer.Exit(1)


def _limit_options(hold: str | None, factor: float | None, max_latency: str | None) -> LimitOptions:
    from pacifictool.simulation.find_limit import LimitOptions

    defaults = LimitOptions()
    return LimitOptions(
        hold_seconds=defaults.hold_seconds if hold is None else seconds_option("--hold", hold),
        factor=defaults.factor if factor is None else factor,
        max_latency_seconds=(
            defaults.max_latency_seconds if max_latency is None else seconds_option("--max-latency", max_latency)
        ),
    )


def _check_combinations(
    options: FleetOptions,
    *,
    find_limit: bool,
    of_find_limit: dict[str, object],
    alone: str | None,
    others: dict[str, bool],
) -> None:
    """Raises UsageError for options that would have no effect together; `alone` is the option that excludes others."""
    if alone is not None:
        for option, is_given in others.items():
            if is_given and option != alone:
                raise UsageError(f"{option} and {alone} cannot be combined.", hint=_ALONE[alone])
    if find_limit:
        for option, wrong in (
            ("--duration", options.duration_seconds is not None),
            ("--count", options.count is not None),
            ("--qos 0", options.qos == 0),
        ):
            if wrong:
                raise UsageError(
                    f"{option} and --find-limit cannot be combined.",
                    hint="Steps have a length of their own (--hold), and are measured by acknowledgements.",
                )
        return
    for option, value in of_find_limit.items():
        if value is not None:
            raise UsageError(f"{option} is for --find-limit.", hint="Add --find-limit.")


def _series(
    session: CliSession, stack: contextlib.ExitStack, file: Path, interval: str, options: FleetOptions
) -> SeriesWriter:
    from pacifictool.simulation.series import SeriesWriter

    seconds = seconds_option("--interval", interval)
    if seconds < SHORTEST_INTERVAL_SECONDS:
        raise UsageError(f"--interval: {interval} is too short.", hint="At least 100ms.")
    writer = SeriesWriter(session.environment.folder / file, seconds, session.reporter, confirmed=options.qos > 0)
    return stack.enter_context(writer)


def _finder(session: CliSession, plans: Sequence[SimulatedDevice], options: LimitOptions) -> LimitFinder:
    from pacifictool.simulation.find_limit import LimitFinder

    return LimitFinder(plans, options, session.reporter)


def _record(
    session: CliSession,
    scenario: Scenario,
    devices: Sequence[DeviceSpec],
    options: FleetOptions,
    file: Path,
    rate: float | None,
) -> None:
    from pacifictool.simulation.recording import record

    with session.slow_task(f"Writing {file.name}"):
        recording = record(
            devices, options, session.environment.folder / file, start_ms=round(time.time() * 1000), rate=rate
        )
    word = scenario.device_word(recording.devices)

    def render(console: Any) -> None:
        console.print(f"Written: {file}, {recording.readings} readings of {recording.devices} {word}.")
        injections = [injection.as_document() for injection in recording.injections]
        load_results.render_injections(console, injections, scenario)

    session.output.emit({"ok": True, **recording.as_document()}, render)


def _metrics(summary: FleetSummary, scenario: Scenario) -> Iterable[Metric]:
    from pacifictool.simulation.metrics import fleet_metrics

    return fleet_metrics(summary, scenario.device_word(2))


def _tokens(session: CliSession, devices: Sequence[DeviceSpec], token: str | None) -> dict[str, Secret]:
    """Access tokens by device name: the given one, or looked up over REST."""
    from pacifictool.settings import Secret, check_device_token

    if token is not None:
        check_device_token(session.settings, "--token or PACIFICTOOL_TOKEN")
        return {devices[0].name: Secret(token)}
    from pacifictool.provisioning.entities import look_up_tokens

    with session.connect() as platform:
        return look_up_tokens(platform, [device.name for device in devices], session.reporter, session.stop)
