"""`sandbox up | down | status | reset`: the local platform and Kafka broker."""

from __future__ import annotations

from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.framework import Command, group_app, session_of

if TYPE_CHECKING:
    from pacifictool.cli.context import Session
    from pacifictool.sandbox.keeper import SandboxState

app = group_app("A local platform and Kafka broker, for when there is no server at hand.")

DataOption = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Where the sandbox keeps its data.")]
HTTP_PORT, MQTT_PORT, KAFKA_PORT = 8080, 1883, 9092


class Generation(Enum):
    """Which servers the sandbox behaves like."""

    FIRST = "1"
    FOURTH = "4"


@app.command(cls=Command)
def up(
    ctx: typer.Context,
    data: DataOption = None,
    http_port: Annotated[int, typer.Option(metavar="PORT", help="Port of the REST API.", min=0, max=65535)] = HTTP_PORT,
    mqtt_port: Annotated[int, typer.Option(metavar="PORT", help="Port for devices.", min=0, max=65535)] = MQTT_PORT,
    kafka_port: Annotated[int, typer.Option(metavar="PORT", help="Port of the broker.", min=0, max=65535)] = KAFKA_PORT,
    generation: Annotated[
        Generation,
        typer.Option(help="Behave like servers of 1.x, with plugins and rules, or of 4.x, with rule chains."),
    ] = Generation.FIRST,
    free_ports: Annotated[bool, typer.Option("--free-ports", help="Any free ports instead of the usual ones.")] = False,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay until Ctrl-C instead of returning.")] = False,
) -> None:
    """Start the sandbox and return when it answers. It binds to this machine only."""
    from pacifictool.sandbox.keeper import forget_state, read_state, start_keeper, write_state
    from pacifictool.sandbox.stack import LocalStack, StackPage, StackPorts
    from pacifictool.watch.web import PAGE, page_options

    session = session_of(ctx)
    data_dir = _data_dir(session, data)
    if (running := read_state(data_dir)) is not None:
        session.reporter.info("The sandbox runs already.")
        _show(session, running)
        return
    ports = StackPorts() if free_ports else StackPorts(http_port, mqtt_port, kafka_port)
    settings = session.settings
    stack = LocalStack(
        data_dir,
        cache_dir=session.cache_dir,
        environ=session.environment.environ,
        ports=ports,
        generation=int(generation.value),
        page=StackPage(PAGE, page_options(scenario=settings.scenario_path, jobs=session.state_dir() / "jobs")),
        jars_mirror=settings.jars_mirror,
        jars_folder=settings.jars_folder,
        reporter=session.reporter,
    )
    if not foreground:
        arguments = ["--data", str(data_dir), "--http-port", str(ports.http), "--mqtt-port", str(ports.mqtt)]
        arguments += ["--kafka-port", str(ports.kafka), "--generation", generation.value]
        if settings.scenario_path is not None:
            arguments += ["--scenario", str(settings.scenario_path.absolute())]
        _show(session, start_keeper(data_dir, arguments, session.environment.environ, session.reporter))
        return
    with stack, session.winding_down_on_interrupt():
        reached = stack.settings(settings)
        state = write_state(
            data_dir,
            url=reached.url,
            mqtt=f"{reached.mqtt.host}:{reached.mqtt.port}",
            kafka=reached.kafka.bootstrap,
            generation=int(generation.value),
        )
        try:
            _show(session, state)
            stack.watch(session.stop)
        finally:
            forget_state(data_dir)


@app.command(cls=Command)
def down(ctx: typer.Context, data: DataOption = None) -> None:
    """Stop the sandbox; its data stays for the next time."""
    from pacifictool.sandbox.keeper import stop_keeper

    session = session_of(ctx)
    stopped = stop_keeper(_data_dir(session, data), session.reporter)
    session.output.emit(
        {"ok": True, "stopped": stopped},
        lambda console: console.print("The sandbox is stopped." if stopped else "No sandbox was running."),
    )


@app.command(cls=Command)
def status(ctx: typer.Context, data: DataOption = None) -> None:
    """Say whether the sandbox runs, and where. Exit code 1 when it does not."""
    from pacifictool.errors import SandboxError
    from pacifictool.sandbox.keeper import read_state

    session = session_of(ctx)
    state = read_state(_data_dir(session, data))
    if state is None:
        raise SandboxError("No sandbox is running.", hint="Start one: pacifictool sandbox up")
    _show(session, state)


@app.command(cls=Command)
def reset(
    ctx: typer.Context,
    data: DataOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop the sandbox and delete its data: devices, assets, telemetry, topics."""
    from pacifictool.cli.confirm import confirm
    from pacifictool.sandbox.keeper import check_data, delete_data, stop_keeper

    session = session_of(ctx)
    data_dir = _data_dir(session, data)
    check_data(data_dir)
    confirm(session, f"Delete everything the sandbox keeps in {data_dir}?", yes=yes)
    stop_keeper(data_dir, session.reporter)
    with session.patience("Deleting the sandbox's data"):
        delete_data(data_dir)
    session.output.emit({"ok": True, "data": str(data_dir)}, lambda console: console.print("The sandbox is empty."))


def _data_dir(session: Session, data: Path | None) -> Path:
    return (data or session.state_dir() / "sandbox").absolute()


def _show(session: Session, state: SandboxState) -> None:
    document = {"ok": True, "running": True, **asdict(state)}

    def render(console: Any) -> None:
        from pacifictool.cli.render import table

        rows = [
            ["Page", f"{state.url}/", "zones, devices and the way between them, live"],
            ["REST", state.url, "tenant@thingsboard.org, password tenant"],
            ["MQTT", state.mqtt, "user name: a device's access token"],
            ["Kafka", state.kafka, ""],
            ["Data", state.data, f"kept by process {state.pid}"],
        ]
        console.print(table("Sandbox", {"What": "left", "Where": "left", "": "left"}, rows))
        if not state.url.endswith(f":{HTTP_PORT}"):
            console.print("Other commands find it with:", style="bold")
            console.print(
                f"export PACIFICTOOL_URL={state.url} PACIFICTOOL_MQTT={state.mqtt} PACIFICTOOL_KAFKA={state.kafka}",
                soft_wrap=True,
            )

    session.output.emit(document, render)
