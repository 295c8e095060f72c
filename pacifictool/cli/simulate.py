"""`simulate`: devices that publish simulated telemetry over MQTT."""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.framework import command_app, session_of
from pacifictool.cli.options import DurationOption, MetricsOption, seconds_option
from pacifictool.cli.running import serving_metrics
from pacifictool.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client.core import Metric

    from pacifictool.cli.context import CliSession
    from pacifictool.scenario import DeviceSpec, Scenario
    from pacifictool.settings import Secret
    from pacifictool.simulation.disturbances import Injection
    from pacifictool.simulation.options import FleetOptions
    from pacifictool.simulation.summary import FleetSummary

_LISTED_INJECTIONS = 20

app, command = command_app(
    'pacifictool simulate --device "Wind Turbine 1"',
    "pacifictool simulate --fleet 1000 --rate 1 --duration 5m",
    "pacifictool simulate --csv readings.csv --duration 5m",
)


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
) -> None:
    """Publish simulated telemetry over MQTT until Ctrl-C, then report what happened to every reading.

    `--device "Wind Turbine 1"` replaces the tutorial's send-randomized-windspeed-1.py. `--fleet 1000` simulates the
    devices that `setup --fleet 1000` created.
    """
    from pacifictool.settings import Secret
    from pacifictool.simulation.fleet import Fleet
    from pacifictool.simulation.options import FleetOptions
    from pacifictool.simulation.plan import choose_devices, plan_devices

    session = session_of(ctx)
    if device and all_devices:
        raise UsageError("--device and --all cannot be combined.", hint="Use one of them.")
    scenario = session.scenario if fleet is None else session.scenario.with_fleet(fleet)
    devices = choose_devices(scenario, device or ())
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
    )
    if csv is not None:
        _record(session, scenario, devices, options, csv, rate)
        return
    # Everything but the tokens, which a platform may take minutes for: mistakes are found, and metrics respond, before.
    planned = Fleet(session.settings.mqtt, plan_devices(devices, lambda _: Secret(""), rate=rate), options)
    snapshot = planned.snapshot
    with contextlib.ExitStack() as stack:
        stack.enter_context(serving_metrics(session, metrics, lambda: _metrics(snapshot(), scenario)))
        tokens = _tokens(session, devices, token)
        plans = plan_devices(devices, tokens.__getitem__, rate=rate)
        simulated = Fleet(session.settings.mqtt, plans, options, session.reporter, device_word=scenario.device_word)
        snapshot = simulated.snapshot
        stack.enter_context(session.winding_down_on_interrupt())
        summary = simulated.run(session.stop)
    session.output.emit(
        {"ok": summary.complete, **summary.as_document()}, lambda console: _render(console, summary, scenario)
    )
    session.exit_if_interrupted()
    if not summary.complete:
        raise typer.Exit(1)


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
        _render_injections(console, recording.injections, scenario)

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


def _render(console: Any, summary: FleetSummary, scenario: Scenario) -> None:
    from pacifictool.cli.render import table

    word = scenario.device_word()
    confirmed = summary.qos > 0
    rows = [
        [scenario.device_word(2).capitalize(), f"{summary.connected} of {summary.devices} connected"],
        ["Readings generated", str(summary.generated)],
        [
            "Readings acknowledged" if confirmed else "Readings sent",
            str(summary.acknowledged if confirmed else summary.sent),
        ],
        ["Readings lost", str(summary.lost)],
        ["Rate", f"{summary.achieved_rate:.1f} readings/s (target {summary.target_rate:.1f})"],
        ["Behind schedule", f"p50 {_ms(summary.lag_p50_ms)}, p99 {_ms(summary.lag_p99_ms)}"],
        ["Acknowledged after", f"p50 {_ms(summary.acknowledgement_p50_ms)}, p99 {_ms(summary.acknowledgement_p99_ms)}"],
        ["Resent, reconnects", f"{summary.resent}, {summary.reconnects}"],
        ["Time, seed", f"{summary.seconds:.1f} s, {summary.seed}"],
    ]
    if not confirmed:
        rows = [row for row in rows if row[0] != "Acknowledged after"]
    if summary.missed:
        rows.insert(4, ["Readings missed", f"{summary.missed} were due while the {word} was offline or late"])
    if summary.withheld:
        rows.insert(4, ["Readings withheld", f"{summary.withheld}: drop-outs, or missing values of a file"])
    console.print(table("Simulation", {"What": "left", "": "left"}, rows))
    _render_injections(console, summary.injections, scenario)
    for name, reason in summary.refused.items():
        console.print(f"Refused: {name}: {reason}")
    for reason in summary.interrupted.values():
        console.print(f"Interrupted: {reason}")
    for reading in summary.losses:
        console.print(f"Lost: {reading.as_document()}")


def _render_injections(console: Any, injections: Sequence[Injection], scenario: Scenario) -> None:
    from pacifictool.cli.render import table
    from pacifictool.tools.times import utc_clock

    rows = [
        [
            injection.device,
            scenario.label(injection.key) if injection.key is not None else "all keys",
            injection.change or "nothing sent",
            utc_clock(injection.from_ts_ms),
            utc_clock(injection.to_ts_ms),
            str(injection.readings),
        ]
        for injection in injections[:_LISTED_INJECTIONS]
    ]
    if not rows:
        return
    columns = {scenario.device_word().capitalize(): "left", "Key": "left", "Change": "left"}
    columns |= {"First reading (UTC)": "left", "Last reading": "left", "Readings": "right"}
    console.print(table("Injected", columns, rows))
    if (unlisted := len(injections) - _LISTED_INJECTIONS) > 0:
        console.print(f"And {unlisted} more, which -o json lists.")


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:g} ms"
