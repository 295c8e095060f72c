"""`sandbox up | down | status | reset`: the local platform and Kafka broker."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.context import SANDBOX_FOLDER
from pacifictool.cli.framework import group_app, session_of, subcommand
from pacifictool.cli.options import YesOption
from pacifictool.cli.running import marked_as

if TYPE_CHECKING:
    from pacifictool.cli.context import CliSession
    from pacifictool.local.daemon import SandboxState

app = group_app("Run a local platform and Kafka broker, for use without a server.")

DataOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder for the sandbox's data. (default: in the user's state folder)"),
]
HTTP_PORT, MQTT_PORT, KAFKA_PORT = 8080, 1883, 9092


class SandboxGeneration(Enum):
    """The server generations that the sandbox can imitate."""

    FIRST = "1"
    FOURTH = "4"


@subcommand(app, "pacifictool sandbox up", "pacifictool sandbox up --generation 4 --free-ports")
def up(
    ctx: typer.Context,
    data: DataOption = None,
    http_port: Annotated[int, typer.Option(metavar="PORT", help="Port of the REST API.", min=0, max=65535)] = HTTP_PORT,
    mqtt_port: Annotated[
        int, typer.Option(metavar="PORT", help="Port for devices (MQTT).", min=0, max=65535)
    ] = MQTT_PORT,
    kafka_port: Annotated[
        int, typer.Option(metavar="PORT", help="Port of the Kafka broker.", min=0, max=65535)
    ] = KAFKA_PORT,
    generation: Annotated[
        SandboxGeneration,
        typer.Option(help="Imitate a 1.x server, with plugins and rules, or a 4.x server, with rule chains."),
    ] = SandboxGeneration.FIRST,
    share: Annotated[
        bool,
        typer.Option("--share", help="Give access to every user of this machine; Kafka then requires no password."),
    ] = False,
    free_ports: Annotated[
        bool, typer.Option("--free-ports", help="Use any free ports instead of the usual ones.")
    ] = False,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Run until Ctrl-C instead of in the background.")
    ] = False,
) -> None:
    """Start the sandbox in the background and return when it is ready. Only this machine can reach it.

    Only you and root have access. Kafka requires a password, which the other commands find by themselves; other Kafka
    clients read it from the file whose name is printed.
    """
    from pacifictool.local.daemon import forget_state, read_state, start_daemon, write_state
    from pacifictool.local.stack import LocalStack, StackPage, StackPorts
    from pacifictool.watch.web import PAGE, page_options

    session = session_of(ctx)
    data_dir = _data_dir(session, data)
    if (running := read_state(data_dir)) is not None:
        session.reporter.info("The sandbox is already running.")
        _show(session, running)
        return
    ports = StackPorts() if free_ports else StackPorts(http_port, mqtt_port, kafka_port)
    settings = session.settings
    stack = LocalStack(
        data_dir,
        cache_dir=session.environment.cache_dir,
        environ=session.environment.environ,
        ports=ports,
        generation=int(generation.value),
        page=StackPage(
            PAGE, page_options(scenario=settings.scenario_path, jobs=session.environment.state_dir / "jobs")
        ),
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
    with stack, marked_as(session, "sandbox", lambda: {"data": str(data_dir)}), session.winding_down_on_interrupt():
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


@subcommand(app, "pacifictool sandbox down")
def down(ctx: typer.Context, data: DataOption = None) -> None:
    """Stop the sandbox and keep its data."""
    from pacifictool.local.daemon import stop_daemon

    session = session_of(ctx)
    stopped = stop_daemon(_data_dir(session, data), session.reporter)
    session.output.emit(
        {"ok": True, "stopped": stopped},
        lambda console: console.print("Stopped the sandbox." if stopped else "No sandbox was running."),
    )


@subcommand(app, "pacifictool sandbox status")
def status(ctx: typer.Context, data: DataOption = None) -> None:
    """Show whether the sandbox is running, and its addresses. Exit code 1 if it is not."""
    from pacifictool.errors import SandboxError
    from pacifictool.local.daemon import read_state

    session = session_of(ctx)
    state = read_state(_data_dir(session, data))
    if state is None:
        raise SandboxError("No sandbox is running.", hint="Start one: pacifictool sandbox up")
    _show(session, state)


@subcommand(app, "pacifictool sandbox reset --yes")
def reset(
    ctx: typer.Context,
    data: DataOption = None,
    yes: YesOption = False,
) -> None:
    """Stop the sandbox and delete its data: devices, assets, telemetry, topics."""
    from pacifictool.local.daemon import check_data, delete_data, stop_daemon

    session = session_of(ctx)
    data_dir = _data_dir(session, data)
    check_data(data_dir)
    session.confirm(f"Delete all data of the sandbox in {data_dir}?", yes=yes)
    stop_daemon(data_dir, session.reporter)
    with session.slow_task("Deleting the sandbox's data"):
        delete_data(data_dir)
    session.output.emit(
        {"ok": True, "data": str(data_dir)}, lambda console: console.print("Deleted the sandbox's data.")
    )


def _data_dir(session: CliSession, data: Path | None) -> Path:
    return data.absolute() if data else _default_data_dir(session)


def _default_data_dir(session: CliSession) -> Path:
    return (session.environment.state_dir / SANDBOX_FOLDER).absolute()


def _show(session: CliSession, state: SandboxState) -> None:
    document = {"ok": True, "running": True, **asdict(state)}

    def render(console: Any) -> None:
        from pacifictool.cli.render import table

        config, java_config = state.kafka_config, state.kafka_java_config
        rows = [
            ["Page", f"{state.url}/", "zones, devices and the data flow between them, live"],
            ["REST", state.url, "tenant@thingsboard.org, password tenant"],
            ["MQTT", state.mqtt, "user name: the device's access token"],
            ["Kafka", state.kafka, "no password" if config is None else "requires a password"],
            ["Data", state.data, f"in use by process {state.pid}"],
        ]
        console.print(table("Sandbox", {"What": "left", "Where": "left", "": "left"}, rows))
        if config is not None and java_config is not None:
            console.print("Other Kafka clients read the password from a file:", style="bold")
            console.print(f"kcat -b {state.kafka} -F {shlex.quote(config)} -L", soft_wrap=True, markup=False)
            console.print(
                f"kafka-console-consumer.sh --bootstrap-server {state.kafka} --topic TOPIC --consumer.config "
                f"{shlex.quote(java_config)}",
                soft_wrap=True,
                markup=False,
            )
        # Commands find the one in the default folder by themselves.
        is_elsewhere = Path(state.data) != _default_data_dir(session)
        if is_elsewhere:
            console.print("To make other commands use it:", style="bold")
            variables = {"URL": state.url, "MQTT": state.mqtt, "KAFKA": state.kafka}
            if config is not None:
                variables["KAFKA_CONFIG"] = shlex.quote(config)
            console.print(
                "export " + " ".join(f"PACIFICTOOL_{name}={value}" for name, value in variables.items()),
                soft_wrap=True,
            )

    session.output.emit(document, render)
