"""`sandbox up | down | status | reset`: the local platform and Kafka broker."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.context import SANDBOX_FOLDER
from pacifictool.cli.framework import Command, group_app, session_of

if TYPE_CHECKING:
    from pacifictool.cli.context import Session
    from pacifictool.local.daemon import SandboxState

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
    share: Annotated[
        bool, typer.Option("--share", help="Let in every user of this machine; Kafka then asks for no password.")
    ] = False,
    free_ports: Annotated[bool, typer.Option("--free-ports", help="Any free ports instead of the usual ones.")] = False,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay until Ctrl-C instead of returning.")] = False,
) -> None:
    """Start the sandbox and return when it answers. It binds to this machine only.

    Only you and root get in. Kafka asks for a password, which the other commands find by themselves; other Kafka
    clients take it from the file that is printed.
    """
    from pacifictool.local.daemon import forget_state, read_state, start_daemon, write_state
    from pacifictool.local.stack import LocalStack, StackPage, StackPorts
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
        shared=share,
        reporter=session.reporter,
    )
    if not foreground:
        arguments = ["--data", str(data_dir), "--http-port", str(ports.http), "--mqtt-port", str(ports.mqtt)]
        arguments += ["--kafka-port", str(ports.kafka), "--generation", generation.value]
        if share:
            arguments.append("--share")
        if settings.scenario_path is not None:
            arguments += ["--scenario", str(settings.scenario_path.absolute())]
        _show(session, start_daemon(data_dir, arguments, session.environment.environ, session.reporter))
        return
    with stack, session.winding_down_on_interrupt():
        reached = stack.settings(settings)
        state = write_state(
            data_dir,
            url=reached.url,
            mqtt=f"{reached.mqtt.host}:{reached.mqtt.port}",
            kafka=reached.kafka.bootstrap,
            generation=int(generation.value),
            kafka_config=stack.kafka_config,
        )
        try:
            _show(session, state)
            stack.watch(session.stop)
        finally:
            forget_state(data_dir)


@app.command(cls=Command)
def down(ctx: typer.Context, data: DataOption = None) -> None:
    """Stop the sandbox; its data stays for the next time."""
    from pacifictool.local.daemon import stop_daemon

    session = session_of(ctx)
    stopped = stop_daemon(_data_dir(session, data), session.reporter)
    session.output.emit(
        {"ok": True, "stopped": stopped},
        lambda console: console.print("The sandbox is stopped." if stopped else "No sandbox was running."),
    )


@app.command(cls=Command)
def status(ctx: typer.Context, data: DataOption = None) -> None:
    """Say whether the sandbox runs, and where. Exit code 1 when it does not."""
    from pacifictool.errors import SandboxError
    from pacifictool.local.daemon import read_state

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
    from pacifictool.local.daemon import check_data, delete_data, stop_daemon

    session = session_of(ctx)
    data_dir = _data_dir(session, data)
    check_data(data_dir)
    confirm(session, f"Delete everything the sandbox keeps in {data_dir}?", yes=yes)
    stop_daemon(data_dir, session.reporter)
    with session.patience("Deleting the sandbox's data"):
        delete_data(data_dir)
    session.output.emit({"ok": True, "data": str(data_dir)}, lambda console: console.print("The sandbox is empty."))


def _data_dir(session: Session, data: Path | None) -> Path:
    return data.absolute() if data else _default_data_dir(session)


def _default_data_dir(session: Session) -> Path:
    return (session.state_dir() / SANDBOX_FOLDER).absolute()


def _show(session: Session, state: SandboxState) -> None:
    document = {"ok": True, "running": True, **asdict(state)}

    def render(console: Any) -> None:
        from pacifictool.cli.render import table

        config, java_config = state.kafka_config, state.kafka_java_config
        rows = [
            ["Page", f"{state.url}/", "zones, devices and the way between them, live"],
            ["REST", state.url, "tenant@thingsboard.org, password tenant"],
            ["MQTT", state.mqtt, "user name: a device's access token"],
            ["Kafka", state.kafka, "asks for no password" if config is None else "asks for a password"],
            ["Data", state.data, f"kept by process {state.pid}"],
        ]
        console.print(table("Sandbox", {"What": "left", "Where": "left", "": "left"}, rows))
        if config is not None and java_config is not None:
            console.print("Other Kafka clients take the password from a file:", style="bold")
            console.print(f"kcat -b {state.kafka} -F {shlex.quote(config)} -L", soft_wrap=True, markup=False)
            console.print(
                f"kafka-console-consumer.sh --bootstrap-server {state.kafka} --topic TOPIC --consumer.config "
                f"{shlex.quote(java_config)}",
                soft_wrap=True,
                markup=False,
            )
        is_elsewhere = Path(state.data) != _default_data_dir(session)
        if is_elsewhere or not state.url.endswith(f":{HTTP_PORT}"):
            console.print("Other commands find it with:", style="bold")
            variables = {"URL": state.url, "MQTT": state.mqtt, "KAFKA": state.kafka}
            if is_elsewhere and config is not None:
                variables["KAFKA_CONFIG"] = shlex.quote(config)
            console.print(
                "export " + " ".join(f"PACIFICTOOL_{name}={value}" for name, value in variables.items()),
                soft_wrap=True,
            )

    session.output.emit(document, render)
